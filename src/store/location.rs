//! What a path names: a local file, or an object by its URL.

use super::error::{StoreError, invalid};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Schemes whose objects can be read, and what is written behind them.
const SCHEMES: [(&str, &str); 6] = [
    ("s3", "s3://bucket/key"),
    ("gs", "gs://bucket/key"),
    ("az", "az://container/key"),
    ("http", "http://host/path"),
    ("https", "https://host/path"),
    // Only where a program registered such a store.
    ("memory", "memory://name/key"),
];

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In the local file system.
    Local(PathBuf),
    /// In a store.
    Object(ObjectUrl),
}

/// The URL of an object, or of a prefix that serves as a folder. It holds no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectUrl {
    scheme: &'static str,
    /// Bucket, container or host with port.
    authority: String,
    /// Segments with `/` between them, as the store names them; empty for the root.
    key: String,
}

impl Location {
    /// The location that a path names. Nothing is looked up.
    ///
    /// **Errors** with kind `InvalidInput` if it is a URL whose scheme is unknown, that names no bucket or
    /// host, or that holds credentials or a query.
    pub fn of(path: &Path) -> io::Result<Self> {
        let Some((scheme, rest)) = path.to_str().and_then(split) else {
            return Ok(Self::Local(path.to_owned()));
        };
        if scheme.eq_ignore_ascii_case("file") {
            return match rest.starts_with('/') {
                true => Ok(Self::Local(PathBuf::from(rest))),
                false => Err(invalid(
                    "a file URL names no other machine; write `file:///` and the absolute path",
                )),
            };
        }
        ObjectUrl::parse(scheme, rest).map(Self::Object)
    }
}

impl ObjectUrl {
    fn parse(scheme: &str, rest: &str) -> io::Result<Self> {
        let known = SCHEMES.iter().find(|(s, _)| s.eq_ignore_ascii_case(scheme));
        let Some(&(scheme, form)) = known else {
            let known: Vec<&str> = SCHEMES[..5].iter().map(|(_, form)| *form).collect();
            return Err(invalid(format!(
                "the scheme `{scheme}` is not known; expected a local path or one of {}",
                known.join(", ")
            )));
        };
        let (authority, key) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(StoreError::credentials(scheme).into());
        }
        if authority.is_empty() {
            return Err(invalid(format!("expected a URL such as {form}")));
        }
        // Keys of stores may hold these characters; in a web address they begin what may be a signature.
        let is_web = Self::is_web(scheme);
        if is_web && key.contains(['?', '#']) || authority.contains(['?', '#']) {
            return Err(StoreError::credentials(scheme).into());
        }
        let key = match is_web {
            true => object_store::path::Path::from_url_path(key),
            false => object_store::path::Path::parse(key),
        };
        let key = key.map_err(|e| invalid(format!("{e}; expected {form}")))?;
        Ok(Self {
            scheme,
            authority: authority.to_owned(),
            key: key.as_ref().to_owned(),
        })
    }

    /// `s3`, `gs`, `az`, `http`, `https` or `memory`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Bucket, container or host.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The store that holds the object: `s3://bucket`.
    pub fn root(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// The object's name in its store.
    pub(super) fn key(&self) -> object_store::path::Path {
        // It was checked when the URL was read.
        object_store::path::Path::parse(&self.key).unwrap_or_default()
    }

    /// The URL of an object of the same store.
    pub(super) fn with_key(&self, key: &object_store::path::Path) -> Self {
        Self {
            key: key.as_ref().to_owned(),
            ..self.clone()
        }
    }

    /// The path that carries this URL.
    pub fn to_path(&self) -> PathBuf {
        PathBuf::from(self.to_string())
    }

    /// The URL with every character escaped that a parser of URLs would take for another part.
    pub fn escaped(&self) -> String {
        let mut text = self.root();
        text.push('/');
        for c in self.key.chars() {
            match c {
                '%' | '?' | '#' | ' ' => text.push_str(&format!("%{:02X}", u32::from(c))),
                c => text.push(c),
            }
        }
        text
    }

    /// Returns `true` if keys are written as in a web address.
    fn is_web(scheme: &str) -> bool {
        scheme.starts_with("http")
    }
}

impl fmt::Display for ObjectUrl {
    /// As it is written in a file, so that what is shown can be read again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.as_str(), Self::is_web(self.scheme)) {
            ("", _) => f.write_str(&self.root()),
            (_, true) => f.write_str(&self.escaped()),
            (key, false) => write!(f, "{}://{}/{key}", self.scheme, self.authority),
        }
    }
}

/// Scheme and rest of a URL; `None` for a local path.
fn split(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    // One letter is a drive.
    let sound = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && (scheme.chars()).all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    sound.then_some((scheme, rest))
}

/// Returns `true` if a path is a URL and not that of a local file.
pub fn is_url(path: &Path) -> bool {
    let scheme = path.to_str().and_then(split);
    scheme.is_some_and(|(scheme, _)| !scheme.eq_ignore_ascii_case("file"))
}

/// A path as written in a file of the folder `base`: itself if it is a URL or absolute, else below
/// `base`, which may be a URL. In a store `.` and `..` are resolved.
pub fn join(base: &Path, written: &Path) -> PathBuf {
    if written.to_str().and_then(split).is_some() {
        return match Location::of(written) {
            // A file URL is a local path from here on.
            Ok(Location::Local(path)) => path,
            Ok(Location::Object(url)) => url.to_path(),
            // Whoever reads it says what is wrong with it.
            Err(_) => written.to_owned(),
        };
    }
    let Some((scheme, rest)) = base.to_str().and_then(split) else {
        return base.join(written);
    };
    if written.is_absolute() {
        return written.to_owned();
    }
    let written = written.to_string_lossy();
    let mut segments = rest.split('/').filter(|s| !s.is_empty());
    let authority = segments.next().unwrap_or_default();
    let mut key: Vec<&str> = segments.collect();
    for segment in written.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                key.pop();
            }
            name => key.push(name),
        }
    }
    let mut text = format!("{scheme}://{authority}");
    for segment in key {
        text.push('/');
        text.push_str(segment);
    }
    PathBuf::from(text)
}

/// The folder of a file; for an object the prefix before its name, at most the root of its store.
pub fn parent(path: &Path) -> PathBuf {
    match is_url(path) {
        true => join(path, Path::new("..")),
        false => path.parent().unwrap_or(Path::new("")).to_owned(),
    }
}

/// A text as it may be shown that should have been a URL: without user, password and query.
pub fn redacted(text: &str) -> String {
    let Some((scheme, rest)) = split(text) else {
        return text.to_owned();
    };
    let (authority, key) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let end = |text: &str| text.find(['?', '#']).unwrap_or(text.len());
    let (host, key) = (&host[..end(host)], &key[..end(key)]);
    format!("{scheme}://{host}{key}")
}

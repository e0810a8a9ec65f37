//! The files below a folder, and the error for a pattern that matches none of them.

use super::pattern::Pattern;
use crate::source::SourceError;
use crate::store;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Names of a folder that an error shows.
const SHOWN: usize = 5;

/// Files and folders below a folder, with `/` between the parts of a path, sorted.
pub(super) struct Tree {
    /// Paths of files relative to the folder.
    pub(super) files: Vec<String>,
    /// Paths of folders relative to the folder.
    folders: Vec<String>,
    /// How many entries could not be followed, in words.
    pub(super) unread: Option<String>,
}

impl Tree {
    /// Lists entries at most `depth` folders deep; all if `None`.
    ///
    /// Links are followed. A link to nothing, to a folder that contains it, and a folder that cannot be
    /// listed are returned as files: if a pattern names one, its subject fails when it is read.
    ///
    /// In a store, folders are the prefixes of objects.
    ///
    /// **Errors** if `folder` itself cannot be listed.
    pub(super) fn read(folder: &Path, depth: Option<usize>) -> Result<Self, SourceError> {
        if store::is_url(folder) {
            return Self::of_store(folder, depth);
        }
        let visible = |entry: &walkdir::DirEntry| {
            entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
        };
        let walk = WalkDir::new(folder)
            .follow_links(true)
            .max_depth(depth.unwrap_or(usize::MAX))
            .sort_by_file_name();
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        let mut unread = None::<(usize, PathBuf, String)>;
        for entry in walk.into_iter().filter_entry(visible) {
            let (path, list) = match &entry {
                Ok(entry) if entry.depth() == 0 => continue,
                Ok(entry) if entry.file_type().is_file() => (entry.path(), &mut files),
                Ok(entry) if entry.file_type().is_dir() => (entry.path(), &mut folders),
                Ok(_) => continue,
                Err(e) => match e.path() {
                    Some(path) if e.depth() > 0 => {
                        let first = || (0, path.to_owned(), unreadable(e));
                        unread.get_or_insert_with(first).0 += 1;
                        (path, &mut files)
                    }
                    _ => {
                        return Err(SourceError::Io {
                            path: folder.to_path_buf(),
                            source: entry.expect_err("this arm is that of an error").into(),
                        });
                    }
                },
            };
            if let Ok(relative) = path.strip_prefix(folder) {
                let parts: Vec<_> = relative
                    .components()
                    .map(|c| c.as_os_str().to_string_lossy())
                    .collect();
                list.push(parts.join("/"));
            }
        }
        let unread = unread.map(|(count, first, reason)| {
        format!(
            "links or folders below {} that cannot be followed: {count}, the first is {} ({reason}); subjects that need them fail by name",
            folder.display(),
            first.display()
        )
    });
        Ok(Self {
            files,
            folders,
            unread,
        })
    }

    /// Lists the objects below a prefix.
    fn of_store(folder: &Path, depth: Option<usize>) -> Result<Self, SourceError> {
        let io = |source| SourceError::Io {
            path: folder.to_path_buf(),
            source,
        };
        let objects = store::walk(folder).map_err(io)?;
        if objects.is_empty() {
            let absent = std::io::Error::new(
                std::io::ErrorKind::NotFound,
                "there is no object below this prefix",
            );
            return Err(io(absent));
        }
        let (mut files, mut folders) = (Vec::new(), BTreeSet::new());
        for (path, _) in objects {
            let parts: Vec<&str> = path.split('/').collect();
            if parts.iter().any(|part| part.starts_with('.')) {
                continue;
            }
            for end in 1..parts.len().min(depth.unwrap_or(usize::MAX) + 1) {
                folders.insert(parts[..end].join("/"));
            }
            if depth.is_none_or(|depth| parts.len() <= depth) {
                files.push(path);
            }
        }
        Ok(Self {
            files,
            folders: folders.into_iter().collect(),
            unread: None,
        })
    }

    /// Which part of a pattern nothing fits, and what stands there instead; of several patterns, which
    /// differ in their modality, the one that came furthest.
    pub(super) fn explain(&self, patterns: &[Pattern]) -> String {
        let explained = patterns.iter().map(|pattern| self.explain_one(pattern));
        // Of equals the first one: `max_by_key` takes the last.
        let furthest = explained.rev().max_by_key(|(parts, _)| *parts);
        furthest.map_or_else(String::new, |(_, text)| text)
    }

    /// How many parts of a pattern something fits, and what to say of the next.
    fn explain_one(&self, pattern: &Pattern) -> (usize, String) {
        let parts = pattern.parts();
        // Folders that fit the parts so far; "" is the folder itself.
        let mut reached = vec![""];
        let mut deep = false;
        for (i, part) in parts.iter().enumerate() {
            if part == "**" {
                deep = true;
                continue;
            }
            let is_last = i + 1 == parts.len();
            let list = if is_last { &self.files } else { &self.folders };
            let fits = |path: &&String| {
                let prefix = pattern.prefix(i + 1);
                prefix.is_some_and(|regex| regex.is_match(path))
            };
            let found: Vec<&str> = list.iter().filter(fits).map(String::as_str).collect();
            if found.is_empty() {
                let kind = if is_last { "file" } else { "folder" };
                return (i, self.nothing_fits(&reached, part, kind, deep));
            }
            if !is_last {
                (reached, deep) = (found, false);
            }
        }
        let disagreement = (self.files.iter()).find_map(|f| Some((f, pattern.agreed(f)?.err()?)));
        let text = disagreement.map_or_else(String::new, |(file, [name, first, second])| {
            format!("{{{name}}} stands for two texts, `{first}` and `{second}`, in {file}")
        });
        (parts.len(), text)
    }

    fn nothing_fits(&self, reached: &[&str], part: &str, kind: &str, deep: bool) -> String {
        let place = match (reached, deep) {
            ([""], false) => "here".to_owned(),
            ([""], true) => "here or in a folder below".to_owned(),
            ([one], false) => format!("in `{one}`"),
            ([one], true) => format!("in or below `{one}`"),
            (many, false) => format!("in `{}` and {} folders like it", many[0], many.len() - 1),
            (many, true) => format!("below `{}` and {} folders like it", many[0], many.len() - 1),
        };
        let first = reached.first().copied().unwrap_or_default();
        let there = match first {
            "" => "there".to_owned(),
            folder => format!("in `{folder}`"),
        };
        let held = self.held(first);
        let shown: Vec<&str> = held.iter().take(SHOWN).map(String::as_str).collect();
        let stands = match (shown.len(), held.len()) {
            (0, _) => format!("nothing stands {there}"),
            (all, most) if all == most => format!("{there} stand {}", shown.join(", ")),
            (some, most) => format!(
                "{there} stand {} and {} more",
                shown.join(", "),
                most - some
            ),
        };
        format!("no {kind} {place} fits `{part}`; {stands}")
    }

    /// Names in a folder, those of folders with a `/`, sorted.
    fn held(&self, folder: &str) -> Vec<String> {
        let name = |path: &str| {
            let rest = path.strip_prefix(folder)?;
            let rest = match folder {
                "" => rest,
                _ => rest.strip_prefix('/')?,
            };
            (!rest.contains('/')).then(|| rest.to_owned())
        };
        let files = self.files.iter().filter_map(|path| name(path));
        let folders = self.folders.iter().filter_map(|path| name(path));
        let mut names: Vec<String> = files.chain(folders.map(|name| name + "/")).collect();
        names.sort();
        names
    }
}

/// Why an entry below the folder cannot be followed or listed.
fn unreadable(error: &walkdir::Error) -> String {
    match (error.loop_ancestor(), error.io_error()) {
        (Some(above), _) => format!("a link to {}, a folder that contains it", above.display()),
        (None, Some(e)) if e.kind() == std::io::ErrorKind::NotFound => {
            "a link to nothing".to_owned()
        }
        (None, Some(e)) => e.to_string(),
        (None, None) => error.to_string(),
    }
}

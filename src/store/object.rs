//! An object that was opened: what it was then, and its bytes.

use super::error::StoreError;
use super::registry::backing;
use super::retry::retried;
use super::{ObjectUrl, runtime};
use bytes::Bytes;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore};
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

/// Bytes of one request: large enough that its latency is a small part, small enough that a body
/// that breaks off costs little.
pub(super) const CHUNK: u64 = 4 << 20;

/// What tells one content of an object from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Bytes of the object.
    pub bytes: u64,
    /// When it was written, ns since 1970; 0 if the store does not say.
    pub changed_nanos: u64,
    /// The store's tag of the content; `None` if it has none.
    pub tag: Option<String>,
}

impl Version {
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        let nanos = meta.last_modified.timestamp_nanos_opt();
        Self {
            bytes: meta.size,
            changed_nanos: nanos.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            tag: meta.e_tag.clone(),
        }
    }

    /// When it was written.
    pub fn changed(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(self.changed_nanos)
    }
}

/// An object of a store at one of its versions.
#[derive(Clone)]
pub struct Object {
    url: ObjectUrl,
    store: Arc<dyn ObjectStore>,
    version: Version,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({} {:?})", self.url, self.version)
    }
}

impl Object {
    /// Looks an object up; nothing of it is read.
    ///
    /// **Errors** if there is none, or the store refuses or cannot be reached.
    pub fn open(url: &ObjectUrl) -> io::Result<Self> {
        let store = backing(url)?;
        let meta = retried(url, || {
            let (store, key) = (Arc::clone(&store), url.key());
            runtime::wait(async move {
                let options = GetOptions {
                    head: true,
                    ..GetOptions::default()
                };
                Ok(store.get_opts(&key, options).await?.meta)
            })
        })?;
        Ok(Self {
            url: url.clone(),
            version: Version::of(&meta),
            store,
        })
    }

    /// Opens an object and reads its first bytes, at most `limit`, in one request.
    ///
    /// **Errors** as [`Object::open`].
    pub fn open_with_head(url: &ObjectUrl, limit: u64) -> io::Result<(Self, Bytes)> {
        let store = backing(url)?;
        let read = retried(url, || {
            let (store, key) = (Arc::clone(&store), url.key());
            runtime::wait(async move { whole(get(&store, &key, Some(0..limit)).await?).await })
        });
        let (meta, bytes) = match read {
            Ok(read) => read,
            Err(error) => {
                // No store has a range of an empty object; any other error says more than a second one.
                let may_be_empty = error.kind() == io::ErrorKind::InvalidInput
                    || error.kind() == io::ErrorKind::Other;
                return match may_be_empty.then(|| Self::open(url)) {
                    Some(Ok(object)) if object.version.bytes == 0 => Ok((object, Bytes::new())),
                    _ => Err(error),
                };
            }
        };
        let object = Self {
            url: url.clone(),
            version: Version::of(&meta),
            store,
        };
        Ok((object, bytes))
    }

    /// Its URL.
    pub fn url(&self) -> &ObjectUrl {
        &self.url
    }

    /// Its version when it was opened.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Reads a range of its bytes, which must be within it, in one request.
    ///
    /// **Errors** if the store refuses or cannot be reached, or the object has changed.
    pub fn range(&self, range: Range<u64>) -> io::Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let (meta, bytes) = retried(&self.url, || self.begin(range.clone()).wait())?;
        self.checked(&meta, bytes)
    }

    /// Begins to read a range.
    pub(super) fn begin(&self, range: Range<u64>) -> runtime::Pending<(ObjectMeta, Bytes)> {
        let (store, key) = (Arc::clone(&self.store), self.url.key());
        runtime::begin(async move { whole(get(&store, &key, Some(range)).await?).await })
    }

    /// The bytes of an answer, if it is about this version.
    pub(super) fn checked(&self, meta: &ObjectMeta, bytes: Bytes) -> io::Result<Bytes> {
        let found = Version::of(meta);
        let is_same = match (&found.tag, &self.version.tag) {
            (Some(found), Some(known)) => found == known,
            _ => found.changed_nanos == self.version.changed_nanos,
        };
        match is_same && found.bytes == self.version.bytes {
            true => Ok(bytes),
            false => Err(StoreError::changed().into()),
        }
    }
}

async fn get(
    store: &Arc<dyn ObjectStore>,
    key: &object_store::path::Path,
    range: Option<Range<u64>>,
) -> Result<GetResult, object_store::Error> {
    let options = GetOptions {
        range: range.map(GetRange::Bounded),
        ..GetOptions::default()
    };
    store.get_opts(key, options).await
}

/// The whole body of an answer.
///
/// **Errors** that may pass if it is shorter than announced.
pub(super) async fn whole(answer: GetResult) -> Result<(ObjectMeta, Bytes), object_store::Error> {
    let (meta, range) = (answer.meta.clone(), answer.range.clone());
    let bytes = answer.bytes().await?;
    let (expected, found) = (range.end - range.start, bytes.len() as u64);
    match expected == found {
        true => Ok((meta, bytes)),
        false => Err(StoreError::truncated(expected, found)),
    }
}

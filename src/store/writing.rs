//! Putting objects into stores, and removing them.

use super::error::{StoreError, invalid};
use super::object::Version;
use super::registry::backing;
use super::retry::retried;
use super::{Location, Object, ObjectUrl, many, runtime, walk};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use object_store::path::Path as Key;
use object_store::{
    Error as Cause, MultipartUpload, ObjectStore, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of one request of an upload in parts; what has at most two of them is put in one request.
const PART: u64 = 8 << 20;
/// Requests of an upload that are under way at a time.
const AT_A_TIME: usize = 2;

/// Most bytes that [`upload`] holds.
pub const UPLOAD_AHEAD: u64 = PART * AT_A_TIME as u64;

/// What is put into a store.
#[derive(Debug, Clone)]
enum Content {
    Bytes(Bytes),
    File(PathBuf, u64),
}

impl Content {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
        }
    }

    fn part(&self, start: u64, length: u64) -> Result<Bytes, Cause> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.slice(start as usize..(start + length) as usize)),
            Self::File(path, _) => {
                let read = || -> io::Result<Vec<u8>> {
                    let mut file = File::open(path)?;
                    file.seek(SeekFrom::Start(start))?;
                    let mut bytes = vec![0; length as usize];
                    file.read_exact(&mut bytes)?;
                    Ok(bytes)
                };
                let read = read().map_err(|e| {
                    let problem = format!("{} cannot be read ({e})", path.display());
                    Cause::NotSupported {
                        source: Box::new(StoreError::new(e.kind(), problem)),
                    }
                });
                read.map(Bytes::from)
            }
        }
    }
}

/// Writes a file or an object whole, replacing an older one. An object appears under its name when all
/// of it has arrived.
///
/// **Errors** if the folder of a local file is absent, or the store refuses or cannot be reached.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match Location::of(path)? {
        Location::Local(path) => fs::write(path, bytes),
        Location::Object(url) => {
            let content = Content::Bytes(Bytes::copy_from_slice(bytes));
            put_whole(&url, &content)
        }
    }
}

/// Puts an object that is not there yet, in one request; returns its version.
///
/// **Errors** `AlreadyExists` if it is there; as [`write()`].
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<Version> {
    put(path, bytes, &PutMode::Create)
}

/// Replaces an object that is still at a version, in one request; returns its new version.
///
/// **Errors** `InvalidData` if it is at another version; as [`write()`].
pub fn replace(path: &Path, known: &Version, bytes: &[u8]) -> io::Result<Version> {
    let mode = PutMode::Update(UpdateVersion {
        e_tag: known.tag.clone(),
        version: None,
    });
    put(path, bytes, &mode)
}

fn put(path: &Path, bytes: &[u8], mode: &PutMode) -> io::Result<Version> {
    let url = url_of(path)?;
    let (store, bytes) = (backing(&url)?, Bytes::copy_from_slice(bytes));
    let tag = retried(&url, || {
        let (store, key) = (Arc::clone(&store), url.key());
        let payload = PutPayload::from_bytes(bytes.clone());
        let options = PutOptions {
            mode: mode.clone(),
            ..PutOptions::default()
        };
        runtime::wait(async move { Ok(store.put_opts(&key, payload, options).await?.e_tag) })
    })?;
    let mut version = Object::open(&url)?.version().clone();
    if tag.is_some() {
        version.tag = tag;
    }
    Ok(version)
}

/// Copies a local file into a store, in several requests if it is large.
///
/// **Errors** if the file cannot be read, or the store refuses or cannot be reached; nothing appears
/// under the name then.
pub fn upload(file: &Path, to: &Path) -> io::Result<()> {
    let length = fs::metadata(file)?.len();
    put_whole(&url_of(to)?, &Content::File(file.to_owned(), length))
}

fn put_whole(url: &ObjectUrl, content: &Content) -> io::Result<()> {
    let store = backing(url)?;
    retried(url, || {
        let (store, key, content) = (Arc::clone(&store), url.key(), content.clone());
        runtime::wait(async move {
            if content.len() > 2 * PART {
                return in_parts(&store, &key, &content).await;
            }
            let bytes = content.part(0, content.len())?;
            let payload = PutPayload::from_bytes(bytes);
            let put = store.put_opts(&key, payload, PutOptions::default());
            put.await.map(drop)
        })
    })
}

async fn in_parts(store: &Arc<dyn ObjectStore>, key: &Key, content: &Content) -> Result<(), Cause> {
    let mut upload = store.put_multipart_opts(key, Default::default()).await?;
    let sent = send(&mut *upload, content).await;
    if sent.is_err() {
        // The store removes what was begun on its own in time; the first error is the one to report.
        upload.abort().await.ok();
    }
    sent
}

async fn send(upload: &mut dyn MultipartUpload, content: &Content) -> Result<(), Cause> {
    let mut coming = FuturesUnordered::new();
    let mut start = 0;
    while start < content.len() {
        let length = PART.min(content.len() - start);
        coming.push(upload.put_part(PutPayload::from_bytes(content.part(start, length)?)));
        start += length;
        if coming.len() == AT_A_TIME {
            coming.next().await.transpose()?;
        }
    }
    while coming.next().await.transpose()?.is_some() {}
    upload.complete().await.map(drop)
}

/// Removes a file or an object; that there is none is no error.
///
/// **Errors** if the system or the store refuses, or the store cannot be reached.
pub fn remove(path: &Path) -> io::Result<()> {
    let removed = match Location::of(path)? {
        Location::Local(path) => fs::remove_file(path),
        Location::Object(url) => {
            let store = backing(&url)?;
            retried(&url, || {
                let (store, key) = (Arc::clone(&store), url.key());
                let keys = futures::stream::iter([Ok(key)]).boxed();
                runtime::wait(async move {
                    let mut removed = store.delete_stream(keys);
                    removed.next().await.transpose().map(drop)
                })
            })
        }
    };
    match removed {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Removes everything in a folder, and a local folder itself.
///
/// **Errors** as [`remove`].
pub fn remove_folder(folder: &Path) -> io::Result<()> {
    if let Location::Local(folder) = Location::of(folder)? {
        return fs::remove_dir_all(folder);
    }
    let objects = walk(folder)?;
    let removed = many(&objects, |(below, _)| remove(&folder.join(below)));
    removed.into_iter().collect()
}

fn url_of(path: &Path) -> io::Result<ObjectUrl> {
    match Location::of(path)? {
        Location::Object(url) => Ok(url),
        Location::Local(path) => Err(invalid(format!("{} is in no store", path.display()))),
    }
}

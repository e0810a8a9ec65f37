//! A Parquet file that is read: a local one, or an object of which only the wanted ranges are fetched.

use crate::store::{Location, Object};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::reader::{ChunkReader, Length};
use bytes::{Buf, Bytes};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes fetched at least: a small table is one request, and its pages' headers are not one each.
const WINDOW: u64 = 2 << 20;

/// A Parquet file to be read.
pub(super) enum TableFile {
    /// A local file.
    Local(File),
    /// An object of a store.
    Object(ObjectFile),
}

impl TableFile {
    /// Opens a file or an object.
    ///
    /// **Errors** if it is absent or cannot be read.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(match Location::of(path)? {
            Location::Local(path) => Self::Local(File::open(path)?),
            Location::Object(url) => Self::Object(ObjectFile {
                object: Object::open(&url)?,
                window: Arc::default(),
            }),
        })
    }
}

impl Length for TableFile {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file) => file.len(),
            Self::Object(file) => file.object.version().bytes,
        }
    }
}

impl ChunkReader for TableFile {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(match self {
            Self::Local(file) => Box::new(file.get_read(start)?),
            Self::Object(file) => Box::new(ObjectRead {
                file: file.clone(),
                next: start,
                held: Bytes::new(),
            }),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::Local(file) => file.get_bytes(start, length),
            Self::Object(file) => {
                let bytes = file.bytes(start, length as u64);
                bytes.map_err(|e| ParquetError::External(Box::new(e)))
            }
        }
    }
}

/// An object, and the bytes of it that were fetched last.
#[derive(Clone)]
pub(super) struct ObjectFile {
    object: Object,
    window: Arc<Mutex<(u64, Bytes)>>,
}

impl ObjectFile {
    /// Bytes from `start`; a range that goes beyond the end is an error of the file.
    fn bytes(&self, start: u64, length: u64) -> io::Result<Bytes> {
        let size = self.object.version().bytes;
        let end = start.checked_add(length).filter(|end| *end <= size);
        let Some(end) = end else {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("bytes {start} and {length} more were asked for, the object has {size}"),
            ));
        };
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, held) = &*window;
        if start < *first || end > first + held.len() as u64 {
            // Footers are read from the end backwards, pages forwards.
            let from = start.min(size.saturating_sub(WINDOW));
            let to = end.max(from + WINDOW).min(size);
            let mut bytes = Vec::with_capacity((to - from) as usize);
            self.object.reader(from..to).read_to_end(&mut bytes)?;
            *window = (from, bytes.into());
        }
        let (first, held) = &*window;
        let from = (start - first) as usize;
        Ok(held.slice(from..from + length as usize))
    }
}

/// Reads an object from a place on, window by window.
struct ObjectRead {
    file: ObjectFile,
    next: u64,
    held: Bytes,
}

impl Read for ObjectRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.held.is_empty() {
            let rest = self.file.object.version().bytes.saturating_sub(self.next);
            self.held = self.file.bytes(self.next, rest.min(64 << 10))?;
            self.next += self.held.len() as u64;
        }
        let count = self.held.len().min(buffer.len());
        self.held.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

//! Reads an object from front to back while its next bytes are on their way.

use super::ObjectUrl;
use super::object::{CHUNK, Object};
use super::runtime::Pending;
use bytes::{Buf, Bytes};
use object_store::ObjectMeta;
use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::ops::Range;

/// Requests under way beside the bytes that are being read.
const AHEAD: usize = 3;

/// Most bytes that a reader holds.
pub const READ_AHEAD: u64 = (AHEAD as u64 + 1) * CHUNK;

/// A range, and the answer to its request.
type Asked = (Range<u64>, Pending<(ObjectMeta, Bytes)>);

/// Bytes of a range of an object, in order.
///
/// A request that fails for a reason that may pass is repeated from where it began; the reader does not
/// notice.
pub struct ObjectReader {
    object: Object,
    /// What is not asked for yet.
    rest: Range<u64>,
    coming: VecDeque<Asked>,
    current: Bytes,
}

impl Object {
    /// Opens an object and reads all of it.
    ///
    /// **Errors** as [`Object::open`].
    pub fn open_and_read(url: &ObjectUrl) -> io::Result<(Self, Bytes)> {
        let (object, head) = Self::open_with_head(url, CHUNK)?;
        if head.len() as u64 == object.version().bytes {
            return Ok((object, head));
        }
        let mut bytes = head.to_vec();
        object
            .reader(CHUNK..object.version().bytes)
            .read_to_end(&mut bytes)?;
        Ok((object, bytes.into()))
    }

    /// Reads a range of its bytes from front to back, further ones being fetched meanwhile.
    pub fn reader(&self, range: Range<u64>) -> ObjectReader {
        ObjectReader {
            object: self.clone(),
            rest: range,
            coming: VecDeque::new(),
            current: Bytes::new(),
        }
    }
}

impl ObjectReader {
    /// Asks for the next bytes, as far as there is room for them.
    fn ask(&mut self) {
        while self.coming.len() < AHEAD && !self.rest.is_empty() {
            // Whole chunks of the object: what two readers ask for is the same request.
            let end = (self.rest.start / CHUNK + 1) * CHUNK;
            let range = self.rest.start..end.min(self.rest.end);
            self.rest.start = range.end;
            let pending = self.object.begin(range.clone());
            self.coming.push_back((range, pending));
        }
    }
}

impl BufRead for ObjectReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty() {
            self.ask();
            if let Some((range, pending)) = self.coming.pop_front() {
                self.current = match pending.wait() {
                    Ok((meta, bytes)) => self.object.checked(&meta, bytes)?,
                    // Asked again, with patience; an error that does not pass is met again.
                    Err(_) => self.object.range(range)?,
                };
                self.ask();
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        self.current.advance(amount);
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let held = self.fill_buf()?;
        let count = held.len().min(buffer.len());
        buffer[..count].copy_from_slice(&held[..count]);
        self.consume(count);
        Ok(count)
    }
}

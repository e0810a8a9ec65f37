//! Decodes stored volumes within a budget, and keeps the last ones.

use crate::sink::causes;
use crate::sink::stored::{decode_voxels, stored_head, stored_volume};
use crate::volume::Volume;
use arrow::array::StructArray;
use arrow::buffer::Buffer;
use std::sync::{Mutex, PoisonError};

/// Decoded voxels: a statement that asks several things of one volume decodes it once.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Most bytes held.
    budget: u64,
    /// Voxels by their digest, the last used at the end.
    held: Mutex<Vec<(String, Buffer)>>,
}

impl Decoder {
    pub(super) fn new(budget: u64) -> Self {
        Self {
            budget,
            held: Mutex::default(),
        }
    }

    /// The volume in a row of a column, which is not null there.
    ///
    /// **Errors** if it is larger than the budget, or damaged.
    pub(super) fn volume(&self, column: &StructArray, row: usize) -> Result<Volume, String> {
        let failed = |e: crate::sink::SinkError| causes(&e);
        let head = stored_head(column, row).map_err(failed)?;
        if head.bytes as u64 > self.budget {
            return Err(format!(
                "a volume of {} decoded is larger than the budget of {}; raise `--memory`",
                bytesize::ByteSize(head.bytes as u64),
                bytesize::ByteSize(self.budget)
            ));
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let known = held
            .iter()
            .position(|(sum, v)| *sum == head.blake3 && v.len() == head.bytes);
        let entry = match known {
            Some(at) => held.remove(at),
            None => {
                let total = |held: &[(String, Buffer)]| {
                    held.iter().map(|(_, v)| v.len() as u64).sum::<u64>()
                };
                while !held.is_empty() && total(&held) + head.bytes as u64 > self.budget {
                    held.remove(0);
                }
                let voxels = decode_voxels(column, row, &head).map_err(failed)?;
                (head.blake3.clone(), voxels)
            }
        };
        let voxels = entry.1.clone();
        held.push(entry);
        drop(held);
        stored_volume(column, row, voxels).map_err(failed)
    }
}

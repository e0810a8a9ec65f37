//! Prepared subjects kept in memory, bounded in bytes.

use crate::volume::Row;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Keeps the first rows that fit and never evicts: epochs visit subjects in cycles, where dropping
/// the oldest entry would drop exactly the one needed next.
#[derive(Debug)]
pub struct Cache {
    limit: u64,
    state: Mutex<(u64, BTreeMap<usize, Row>)>,
}

impl Cache {
    /// A cache of at most `limit` bytes of voxels.
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            state: Mutex::default(),
        }
    }

    /// The prepared row of a subject; voxels are shared.
    pub fn get(&self, subject: usize) -> Option<Row> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .get(&subject)
            .cloned()
    }

    /// Keeps a row if it fits.
    pub fn put(&self, subject: usize, row: &Row) {
        let bytes = row.bytes() as u64;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 + bytes <= self.limit && !state.1.contains_key(&subject) {
            state.0 += bytes;
            state.1.insert(subject, row.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Channel, Grid, Split, Volume};

    #[test]
    fn the_limit_holds_and_first_come_stays() {
        let row = |n: usize| Row {
            subject: n.to_string(),
            cohort: String::new(),
            split: Split::Train,
            epoch: 0,
            sample: 0,
            view: String::new(),
            images: vec![Channel {
                name: "a".into(),
                volume: Some(
                    Volume::from_vec(
                        vec![0u8; 100],
                        Grid::with_spacing([100, 1, 1], [1.0; 3]).unwrap(),
                    )
                    .unwrap(),
                ),
            }],
            labels: vec![],
            draws: vec![],
            history: vec![],
            ..Row::default()
        };
        let cache = Cache::new(250);
        (0..4).for_each(|n| cache.put(n, &row(n)));
        assert!(
            cache.get(0).is_some()
                && cache.get(1).is_some()
                && cache.get(2).is_none()
                && cache.get(3).is_none()
        );
    }
}

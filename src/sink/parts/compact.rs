//! Merges the small tables of many parts at the end of a run.

use super::merge::Merged;
use super::{Ledger, SMALL};
use crate::sink::{PartRow, SinkError};

/// Files that a table may have before they are merged.
const MOST_FILES: usize = 64;
/// Parts that share a file at most: where it is damaged, all of them are made again.
const MOST_PARTS: usize = 256;
/// Subjects of parts that share a file at most: where a part is made again, rows of the others are copied.
const MOST_SUBJECTS: i64 = 50_000;

impl Ledger {
    /// Merges the small tables of neighbouring parts into few files, if a table has more than 64 files.
    /// Returns how many files fewer the tables have. Rows stay in the order of the parts.
    ///
    /// A process that ends at any instant of it leaves the tables as they were, see `merge`.
    ///
    /// **Errors** if a file cannot be read, written or removed; every row is there exactly once all the same.
    pub fn compact(&mut self) -> Result<usize, SinkError> {
        let before = self.small_files();
        let Some(merged) = self.write_merged()? else {
            return Ok(0);
        };
        self.write_index(&merged)?;
        self.remove_replaced(&merged)?;
        Ok(before - self.small_files())
    }

    /// Writes the files that parts are to share; `None` if the tables have few files.
    pub(super) fn write_merged(&self) -> Result<Option<Merged>, SinkError> {
        let pieces = self.pieces();
        if pieces.len() <= MOST_FILES {
            return Ok(None);
        }
        let mut merged = Merged::default();
        for group in groups(&pieces) {
            // What is in one file already stays there.
            if let [_, _, ..] = group {
                merged.add(&self.folder, &group.concat(), false)?;
            }
        }
        Ok((!merged.rows.is_empty()).then_some(merged))
    }

    /// The parts, those that share files together.
    pub(super) fn pieces(&self) -> Vec<Vec<PartRow>> {
        let mut pieces: Vec<Vec<PartRow>> = Vec::new();
        for row in self.parts() {
            let file = row.file_of(SMALL[0]);
            let shares =
                |piece: &&mut Vec<PartRow>| file.is_some() && piece[0].file_of(SMALL[0]) == file;
            match pieces.last_mut().filter(shares) {
                Some(piece) => piece.push(row.clone()),
                None => pieces.push(vec![row.clone()]),
            }
        }
        pieces
    }

    fn small_files(&self) -> usize {
        SMALL.iter().map(|table| self.files(table).len()).sum()
    }
}

/// Neighbouring pieces that are to share files. Versions of voxstream may write other columns.
fn groups(pieces: &[Vec<PartRow>]) -> Vec<&[Vec<PartRow>]> {
    let (mut groups, mut start) = (Vec::new(), 0);
    let (mut parts, mut subjects) = (0, 0);
    for (at, piece) in pieces.iter().enumerate() {
        let of_piece: i64 = piece.iter().map(|row| row.subjects).sum();
        let other = pieces[start][0].version != piece[0].version;
        let is_full = parts + piece.len() > MOST_PARTS || subjects + of_piece > MOST_SUBJECTS;
        if at > start && (other || is_full) {
            groups.push(&pieces[start..at]);
            (start, parts, subjects) = (at, 0, 0);
        }
        parts += piece.len();
        subjects += of_piece;
    }
    groups.push(&pieces[start..]);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(parts: usize, subjects: i64, version: &str) -> Vec<PartRow> {
        let row = PartRow {
            subjects,
            version: version.to_owned(),
            ..PartRow::default()
        };
        vec![row; parts]
    }

    #[test]
    fn groups_are_bounded_and_stay_when_they_are_made_again() {
        let pieces: Vec<_> = (0..700).map(|_| piece(1, 10, "1")).collect();
        let lengths = |pieces: &[Vec<PartRow>]| -> Vec<usize> {
            groups(pieces).iter().map(|group| group.len()).collect()
        };
        assert_eq!(lengths(&pieces), [256, 256, 188]);
        let again: Vec<_> = groups(&pieces).iter().map(|group| group.concat()).collect();
        assert_eq!(lengths(&again), [1, 1, 1]);
        let large: Vec<_> = (0..5).map(|_| piece(1, 20_000, "1")).collect();
        assert_eq!(lengths(&large), [2, 2, 1]);
        assert_eq!(lengths(&[piece(1, 90_000, "1")]), [1]);
        let versions = [piece(3, 1, "1"), piece(1, 1, "2"), piece(1, 1, "2")];
        assert_eq!(lengths(&versions), [1, 2]);
    }
}

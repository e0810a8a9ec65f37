//! Cuts a cohort into stretches of subjects, each of which becomes one part of a run's output.
//!
//! **Law** where a stretch ends depends on the ids and headers of its own subjects and on
//! `sinks.part_size`, never on workers, kills or the rest of the cohort, so subjects that are added
//! or removed change the stretches they fall into and leave the others: from a quarter of the size
//! on, a stretch ends before a subject whose id has a small enough hash, and at the latest where
//! the size would be passed. (Content-defined chunking, as in Muthitacharoen et al., SOSP 2001.)

use super::prepare::Preparer;
use crate::sink::parts::part_name;
use std::sync::Arc;

/// Bytes a subject counts for at least, so that a part of tiny subjects holds a thousand at most: less
/// is lost by a kill, and a change concerns fewer.
const LEAST_BYTES: u64 = 256 << 10;

/// Subjects whose headers are fetched from a store together: about those of the next part.
const AHEAD: usize = 1024;

/// Subjects that become one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Their positions in the cohort, in order; at least one.
    pub subjects: Vec<usize>,
    /// Name of the part.
    pub name: String,
    /// BLAKE3 over the plan and over id, split, label state and files of each subject.
    pub digest: String,
    /// BLAKE3 of the plan.
    pub plan: String,
}

impl Stretch {
    /// Ids of its subjects, in order.
    pub(super) fn ids<'a>(&'a self, preparer: &'a Preparer) -> impl Iterator<Item = String> + 'a {
        let subjects = self.subjects.iter();
        subjects.map(|i| preparer.subject(*i).id.clone())
    }

    /// Returns `true` if id, split, label state or files of a subject are not what they were when it was cut.
    pub(super) fn has_changed(&self, preparer: &Preparer) -> bool {
        self.digest != stretch_digest(preparer, &self.plan, &self.subjects)
    }
}

/// Bytes of output of the subject at a position.
pub type Weigh = Box<dyn Fn(&Preparer, usize) -> u64 + Send>;

/// Lists the stretches of a cohort in order; headers are read as it goes.
pub struct Cut {
    preparer: Arc<Preparer>,
    /// Most bytes of a stretch.
    most: u64,
    /// Bytes of output of a subject, as far as its headers tell.
    weigh: Weigh,
    /// Digest of what makes rows of subjects.
    plan: String,
    /// Positions of the subjects, in order.
    subjects: Vec<usize>,
    next: usize,
    /// So many subjects of the list have their headers at hand.
    fetched: usize,
    /// Bytes of the subject at `next`, where it was looked at already.
    known: Option<u64>,
}

impl Cut {
    /// The subjects at these positions, in order, in stretches of at most `most` bytes.
    pub fn new(
        preparer: &Arc<Preparer>,
        subjects: Vec<usize>,
        most: u64,
        weigh: Weigh,
        plan: &str,
    ) -> Self {
        Self {
            preparer: Arc::clone(preparer),
            most,
            weigh,
            plan: plan.to_owned(),
            subjects,
            next: 0,
            fetched: 0,
            known: None,
        }
    }

    /// Bytes of the subject in a place of the list.
    fn bytes(&mut self, place: usize) -> u64 {
        if place >= self.fetched {
            let end = self.subjects.len().min(place + AHEAD);
            let coming = self.subjects[place..end].iter();
            let coming: Vec<_> = coming.map(|i| self.preparer.subject(*i)).collect();
            self.preparer.cohort().prefetch_headers(&coming);
            self.fetched = end;
        }
        (self.weigh)(&self.preparer, self.subjects[place]).max(LEAST_BYTES)
    }
}

/// Digest of a plan and of the subjects at these positions, as they are.
pub(super) fn stretch_digest(preparer: &Preparer, plan: &str, subjects: &[usize]) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &str| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    };
    add(plan);
    let cohort = preparer.cohort();
    for &index in subjects {
        let record = preparer.subject(index);
        add(&record.id);
        add(&record.cohort);
        add(record.split.name());
        add(if record.labelled {
            "labelled"
        } else {
            "unlabelled"
        });
        // A file that is absent now and there later is another input.
        add(&cohort.digest(record).unwrap_or_default());
    }
    hasher.finalize().to_hex().to_string()
}

/// Returns `true` if a stretch of `held` bytes ends before a subject of `bytes`.
fn ends_before(id: &str, bytes: u64, held: u64, most: u64) -> bool {
    if held + bytes > most {
        return true;
    }
    let least = most / 4;
    if held < least {
        return false;
    }
    // A further quarter in the mean, whatever the size of subjects.
    let hash = blake3::hash(id.as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    let drawn = f64::from(u32::from_le_bytes([a, b, c, d])) / 2f64.powi(32);
    drawn < bytes as f64 / least.max(1) as f64
}

impl Iterator for Cut {
    type Item = Stretch;

    fn next(&mut self) -> Option<Stretch> {
        let start = self.next;
        if start == self.subjects.len() {
            return None;
        }
        let mut held = match self.known.take() {
            Some(bytes) => bytes,
            None => self.bytes(start),
        };
        self.next += 1;
        while self.next < self.subjects.len() {
            let bytes = self.bytes(self.next);
            if ends_before(
                &self.preparer.subject(self.subjects[self.next]).id,
                bytes,
                held,
                self.most,
            ) {
                self.known = Some(bytes);
                break;
            }
            held += bytes;
            self.next += 1;
        }
        let subjects = self.subjects[start..self.next].to_vec();
        let digest = stretch_digest(&self.preparer, &self.plan, &subjects);
        Some(Stretch {
            name: part_name(&self.preparer.subject(subjects[0]).id, &digest),
            subjects,
            digest,
            plan: self.plan.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The stretches of ids whose subjects have 100 bytes each.
    fn stretches(ids: &[String], most: u64) -> Vec<Vec<String>> {
        let (mut all, mut held) = (vec![vec![ids[0].clone()]], 100);
        for id in &ids[1..] {
            if ends_before(id, 100, held, most) {
                all.push(Vec::new());
                held = 0;
            }
            held += 100;
            all.last_mut().unwrap().push(id.clone());
        }
        all
    }

    #[test]
    fn subjects_that_are_added_leave_the_other_stretches() {
        let ids: Vec<String> = (0..1000).map(|i| format!("s{i:04}")).collect();
        let before: BTreeSet<Vec<String>> = stretches(&ids, 4000).into_iter().collect();
        let mean = 1000 / before.len();
        assert!((15..=25).contains(&mean), "{mean} subjects a stretch");
        assert!(before.iter().all(|s| s.len() <= 40));
        let mut more = ids.clone();
        more.extend((0..10).map(|i| format!("s{:04}x", i * 97)));
        more.sort();
        let after: BTreeSet<Vec<String>> = stretches(&more, 4000).into_iter().collect();
        let changed = before.difference(&after).count();
        assert!(
            (1..=20).contains(&changed),
            "{changed} of {} stretches",
            before.len()
        );
    }

    #[test]
    fn a_subject_larger_than_the_size_is_a_stretch_of_its_own() {
        assert!(ends_before("b", 500, 100, 400));
        assert!(ends_before("c", 100, 500, 400));
        assert!(!ends_before("b", 10, 20, 400));
    }
}

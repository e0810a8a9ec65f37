//! Writes one part: its tables, then its commit record.

use super::{Ledger, PartFile, RECORDS, record};
use crate::sink::parquet::{Receipt, TableWriter, read_table, sync_folder, write_table};
use crate::sink::{
    FailureRow, PartRow, QualityRow, ScoreRow, SinkError, SubjectRow, TableRow, WarningRow,
    io_error,
};
use crate::store;
use arrow::array::RecordBatch;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A file below the run folder, and its digest and bytes where they are known.
type WrittenFile = (PathBuf, Option<(String, u64)>);

/// Who makes a part.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Name of the machine.
    pub host: String,
    /// How often the run was started, this time included.
    pub number: u32,
}

/// A part in the making; dropped without [`PartWriter::commit`], it leaves nothing under a final
/// name.
#[derive(Debug)]
pub struct PartWriter {
    folder: PathBuf,
    row: PartRow,
    /// The tables with volumes, by name: their files in the making.
    volumes: BTreeMap<&'static str, TableWriter>,
    subjects: Vec<SubjectRow>,
    quality: Vec<QualityRow>,
    failures: Vec<FailureRow>,
    warnings: Vec<WarningRow>,
    scores: Vec<ScoreRow>,
    /// Files written already, below the run folder, with digest and bytes where they are known.
    files: Vec<WrittenFile>,
    started: Instant,
}

impl PartWriter {
    /// A part of a run folder; `digest` is that of what it is made from.
    pub fn new(run: &Path, part: &str, digest: &str, attempt: &Attempt) -> Self {
        Self {
            folder: run.to_owned(),
            row: PartRow {
                part: part.to_owned(),
                digest: digest.to_owned(),
                host: attempt.host.clone(),
                attempt: i32::try_from(attempt.number).unwrap_or(i32::MAX),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..PartRow::default()
            },
            volumes: BTreeMap::new(),
            subjects: Vec::new(),
            quality: Vec::new(),
            failures: Vec::new(),
            warnings: Vec::new(),
            scores: Vec::new(),
            files: Vec::new(),
            started: Instant::now(),
        }
    }

    /// Appends rows of one subject to a table with volumes.
    ///
    /// **Errors** if they have other columns than those before ([`SinkError::Rows`]; the part goes
    /// on without them), or the file cannot be written: then the part is lost.
    pub fn write_volumes(
        &mut self,
        table: &'static str,
        subject: &str,
        rows: &RecordBatch,
    ) -> Result<(), SinkError> {
        let path = self.folder.join(self.table_file(table));
        let writer = match self.volumes.entry(table) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(new) => new.insert(TableWriter::create(&path, rows.schema())?),
        };
        writer
            .check_columns(rows)
            .map_err(|problem| SinkError::Rows {
                problem: format!(
                    "rows of `{subject}` do not fit those of the subjects before: {problem}"
                ),
            })?;
        writer.write(rows)?;
        self.row.rows += rows.num_rows() as i64;
        Ok(())
    }

    /// Adds what is known of a subject.
    pub fn add(
        &mut self,
        subject: SubjectRow,
        quality: Vec<QualityRow>,
        warnings: Vec<WarningRow>,
        failure: Option<FailureRow>,
    ) {
        if self.subjects.is_empty() {
            self.row.first_subject.clone_from(&subject.subject_id);
        }
        self.row.last_subject.clone_from(&subject.subject_id);
        self.subjects.push(subject);
        self.quality.extend(quality);
        self.warnings.extend(warnings);
        self.failures.extend(failure);
    }

    /// Notes that a subject failed for a reason that may pass: the part is made again by the next start.
    pub fn retry_later(&mut self) {
        self.row.retry += 1;
    }

    /// Adds scores of a subject.
    pub fn add_scores(&mut self, scores: Vec<ScoreRow>) {
        self.scores.extend(scores);
    }

    /// Adds what nodes counted, as the column `nodes` has it.
    pub fn add_nodes(&mut self, nodes: Vec<String>) {
        self.row.nodes.extend(nodes);
    }

    /// Adds a file that was written for a subject of the part, by its path below the run folder.
    pub fn add_file(&mut self, path: PathBuf) {
        self.files.push((path, None));
    }

    /// Failures so far.
    pub fn failures(&self) -> &[FailureRow] {
        &self.failures
    }

    /// Publishes the tables, then the commit record, and adds the part to the ledger.
    ///
    /// **Errors** if a file cannot be written or read back; the part does not exist then.
    pub fn commit(mut self, ledger: &mut Ledger) -> Result<(), SinkError> {
        for (table, writer) in std::mem::take(&mut self.volumes) {
            let receipt = writer.close()?;
            self.files.push((self.table_file(table), known(receipt)));
        }
        let tables = [
            self.publish(&self.subjects)?,
            self.publish(&self.quality)?,
            self.publish(&self.failures)?,
            self.publish(&self.warnings)?,
            self.publish(&self.scores)?,
        ];
        self.files.extend(tables.into_iter().flatten());
        let mut row = self.row;
        row.subjects = self.subjects.len() as i64;
        row.failures = self.failures.len() as i64;
        for (path, known) in &self.files {
            let (digest, bytes) = match known {
                Some(known) => known.clone(),
                None => digest_of(&self.folder.join(path))?,
            };
            row.bytes += bytes as i64;
            // Paths below the run folder are ASCII: file stems escape everything else.
            let path = path.to_string_lossy().replace('\\', "/");
            let file = PartFile {
                path: &path,
                bytes,
                digest: &digest,
            };
            row.files.push(file.to_string());
        }
        row.seconds = self.started.elapsed().as_secs_f64();
        row.committed = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let (path, row) = (ledger.record(&row.part), row.sealed());
        match record::create(&path, &row) {
            Err(e) if e.exists_already() => replace(&path, &row)?,
            created => created?,
        }
        if !store::is_url(&path) {
            sync_folder(&self.folder.join(RECORDS))?;
        }
        ledger.add(row);
        Ok(())
    }

    /// Writes a table, unless it is empty.
    fn publish<R: TableRow>(&self, rows: &[R]) -> Result<Option<WrittenFile>, SinkError> {
        if rows.is_empty() {
            return Ok(None);
        }
        let path = self.table_file(R::TABLE.name);
        let receipt = write_table(&self.folder.join(&path), rows)?;
        Ok(Some((path, known(receipt))))
    }

    fn table_file(&self, table: &str) -> PathBuf {
        Path::new(table).join(format!("{}.parquet", self.row.part))
    }
}

/// Replaces the commit record of a part that is in the store already: the answer to our own request was
/// lost, or an earlier start had committed the part and the list did not name it. Its files were replaced.
fn replace(path: &Path, row: &PartRow) -> Result<(), SinkError> {
    let known = read_table::<PartRow>(path)?;
    if known.iter().any(|known| known == row) {
        return Ok(());
    }
    tracing::info!(part = %row.part, "the part was committed before and is replaced");
    record::write(path, vec![row.clone()])
}

/// Digest and bytes of a file that was uploaded.
fn known(receipt: Receipt) -> Option<(String, u64)> {
    Some((receipt.digest?, receipt.bytes))
}

/// BLAKE3 and length of a file or an object.
pub(super) fn digest_of(path: &Path) -> Result<(String, u64), SinkError> {
    store::digest(path).map_err(|e| {
        let action = match e.kind() {
            ErrorKind::NotFound => "opening",
            _ => "reading",
        };
        io_error(path, action)(e)
    })
}

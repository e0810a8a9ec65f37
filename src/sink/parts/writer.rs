//! Writes one part: its tables, then its commit record.

use super::{Ledger, PartFile, RECORDS};
use crate::sink::parquet::{TableWriter, sync_folder, write_table};
use crate::sink::{
    FailureRow, PartRow, QualityRow, ScoreRow, SinkError, SubjectRow, TableRow, WarningRow,
    io_error,
};
use crate::store;
use arrow::array::RecordBatch;
use std::path::{Path, PathBuf};
use std::time::Instant;

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
    /// The table with volumes: its name, and its file in the making.
    volumes: Option<(&'static str, TableWriter)>,
    subjects: Vec<SubjectRow>,
    quality: Vec<QualityRow>,
    failures: Vec<FailureRow>,
    warnings: Vec<WarningRow>,
    scores: Vec<ScoreRow>,
    /// Files written already, below the run folder.
    files: Vec<PathBuf>,
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
            volumes: None,
            subjects: Vec::new(),
            quality: Vec::new(),
            failures: Vec::new(),
            warnings: Vec::new(),
            scores: Vec::new(),
            files: Vec::new(),
            started: Instant::now(),
        }
    }

    /// Appends rows of one subject to the table with volumes; a part has one such table.
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
        let (_, writer) = match &mut self.volumes {
            Some(volumes) => volumes,
            None => self
                .volumes
                .insert((table, TableWriter::create(&path, rows.schema())?)),
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

    /// Notes that a subject failed for a reason that may pass.
    pub fn retry_later(&mut self) {
        self.row.retry += 1;
    }

    /// Adds scores of a subject.
    pub fn add_scores(&mut self, scores: Vec<ScoreRow>) {
        self.scores.extend(scores);
    }

    /// Adds a file that was written for a subject of the part, by its path below the run folder.
    pub fn add_file(&mut self, path: PathBuf) {
        self.files.push(path);
    }

    /// Failures so far.
    pub fn failures(&self) -> &[FailureRow] {
        &self.failures
    }

    /// Publishes the tables, then the commit record, and adds the part to the ledger.
    ///
    /// **Errors** if a file cannot be written or read back; the part does not exist then.
    pub fn commit(mut self, ledger: &mut Ledger) -> Result<(), SinkError> {
        if let Some((table, writer)) = self.volumes.take() {
            writer.close()?;
            self.files.push(self.table_file(table));
        }
        self.publish(&self.subjects)?;
        self.publish(&self.quality)?;
        self.publish(&self.failures)?;
        self.publish(&self.warnings)?;
        self.publish(&self.scores)?;
        for (table, rows) in [
            (SubjectRow::TABLE, self.subjects.len()),
            (QualityRow::TABLE, self.quality.len()),
            (FailureRow::TABLE, self.failures.len()),
            (WarningRow::TABLE, self.warnings.len()),
            (ScoreRow::TABLE, self.scores.len()),
        ] {
            if rows > 0 {
                self.files.push(self.table_file(table.name));
            }
        }
        let mut row = self.row;
        row.subjects = self.subjects.len() as i64;
        row.failures = self.failures.len() as i64;
        for path in &self.files {
            let (digest, bytes) = digest_of(&self.folder.join(path))?;
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
        let record = ledger.record(&row.part);
        write_table(&record, std::slice::from_ref(&row))?;
        sync_folder(&self.folder.join(RECORDS))?;
        ledger.add(row);
        Ok(())
    }

    fn publish<R: TableRow>(&self, rows: &[R]) -> Result<(), SinkError> {
        if !rows.is_empty() {
            write_table(&self.folder.join(self.table_file(R::TABLE.name)), rows)?;
        }
        Ok(())
    }

    fn table_file(&self, table: &str) -> PathBuf {
        Path::new(table).join(format!("{}.parquet", self.row.part))
    }
}

/// BLAKE3 and length of a file or an object.
pub(super) fn digest_of(path: &Path) -> Result<(String, u64), SinkError> {
    let mut hasher = blake3::Hasher::new();
    let file = store::open(path).map_err(io_error(path, "opening"))?;
    hasher
        .update_reader(file)
        .map_err(io_error(path, "reading"))?;
    Ok((hasher.finalize().to_hex().to_string(), hasher.count()))
}

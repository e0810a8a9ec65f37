//! The log of attempts of a run in a folder: a file that lines are added to.

use super::log::{Line, shortened};
use crate::error::Error;
use crate::sink::causes;
use crate::sink::parquet::write_whole;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Lines after which the file is shortened: a training adds two for every view.
const LONG: usize = 20_000;

/// The log in a file.
#[derive(Debug)]
pub(super) struct FileLog {
    pub(super) path: PathBuf,
    file: File,
    /// Lines added since it was shortened.
    lines: usize,
}

fn opened(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().append(true).open(path);
    file.map_err(Error::io(path, "opening the log of attempts"))
}

impl FileLog {
    /// The log in a file that is there.
    ///
    /// **Errors** if it cannot be opened.
    pub(super) fn open(path: PathBuf) -> Result<Self, Error> {
        Ok(Self {
            file: opened(&path)?,
            path,
            lines: 0,
        })
    }

    /// Notes that the user ends the process.
    pub(super) fn stop(&mut self) {
        self.add(&[Line::Stopped]);
    }

    /// Adds lines. That they could not be added is no reason to end a run.
    pub(super) fn add(&mut self, lines: &[Line]) {
        if let Err(e) = self.added(lines) {
            tracing::debug!(log = %self.path.display(), reason = %causes(&e), "an attempt was not written down");
        }
    }

    fn added(&mut self, lines: &[Line]) -> Result<(), Error> {
        let text: String = lines.iter().map(Line::text).collect();
        // One write: what the process wrote is kept when it ends, whatever ends it.
        (self.file.write_all(text.as_bytes())).map_err(Error::io(&self.path, "adding to"))?;
        self.lines += lines.len();
        if self.lines >= LONG {
            self.lines = 0;
            let log = std::fs::read(&self.path).map_err(Error::io(&self.path, "reading"))?;
            write_whole(&self.path, shortened(&log).as_bytes())?;
            self.file = opened(&self.path)?;
        }
        Ok(())
    }
}

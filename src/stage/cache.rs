//! Where prepared subjects are kept, and how.

use super::{EdgeSchema, Stage, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keeps what arrives in memory-mapped files, so that no later epoch or run prepares it again.
///
/// One Arrow IPC file a subject, named by a digest of the source's bytes, the steps before this
/// one and voxstream's version: a changed file, step or version is prepared anew. A patch reads
/// only its own pages. Two runs may share a folder; a file appears whole or not at all. Every page
/// is checked when it is first read; a damaged file is made again and reported in `warnings`. In a
/// training pipeline without this step, one with its defaults is at the end of `stages`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Folder of the files; environment variables are replaced. Default: `$VOXSTREAM_CACHE`, else `voxstream` in the user's cache folder.
    pub folder: Option<String>,
    /// Most bytes of the folder, such as `50GiB`; the files used longest ago are removed first. Default `20GiB`.
    pub limit: Option<String>,
    /// How images are kept.
    pub precision: Precision,
}

/// How images are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// As they are, bit for bit.
    #[default]
    Exact,
    /// f32 as half floats: half the bytes, 11 bits of each value.
    Half,
}

impl Cache {
    /// Most bytes of the folder.
    ///
    /// **Errors** say what was found and what is a size.
    pub fn limit_bytes(&self) -> Result<u64, String> {
        let Some(text) = &self.limit else {
            return Ok(20 << 30);
        };
        match text.parse::<bytesize::ByteSize>() {
            Ok(size) if size.as_u64() > 0 => Ok(size.as_u64()),
            _ => Err(format!(
                "`limit` is `{text}`; expected a size above 0 such as `20GiB`"
            )),
        }
    }
}

impl Stage for Cache {
    const NAME: &'static str = "cache";
    const EXAMPLE: &'static str = "{ limit: 50GiB }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.limit_bytes()?;
        Ok(input.clone())
    }

    /// Rows pass: the run looks for the step and keeps what reaches it.
    fn map(&self, row: Row) -> Result<Vec<Row>, StageError> {
        Ok(vec![row])
    }
}

//! Steps of a pipeline: what an author of a stage implements, and how rows run through it.
//!
//! **A new stage is one file and one line.** Write a struct with its YAML fields (doc comments
//! become the user's documentation), implement the weakest of four traits, add the struct to the
//! list in `registry.rs` and a `mod` line here:
//!
//! - [`Stage`]: the same row in, the same rows out, nothing drawn;
//! - [`Augment`]: draw, then apply. Draws are keyed and recorded, so every row can be replayed;
//! - [`Mix`]: draw, then apply, with the row of another subject at hand;
//! - [`Order`]: changes in which order subjects are read, before a voxel is.
//!
//! YAML parsing, JSON Schema, `stages` help, `explain` and the contract tests follow by themselves.

mod adapters;
pub mod cache;
pub mod edge;
pub mod flow;
pub mod intensity;
pub mod label;
pub mod mix;
pub mod modality;
pub mod quality;
pub mod shuffle;
pub mod spatial;

pub use adapters::{AugmentStage, MapStage, OrderStage};
pub use edge::{ChannelSchema, EdgeSchema};
pub use mix::{Mix, MixStage, Mixing, Partner};

use crate::draw::SampleRng;
use crate::volume::{Row, Split, VolumeError};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

/// Why a stage could not do its work on a row; the run adds subject and stage path.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A volume broke a rule.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The row is not what the stage needs.
    #[error("{problem}")]
    Input {
        /// What was found, what was expected, what to do.
        problem: String,
    },
}

impl StageError {
    /// A row that is not what the stage needs.
    pub fn input(problem: impl Into<String>) -> Self {
        Self::Input {
            problem: problem.into(),
        }
    }
}

/// What every step's parameters are: plain data with a schema.
pub trait Parameters: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static {}
impl<T: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static> Parameters for T {}

/// What a step does to voxels; the planner joins steps into one pass by it.
///
/// Geometry and pointwise changes may be left deferred, see [`Volume`](crate::volume::Volume).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Rearranges voxels (turn, flip, pad): output voxels are source voxels or the fill value, and
    /// the mapping depends on the grid alone.
    Permutes,
    /// Interpolates between voxels; the mapping depends on the grid and the draw alone.
    Resamples,
    /// As [`Effect::Permutes`], and keeps a small part of the volume: steps before it may compute
    /// that part alone.
    Crops,
    /// Reads voxels to decide which of them are kept: a crop to the foreground.
    DataDependentCrop,
    /// Changes each voxel by a function of its own value and position.
    Pointwise,
    /// As [`Effect::Pointwise`], by a function that follows from figures of the whole image.
    Normalizes,
    /// Keeps, drops or reorders whole rows; no voxel is read or written.
    RowLevel,
    /// Anything else: reads materialised voxels and writes materialised voxels.
    Opaque,
}

/// A step that draws nothing.
pub trait Stage: Parameters {
    /// Key in YAML.
    const NAME: &'static str;
    /// A YAML value for [`Stage::NAME`]; parsed by a test, shown by `stages`.
    const EXAMPLE: &'static str;
    /// Checks the parameters against what arrives, and says what leaves.
    ///
    /// **Errors** what was found, what was expected, what to do: the only place to refuse a plan.
    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String>;
    /// What the step does with voxels.
    fn effect(&self) -> Effect {
        Effect::Opaque
    }
    /// Returns `true` if class numbers mean something else behind the step. The truth that predictions are
    /// scored against takes such steps of `stages`, too, on its own grid and without images.
    fn relabels(&self) -> bool {
        false
    }
    /// Runs on one row.
    ///
    /// **Errors** put the subject into the run's failures; the run continues.
    fn map(&self, row: Row) -> Result<Vec<Row>, StageError>;
}

/// A random step: draw, then apply. Stateless; the draw is recorded in the row.
pub trait Augment: Parameters {
    /// Key in YAML.
    const NAME: &'static str;
    /// A YAML value for [`Augment::NAME`]; parsed by a test, shown by `stages`.
    const EXAMPLE: &'static str;
    /// Everything that was drawn, enough to apply it again.
    type Draw: Serialize + DeserializeOwned;
    /// Checks the parameters against what arrives, and says what leaves.
    ///
    /// **Errors** what was found, what was expected, what to do.
    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String>;
    /// What the step does with voxels.
    fn effect(&self) -> Effect {
        Effect::Opaque
    }
    /// How many rows are made of one.
    fn samples(&self, _row: &Row) -> u32 {
        1
    }
    /// Draws the parameters of one row; `None` leaves the row as it is.
    fn draw(&self, rng: &mut SampleRng, row: &Row, sample: u32) -> Option<Self::Draw>;
    /// Applies a draw; the same draw on the same row produces the same bytes.
    ///
    /// **Errors** put the subject into the run's failures; the run continues.
    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError>;
}

/// What is known of a subject before a voxel is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectFacts {
    /// The subject's id.
    pub id: String,
    /// Name of the cohort it comes from.
    pub cohort: String,
    /// Part of the cohort.
    pub split: Split,
    /// Whether its labels are used in training.
    pub labelled: bool,
    /// Modalities it has, in the order of the source.
    pub modalities: Vec<String>,
}

/// A step that changes the order in which subjects are read.
pub trait Order: Parameters {
    /// Key in YAML.
    const NAME: &'static str;
    /// A YAML value for [`Order::NAME`]; parsed by a test, shown by `stages`.
    const EXAMPLE: &'static str;
    /// Reorders positions of subjects for one epoch; `facts` are those of all positions.
    ///
    /// A subject may come several times and another not at all. Each time it comes it is another
    /// sample, so that what is drawn differs.
    fn order(&self, rng: &mut SampleRng, subjects: &mut [usize], facts: &[SubjectFacts]);
}

/// A step with its type erased, as plans and runs hold it.
pub trait AnyStage: Send + Sync {
    /// Key in YAML.
    fn name(&self) -> &'static str;
    /// The parameters, defaults included.
    fn to_json(&self) -> serde_json::Value;
    /// Returns `true` if anything is drawn: rows before the first random step can be cached.
    fn is_random(&self) -> bool;
    /// What the step does with voxels; `None` for a step that moves and changes none.
    fn effect(&self) -> Option<Effect>;
    /// See [`Stage::relabels`].
    fn relabels(&self) -> bool {
        false
    }
    /// See [`Stage::check`].
    ///
    /// **Errors** what was found, what was expected, what to do.
    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String>;
    /// Runs on one row; `path` keys the draws and is noted in the row's history.
    ///
    /// **Errors** as [`Stage::map`].
    fn run(&self, path: &str, seed: u64, row: Row) -> Result<Vec<Row>, StageError>;
    /// What the step takes from the row of another subject; `None` where it needs no other row.
    fn mixing(&self) -> Option<Mixing> {
        None
    }
    /// Runs a mixing step on one row; `partner` is asked only where the row is mixed.
    ///
    /// **Errors** as [`Mix::apply`], those of `partner`, and when the step mixes nothing.
    fn mix(
        &self,
        _path: &str,
        _seed: u64,
        _row: Row,
        _partner: Partner<'_>,
    ) -> Result<Row, StageError> {
        Err(StageError::input(format!(
            "`{}` mixes no rows",
            self.name()
        )))
    }
    /// Replays a recorded mix with the partner's row, as it was when it was mixed in.
    ///
    /// **Errors** when the step mixes nothing, the record is not one of its draws, or `partner` is
    /// another subject than the recorded one.
    fn replay_mix(
        &self,
        _draw: &serde_json::Value,
        _row: Row,
        _partner: &Row,
    ) -> Result<Row, StageError> {
        Err(StageError::input(format!(
            "`{}` mixes no rows",
            self.name()
        )))
    }
    /// Replays a recorded draw.
    ///
    /// **Errors** when the step draws nothing, the record is not one of its draws, or the step
    /// mixes rows: see [`AnyStage::replay_mix`].
    fn replay(&self, draw: &serde_json::Value, row: Row) -> Result<Row, StageError>;
    /// Runs on one row as [`AnyStage::run`] does, with a recorded draw instead of a new one; `None` if
    /// the record names none, so the row passes as it is. A step that makes several rows of one draws
    /// once for each: they differ in their sample numbers, and the record belongs to one of them.
    ///
    /// **Errors** as [`AnyStage::run`] and [`AnyStage::replay`].
    fn rerun(
        &self,
        path: &str,
        _draw: Option<&serde_json::Value>,
        row: Row,
    ) -> Result<Vec<Row>, StageError> {
        // Such a step draws nothing, so its seed does not matter.
        self.run(path, 0, row)
    }
    /// Reorders subjects for one epoch; most steps leave the order alone.
    fn order(
        &self,
        _path: &str,
        _seed: u64,
        _epoch: u64,
        _subjects: &mut [usize],
        _facts: &[SubjectFacts],
    ) {
    }
}

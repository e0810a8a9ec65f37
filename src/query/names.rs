//! Names that a statement may use.

/// Functions on volumes.
pub(super) const FUNCTIONS: [&str; 7] = [
    "dice",
    "volume_ml",
    "components",
    "mean_in",
    "percentile",
    "voxels",
    "slice_png",
];

/// What there is, for errors and completion.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Tables, those of sub-runs with their schema in front, then views.
    pub tables: Vec<String>,
    /// Columns of the tables and views that are defined by this program.
    pub columns: Vec<String>,
    /// Functions: those on volumes first, then the engine's.
    pub functions: Vec<String>,
    /// Returns `true` if one run folder was named.
    pub single: bool,
    /// Bytes that a query may take.
    pub memory: u64,
}

//! Keys of the metadata that tables and columns carry.

/// Schema metadata key of a table's name.
pub const NAME_KEY: &str = "voxstream.schema";
/// Schema metadata key of a table's version.
pub const VERSION_KEY: &str = "voxstream.schema_version";
/// Metadata key of a table's or column's meaning.
pub const DOC_KEY: &str = "voxstream.doc";
/// Field metadata key of a column's unit; absent where there is none.
pub const UNIT_KEY: &str = "voxstream.unit";
/// Field metadata key of a column whose values depend on who did the work and when; absent elsewhere.
pub const VOLATILE_KEY: &str = "voxstream.volatile";

//! What an output table is: name, version, and columns with type, unit and meaning.

use super::rows;
use super::stored::stored_volume_fields;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Every output table, in the order in which a reader would ask for them.
pub const TABLES: &[&TableDef] = &[
    &rows::SUBJECTS,
    &rows::PARTS,
    &rows::QUALITY,
    &rows::METRICS,
    &rows::SCORES,
    &rows::POSTPROCESSING,
    &rows::EDGES,
    &rows::FAILURES,
    &rows::WARNINGS,
    &rows::PSEUDO_LABELS,
    &rows::PREDICTIONS,
    &rows::FINGERPRINT,
    &rows::FINGERPRINT_CLASSES,
];

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

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Yes or no.
    Bool,
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// Double.
    F64,
    /// Text.
    Text,
    /// List of texts.
    TextList,
    /// Texts by name.
    TextMap,
    /// List of floats.
    F32List,
    /// A compressed volume, see [`stored_volume_fields`].
    Volume,
}

impl ColumnType {
    /// The Arrow type.
    pub fn arrow(self) -> DataType {
        let list = |item| DataType::List(Arc::new(Field::new("item", item, false)));
        match self {
            Self::Bool => DataType::Boolean,
            Self::I32 => DataType::Int32,
            Self::I64 => DataType::Int64,
            Self::F64 => DataType::Float64,
            Self::Text => DataType::Utf8,
            Self::TextList => list(DataType::Utf8),
            Self::TextMap => text_map(),
            Self::F32List => list(DataType::Float32),
            Self::Volume => DataType::Struct(stored_volume_fields()),
        }
    }
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct ColumnDef {
    /// Name.
    pub name: &'static str,
    /// Type.
    pub dtype: ColumnType,
    /// Whether values may be null.
    pub nullable: bool,
    /// Unit, such as `mm` or `s`; empty where there is none.
    pub unit: &'static str,
    /// Whether values depend on who did the work and when, so that two runs of one pipeline on the
    /// same inputs differ in them.
    pub volatile: bool,
    /// Meaning.
    pub doc: &'static str,
}

/// One output table.
#[derive(Debug, Clone, Copy)]
pub struct TableDef {
    /// Name: the file's or folder's name in a run folder, and the table's name in SQL.
    pub name: &'static str,
    /// Version; grows with every change a reader could notice.
    pub version: u32,
    /// Meaning.
    pub doc: &'static str,
    /// Columns in order.
    pub columns: &'static [ColumnDef],
}

impl TableDef {
    /// The Arrow schema; name, version, units and documentation stand in its metadata.
    pub fn arrow_schema(&self) -> SchemaRef {
        let fields: Vec<Field> = self.columns.iter().map(ColumnDef::field).collect();
        let metadata = HashMap::from([
            (NAME_KEY.to_owned(), self.name.to_owned()),
            (VERSION_KEY.to_owned(), self.version.to_string()),
            (DOC_KEY.to_owned(), self.doc.to_owned()),
        ]);
        Arc::new(Schema::new_with_metadata(fields, metadata))
    }

    /// The file's name in a run folder, for tables that are one file.
    pub fn file_name(&self) -> String {
        format!("{}.parquet", self.name)
    }

    /// The description kept in `schemas/<name>.arrow.json`.
    pub fn to_json(&self) -> Value {
        let columns: Vec<Value> = self
            .columns
            .iter()
            .map(|c| {
                let mut column = json!({
                    "name": c.name,
                    "type": type_json(&c.dtype.arrow()),
                    "nullable": c.nullable,
                    "doc": c.doc,
                });
                if !c.unit.is_empty() {
                    column["unit"] = c.unit.into();
                }
                if c.volatile {
                    column["volatile"] = true.into();
                }
                column
            })
            .collect();
        json!({"table": self.name, "version": self.version, "doc": self.doc, "columns": columns})
    }

    /// The table of a name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        TABLES.iter().copied().find(|t| t.name == name)
    }
}

impl ColumnDef {
    fn field(&self) -> Field {
        let mut metadata = HashMap::from([(DOC_KEY.to_owned(), self.doc.to_owned())]);
        if !self.unit.is_empty() {
            metadata.insert(UNIT_KEY.to_owned(), self.unit.to_owned());
        }
        if self.volatile {
            metadata.insert(VOLATILE_KEY.to_owned(), "true".to_owned());
        }
        Field::new(self.name, self.dtype.arrow(), self.nullable).with_metadata(metadata)
    }
}

/// Keys and values are texts; the names are those that Arrow's builder gives.
fn text_map() -> DataType {
    let entries = vec![
        Field::new("keys", DataType::Utf8, false),
        Field::new("values", DataType::Utf8, true),
    ];
    let entries = Field::new("entries", DataType::Struct(entries.into()), false);
    DataType::Map(Arc::new(entries), false)
}

fn type_json(dtype: &DataType) -> Value {
    match dtype {
        DataType::List(item) => json!({"list": type_json(item.data_type())}),
        DataType::FixedSizeList(item, length) => {
            json!({"fixed_size_list": type_json(item.data_type()), "length": length})
        }
        DataType::Struct(fields) => {
            let fields: Vec<Value> = fields
                .iter()
                .map(|f| {
                    json!({
                        "name": f.name(),
                        "type": type_json(f.data_type()),
                        "nullable": f.is_nullable(),
                        "doc": f.metadata().get(DOC_KEY),
                    })
                })
                .collect();
            json!({ "struct": fields })
        }
        DataType::Map(..) => json!({"map": ["utf8", "utf8"]}),
        plain => plain.to_string().to_lowercase().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_carries_name_version_unit_and_meaning() {
        let schema = rows::EDGES.arrow_schema();
        assert_eq!(schema.metadata()[NAME_KEY], "edges");
        assert_eq!(schema.metadata()[VERSION_KEY], "1");
        let busy = schema.field_with_name("busy_seconds").unwrap();
        assert_eq!(busy.metadata()[UNIT_KEY], "s");
        assert!(!busy.metadata()[DOC_KEY].is_empty());
    }

    #[test]
    fn every_column_is_documented_and_named_once() {
        for table in TABLES {
            assert!(TableDef::by_name(table.name).is_some_and(|t| t.doc == table.doc));
            let names: std::collections::BTreeSet<_> =
                table.columns.iter().map(|c| c.name).collect();
            assert_eq!(names.len(), table.columns.len(), "{}", table.name);
            for column in table.columns {
                assert!(column.doc.len() > 3, "{}.{}", table.name, column.name);
                assert!(!column.doc.starts_with(' '));
            }
        }
    }

    #[test]
    fn json_names_nested_types() {
        let json = rows::PSEUDO_LABELS.to_json();
        let columns = json["columns"].as_array().unwrap();
        let label = columns.iter().find(|c| c["name"] == "label").unwrap();
        assert_eq!(label["type"]["struct"][0]["name"], "voxels");
        assert_eq!(label["type"]["struct"][0]["type"], "largebinary");
        let thresholds = columns.iter().find(|c| c["name"] == "thresholds").unwrap();
        assert_eq!(thresholds["type"], json!({"list": "float32"}));
    }
}

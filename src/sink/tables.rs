//! The list of all output tables.

use super::rows;
use super::table::TableDef;

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
    &rows::VIEWS,
    &rows::PSEUDO_LABELS,
    &rows::PREDICTIONS,
    &rows::FINGERPRINT,
    &rows::FINGERPRINT_CLASSES,
];

/// The table of a name.
pub fn by_name(name: &str) -> Option<&'static TableDef> {
    TABLES.iter().copied().find(|table| table.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::table::{DOC_KEY, NAME_KEY, UNIT_KEY, VERSION_KEY};
    use serde_json::json;

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
            assert!(by_name(table.name).is_some_and(|t| t.doc == table.doc));
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

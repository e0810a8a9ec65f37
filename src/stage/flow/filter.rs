//! Lets pass the rows that satisfy a condition.

use crate::kernel::region::class_counts;
use crate::query::Predicate;
use crate::stage::{EdgeSchema, Effect, Stage, StageError};
use crate::volume::{Role, Row, Volume};
use crate::with_voxel_type;
use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// Lets rows pass that satisfy a condition in SQL; others are dropped, which is no failure.
///
/// Columns: `subject_id`, `cohort`, `split`, `view`, `sample`, `labelled`, `modalities` (how many are
/// present) and `has_<modality>`; of the first modality present `shape_x`, `shape_y`, `shape_z`
/// (voxels), `spacing_x_mm`, `spacing_y_mm`, `spacing_z_mm` and `orientation` (`RAS`); of the first
/// label map present `class_<number>_voxels`. What a row lacks is null. Names are taken as
/// written; `"has_a-b"` quotes what is no plain word. Rows for which the condition is null are dropped, too.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// The condition, such as `spacing_z_mm <= 5 and class_2_voxels > 100`.
    #[serde(rename = "where")]
    pub condition: String,
    #[serde(skip)]
    #[schemars(skip)]
    compiled: OnceLock<Result<Predicate, String>>,
}

impl Filter {
    /// The step with a condition.
    pub fn new(condition: impl Into<String>) -> Self {
        Self {
            condition: condition.into(),
            compiled: OnceLock::new(),
        }
    }

    fn compile<'a>(&self, modalities: impl Iterator<Item = &'a str>) -> Result<Predicate, String> {
        let schema = schema(modalities, &self.condition);
        Predicate::compile(&self.condition, schema).map_err(|e| format!("`where`: {e}"))
    }
}

/// Columns of a row with these modalities; class counts are columns where the condition names them.
fn schema<'a>(modalities: impl Iterator<Item = &'a str>, condition: &str) -> SchemaRef {
    const NUMBERS: [&str; 5] = ["sample", "modalities", "shape_x", "shape_y", "shape_z"];
    let field = |name: String, kind| Field::new(name, kind, true);
    let text = ["subject_id", "cohort", "split", "view", "orientation"];
    let mut fields: Vec<Field> = text.map(|n| field(n.to_owned(), DataType::Utf8)).into();
    fields.push(field("labelled".into(), DataType::Boolean));
    fields.extend(NUMBERS.map(|n| field(n.to_owned(), DataType::Int64)));
    fields.extend(["x", "y", "z"].map(|a| field(format!("spacing_{a}_mm"), DataType::Float64)));
    fields.extend(modalities.map(|m| field(format!("has_{m}"), DataType::Boolean)));
    let mut classes: Vec<&str> = condition
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| class_of(word).is_some())
        .collect();
    classes.sort_unstable();
    classes.dedup();
    fields.extend(
        classes
            .iter()
            .map(|c| field((*c).to_owned(), DataType::Int64)),
    );
    Arc::new(Schema::new(fields))
}

/// The class of a column `class_<number>_voxels`.
fn class_of(column: &str) -> Option<i64> {
    let number = column.strip_prefix("class_")?.strip_suffix("_voxels")?;
    let is_plain = number.bytes().all(|b| b.is_ascii_digit());
    number.parse().ok().filter(|_| is_plain)
}

/// Voxels of each class of the first label map; `None` without any.
fn counts(row: &Row) -> Option<BTreeMap<i64, usize>> {
    let labels = row.labels.iter().find_map(|c| c.volume.as_ref())?;
    let scaling = labels.scaling();
    Some(with_voxel_type!(labels.dtype(), T => {
        let stored: &[T] = bytemuck::cast_slice(labels.buffer().as_slice());
        class_counts(stored, |v| {
            (scaling.slope * crate::volume::Voxel::to_f64(v) + scaling.intercept).round() as i64
        })
    }))
}

/// The row's facts as one row of the predicate's columns; those it does not read are null.
fn facts(row: &Row, predicate: &Predicate) -> Result<RecordBatch, StageError> {
    let grid = row.first_image().map(|(_, volume)| *volume.grid());
    let is_read = |name: &str| predicate.columns().iter().any(|c| c == name);
    let mut classes = None;
    let text = |value: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let number = |value: Option<i64>| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
    let truth = |value: bool| -> ArrayRef { Arc::new(BooleanArray::from(vec![value])) };
    let real = |value: Option<f64>| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
    let has = |volume: Option<&Volume>| truth(volume.is_some());
    let columns = predicate.schema().fields().iter().map(|field| {
        let name = field.name().as_str();
        if !is_read(name) {
            return new_null_array(field.data_type(), 1);
        }
        let axis = |from: &str| match from.as_bytes().last() {
            Some(b'x') => 0,
            Some(b'y') => 1,
            _ => 2,
        };
        match name {
            "subject_id" => text(Some(&row.subject)),
            "cohort" => text(Some(&row.cohort)),
            "split" => text(Some(row.split.name())),
            "view" => text(Some(&row.view)),
            "orientation" => text(grid.map(|g| g.orientation()).as_deref()),
            "labelled" => truth(row.is_labelled()),
            "sample" => number(Some(row.sample.into())),
            "modalities" => number(Some(
                row.images.iter().filter(|c| c.volume.is_some()).count() as i64,
            )),
            "shape_x" | "shape_y" | "shape_z" => {
                number(grid.map(|g| g.shape_xyz()[axis(name)] as i64))
            }
            "spacing_x_mm" | "spacing_y_mm" | "spacing_z_mm" => {
                real(grid.map(|g| g.spacing_mm()[axis(&name[..9])]))
            }
            _ => match (class_of(name), name.strip_prefix("has_")) {
                (Some(class), _) => {
                    let counts = classes.get_or_insert_with(|| counts(row)).as_ref();
                    number(counts.map(|c| c.get(&class).copied().unwrap_or(0) as i64))
                }
                (None, modality) => {
                    let image = row
                        .images
                        .iter()
                        .find(|c| Some(c.name.as_str()) == modality);
                    has(image.and_then(|c| c.volume.as_ref()))
                }
            },
        }
    });
    RecordBatch::try_new(Arc::clone(predicate.schema()), columns.collect())
        .map_err(|e| StageError::input(e.to_string()))
}

impl Stage for Filter {
    const NAME: &'static str = "filter";
    const EXAMPLE: &'static str = "{ where: \"spacing_z_mm <= 5 and class_1_voxels > 0\" }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        let predicate = self.compile(input.images().map(|c| c.name.as_str()))?;
        let has_labels = input.channels.iter().any(|c| c.role == Role::Label);
        let counted = predicate.columns().iter().find(|c| class_of(c).is_some());
        if let (Some(column), false) = (counted, has_labels) {
            return Err(format!(
                "`where` asks for `{column}`, and no label map arrives here; declare one in `source`"
            ));
        }
        Ok(EdgeSchema {
            rows_per_subject: None,
            ..input.clone()
        })
    }

    fn effect(&self) -> Effect {
        Effect::RowLevel
    }

    fn map(&self, row: Row) -> Result<Vec<Row>, StageError> {
        let compiled = self
            .compiled
            .get_or_init(|| self.compile(row.images.iter().map(|c| c.name.as_str())));
        let predicate = compiled.as_ref().map_err(StageError::input)?;
        let batch = facts(&row, predicate)?;
        let passes = predicate.holds(&batch).map_err(StageError::input)?;
        Ok(if passes { vec![row] } else { vec![] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::intensity::tests::row_of;
    use crate::volume::Channel;

    fn row() -> Row {
        let mut row = row_of(&[0.0; 6]);
        let grid = *row.images[0].volume.as_ref().unwrap().grid();
        row.images.push(Channel {
            name: "mr".into(),
            volume: None,
        });
        row.labels.push(Channel {
            name: String::new(),
            volume: Some(Volume::from_vec(vec![0u8, 3, 3, 1, 0, 3], grid).unwrap()),
        });
        row
    }

    fn passes(condition: &str, row: &Row) -> bool {
        !Filter::new(condition).map(row.clone()).unwrap().is_empty()
    }

    #[test]
    fn every_column_is_what_it_says() {
        let mut row = row();
        for condition in [
            "subject_id = 'one' and cohort = 'test' and split = 'train' and view = ''",
            "sample = 0 and labelled and modalities = 1",
            "has_ct and not has_mr",
            "shape_x = 6 and shape_y = 1 and shape_z = 1 and orientation = 'RAS'",
            "spacing_x_mm = 1 and spacing_y_mm = 1 and spacing_z_mm = 1",
            "class_3_voxels = 3 and class_1_voxels = 1 and class_9_voxels = 0",
            "class_3_voxels > 2 * class_1_voxels",
        ] {
            assert!(passes(condition, &row), "{condition}");
            assert!(!passes(&format!("not ({condition})"), &row), "{condition}");
        }
        row.labels[0].volume = None;
        assert!(passes("class_3_voxels is null and not labelled", &row));
        row.images[0].volume = None;
        assert!(passes("shape_x is null and orientation is null", &row));
    }

    #[test]
    fn mistakes_are_found_before_a_row_arrives() {
        let edge = EdgeSchema {
            channels: vec![],
            rows_per_subject: Some(1),
        };
        let error = |condition: &str| Filter::new(condition).check(&edge).unwrap_err();
        let near = error("spacing_z > 3");
        assert!(near.contains("did you mean `spacing_z_mm`"), "{near}");
        assert!(error("has_ct").contains("no column `has_ct`"));
        assert!(error("class_1_voxels > 0").contains("no label map"));
        let checked = Filter::new("shape_z > 3").check(&edge).unwrap();
        assert_eq!(checked.rows_per_subject, None);
    }
}

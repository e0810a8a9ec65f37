//! The list of parts of a job, as the source of its plan.
//!
//! **Law** one partition a part. The source is DataFusion's own in memory: the scheduler cuts it to the
//! partitions of a task, which it does for the leaves it knows and for no other.

use crate::run::cut::Stretch;
use arrow::array::{AsArray, ListArray, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

/// A part to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartRequest {
    /// Its name.
    pub(super) part: String,
    /// BLAKE3 over the plan and the inputs of its subjects, as the driver sees them.
    pub(super) digest: String,
    /// Positions of its subjects in the cohort.
    pub(super) subjects: Vec<usize>,
}

impl From<&Stretch> for PartRequest {
    fn from(stretch: &Stretch) -> Self {
        Self {
            part: stretch.name.clone(),
            digest: stretch.digest.clone(),
            subjects: stretch.subjects.clone(),
        }
    }
}

fn schema() -> SchemaRef {
    let item = Field::new("item", DataType::UInt64, true);
    Arc::new(Schema::new(vec![
        Field::new("part", DataType::Utf8, false),
        Field::new("digest", DataType::Utf8, false),
        Field::new("subjects", DataType::List(Arc::new(item)), false),
    ]))
}

/// The source of a job.
///
/// **Errors** if Arrow refuses the columns.
pub(super) fn source(stretches: &[Stretch]) -> Result<Arc<dyn ExecutionPlan>> {
    let batch = |stretch: &Stretch| -> Result<Vec<RecordBatch>> {
        let subjects = stretch.subjects.iter().map(|i| Some(*i as u64));
        let lists = ListArray::from_iter_primitive::<UInt64Type, _, _>([Some(subjects)]);
        let batch = RecordBatch::try_new(
            schema(),
            vec![
                Arc::new(StringArray::from_iter_values([&stretch.name])),
                Arc::new(StringArray::from_iter_values([&stretch.digest])),
                Arc::new(lists),
            ],
        )?;
        Ok(vec![batch])
    };
    let partitions = (stretches.iter().map(batch)).collect::<Result<Vec<_>>>()?;
    Ok(MemorySourceConfig::try_new_exec(
        &partitions,
        schema(),
        None,
    )?)
}

/// The parts in rows of the source.
///
/// **Errors** if they have other columns.
pub(super) fn requests(rows: &RecordBatch) -> Result<Vec<PartRequest>> {
    let other = || exec_datafusion_err!("a task's rows are no parts: {:?}", rows.schema());
    let text = |name: &str| rows.column_by_name(name)?.as_string_opt::<i32>();
    let (parts, digests) = (text("part"), text("digest"));
    let lists = rows.column_by_name("subjects");
    let lists = lists.and_then(|lists| lists.as_list_opt::<i32>());
    let (Some(parts), Some(digests), Some(lists)) = (parts, digests, lists) else {
        return Err(other());
    };
    let request = |row: usize| {
        let list = lists.value(row);
        let positions: &UInt64Array = list.as_primitive_opt().ok_or_else(other)?;
        Ok(PartRequest {
            part: parts.value(row).to_owned(),
            digest: digests.value(row).to_owned(),
            subjects: positions.values().iter().map(|i| *i as usize).collect(),
        })
    };
    (0..rows.num_rows()).map(request).collect()
}

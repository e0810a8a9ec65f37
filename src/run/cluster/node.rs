//! The node of a plan that makes parts.

use super::manifest::{PartRequest, requests};
use super::site::Site;
use super::task::RunTask;
use crate::sink::PartRow;
use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::{StreamExt, TryStreamExt};
use std::fmt::Formatter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Makes the part of each row of its input, and returns a small row for it.
///
/// **Law** a part depends on its row and on nothing of the task: the number of a partition is local to the
/// task that runs it, so it names no file and seeds no draw.
#[derive(Debug)]
pub(super) struct PartExec {
    task: Arc<RunTask>,
    site: Option<Arc<Site>>,
    parts: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl PartExec {
    /// A node above a source of parts; `site` makes them, in an executor.
    pub(super) fn new(
        task: Arc<RunTask>,
        site: Option<Arc<Site>>,
        parts: Arc<dyn ExecutionPlan>,
    ) -> Self {
        let partitions = parts.properties().partitioning.partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(made_schema()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            task,
            site,
            parts,
            properties: Arc::new(properties),
        }
    }

    /// What its tasks have in common.
    pub(super) fn task(&self) -> &RunTask {
        &self.task
    }
}

fn made_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("part", DataType::Utf8, false),
        Field::new("subjects", DataType::Int64, false),
        Field::new("failures", DataType::Int64, false),
        Field::new("host", DataType::Utf8, false),
    ]))
}

fn made_row(row: &PartRow) -> Result<RecordBatch> {
    let batch = RecordBatch::try_new(
        made_schema(),
        vec![
            Arc::new(StringArray::from_iter_values([&row.part])),
            Arc::new(Int64Array::from(vec![row.subjects])),
            Arc::new(Int64Array::from(vec![row.failures])),
            Arc::new(StringArray::from_iter_values([&row.host])),
        ],
    )?;
    Ok(batch)
}

impl DisplayAs for PartExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PartExec: run={}, plan={}",
            self.task.run, self.task.plan
        )
    }
}

impl ExecutionPlan for PartExec {
    fn name(&self) -> &'static str {
        "PartExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.parts]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [parts] = &children[..] else {
            return exec_err!("PartExec has {} inputs, expected 1", children.len());
        };
        let (task, site) = (Arc::clone(&self.task), self.site.clone());
        Ok(Arc::new(Self::new(task, site, Arc::clone(parts))))
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        // A partition is a part; cutting the list anew gains nothing.
        vec![false]
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some(site) = self.site.clone() else {
            return exec_err!("parts are made by `voxstream executor` alone");
        };
        let rows = self.parts.execute(partition, context)?;
        let task = Arc::clone(&self.task);
        let made = rows
            .map(|rows| -> Result<_> {
                let requests = requests(&rows?)?;
                Ok(futures::stream::iter(requests).map(Ok))
            })
            .try_flatten()
            .and_then(move |request| make(Arc::clone(&site), Arc::clone(&task), request));
        Ok(Box::pin(RecordBatchStreamAdapter::new(made_schema(), made)))
    }
}

/// Makes a part on a thread of its own; dropping the result stops the work before its next subject.
async fn make(site: Arc<Site>, task: Arc<RunTask>, request: PartRequest) -> Result<RecordBatch> {
    let stop = Stop(Arc::default());
    let stopped = Arc::clone(&stop.0);
    let made = tokio::task::spawn_blocking(move || site.make(&task, &request, stopped)).await;
    match made {
        Ok(made) => made_row(&made?),
        Err(e) => exec_err!("the thread that made a part ended: {e}"),
    }
}

/// Sets its flag when it is dropped.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

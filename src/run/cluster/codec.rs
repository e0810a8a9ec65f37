//! Writes the node that makes parts for the wire, and reads it where the version is the same.

use super::node::PartExec;
use super::site::Site;
use super::task::RunTask;
use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use serde::Deserialize;
use std::sync::Arc;

/// Begins the bytes of a [`PartExec`]; what begins otherwise is Ballista's.
const TAG: &[u8; 4] = b"VXP1";

/// What every version can read of a task.
#[derive(Deserialize)]
struct Versioned {
    version: String,
}

/// Reads and writes [`PartExec`]; other nodes are left to Ballista.
#[derive(Debug)]
pub(super) struct PartCodec {
    inner: BallistaPhysicalExtensionCodec,
    /// Who reads: `scheduler`, or the name of an executor.
    reader: String,
    /// Makes parts, in an executor.
    site: Option<Arc<Site>>,
}

impl PartCodec {
    /// The codec of a scheduler or a driver, which make no part.
    pub(super) fn new(reader: &str) -> Self {
        Self {
            inner: BallistaPhysicalExtensionCodec::default(),
            reader: reader.to_owned(),
            site: None,
        }
    }

    /// The codec of an executor.
    pub(super) fn of_site(site: &Arc<Site>) -> Self {
        Self {
            reader: format!("executor {}", site.name()),
            site: Some(Arc::clone(site)),
            ..Self::new("")
        }
    }

    fn read(&self, body: &[u8]) -> Result<RunTask> {
        let damaged = |e: serde_json::Error| {
            DataFusionError::Plan(format!("a task for {} cannot be read: {e}", self.reader))
        };
        let Versioned { version } = serde_json::from_slice(body).map_err(damaged)?;
        let own = env!("CARGO_PKG_VERSION");
        if version != own {
            return plan_err!(
                "⟦{} is voxstream {own}, the run was started with voxstream {version}; start scheduler, executors and run with the same version⟧",
                self.reader
            );
        }
        serde_json::from_slice(body).map_err(damaged)
    }
}

impl PhysicalExtensionCodec for PartCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(body) = bytes.strip_prefix(TAG) else {
            return self.inner.try_decode(bytes, inputs, context, converter);
        };
        let task = self.read(body)?;
        let [parts] = inputs else {
            return plan_err!("PartExec has {} inputs, expected 1", inputs.len());
        };
        let site = self.site.clone();
        Ok(Arc::new(PartExec::new(
            Arc::new(task),
            site,
            Arc::clone(parts),
        )))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let Some(part) = node.downcast_ref::<PartExec>() else {
            return self.inner.try_encode(node, bytes, converter);
        };
        bytes.extend_from_slice(TAG);
        serde_json::to_writer(bytes, part.task())
            .map_err(|e| DataFusionError::External(Box::new(e)))
    }
}

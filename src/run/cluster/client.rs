//! The driver's side of a scheduler: sends jobs, asks how they stand, cancels them.

use super::address::ClusterAddress;
use super::codec::PartCodec;
use crate::error::Error;
use ballista_core::config::BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK;
use ballista_core::extension::{SessionConfigExt, SessionConfigHelperExt};
use ballista_core::serde::protobuf::execute_query_params::Query;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{
    CancelJobParams, ExecuteQueryParams, GetJobStatusParams, execute_query_result, job_status,
};
use ballista_core::version::insert_version_header;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;
use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

/// Largest message between driver, scheduler and executors.
pub(super) const MESSAGE_BYTES: u32 = 64 << 20;
/// How long a scheduler that does not answer is asked again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two questions to it.
const PAUSE: Duration = Duration::from_millis(500);

/// How a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JobState {
    /// It waits or runs.
    Open,
    /// Every part is committed.
    Done,
    /// It failed, for a reason.
    Failed(String),
    /// The scheduler does not know it.
    Unknown,
}

/// A connection to a scheduler.
pub(super) struct Client {
    address: ClusterAddress,
    runtime: Runtime,
    scheduler: SchedulerGrpcClient<Channel>,
    /// Whether the scheduler was asked in vain for long enough: it is not waited for again.
    gone: Cell<bool>,
}

/// The settings of a session, the same in driver, scheduler and executors: a task is one part.
pub(super) fn session() -> SessionConfig {
    SessionConfig::new_with_ballista().set_str(BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK, "1")
}

impl Client {
    /// Connects to a scheduler.
    ///
    /// **Errors** if nothing answers there.
    pub(super) fn connect(address: &ClusterAddress) -> Result<Self, Error> {
        let refuse = |why: &dyn std::fmt::Display| {
            Error::run(format!(
                "{address}: no scheduler answers ({why}); start one with `voxstream scheduler`, and look at its address"
            ))
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cluster")
            .enable_all()
            .build()
            .map_err(|e| Error::run(format!("the thread for requests cannot be started: {e}")))?;
        let url = format!("http://{}:{}", address.host, address.port);
        let endpoint = Endpoint::from_shared(url).map_err(|e| refuse(&e))?;
        let endpoint = endpoint
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(60))
            .tcp_nodelay(true);
        let channel = runtime.block_on(endpoint.connect()).map_err(|e| {
            let cause = std::error::Error::source(&e).map(ToString::to_string);
            refuse(&cause.unwrap_or_else(|| e.to_string()))
        })?;
        let scheduler = SchedulerGrpcClient::new(channel)
            .max_encoding_message_size(MESSAGE_BYTES as usize)
            .max_decoding_message_size(MESSAGE_BYTES as usize);
        Ok(Self {
            address: address.clone(),
            runtime,
            scheduler,
            gone: Cell::new(false),
        })
    }

    /// Asks the scheduler, again while it does not answer.
    fn ask<T, F>(
        &self,
        what: &str,
        mut request: impl FnMut(SchedulerGrpcClient<Channel>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let start = Instant::now();
        loop {
            let status = match self.runtime.block_on(request(self.scheduler.clone())) {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => status,
            };
            let may_pass = matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded);
            if may_pass && start.elapsed() < PATIENCE && !self.gone.get() {
                std::thread::sleep(PAUSE);
                continue;
            }
            self.gone.set(may_pass);
            let then = match may_pass {
                true => {
                    "; what is committed is kept: start the scheduler and executors again, and go on with `--resume`"
                }
                false => "",
            };
            return Err(Error::run(format!(
                "{}: {what} failed: {}{then}",
                self.address,
                said(status.message())
            )));
        }
    }

    /// Sends a plan as a job and returns the job's name.
    ///
    /// **Errors** if the plan cannot be written, or the scheduler refuses it.
    pub(super) fn submit(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        session_id: &str,
    ) -> Result<String, Error> {
        let unwritten = |e| Error::run(format!("the parts cannot be sent: {e}"));
        let codec = PartCodec::new("run");
        let node = PhysicalPlanNode::try_from_physical_plan(plan, &codec).map_err(unwritten)?;
        let mut bytes = Vec::new();
        node.try_encode(&mut bytes).map_err(unwritten)?;
        let params = ExecuteQueryParams {
            query: Some(Query::PhysicalPlan(bytes)),
            settings: session().to_key_value_pairs(),
            session_id: session_id.to_owned(),
            operation_id: String::new(),
        };
        let answer = self.ask("sending parts", |mut scheduler| {
            let mut request = Request::new(params.clone());
            insert_version_header(request.metadata_mut());
            async move { scheduler.execute_query(request).await }
        })?;
        match answer.result {
            Some(execute_query_result::Result::Success(job)) => Ok(job.job_id),
            Some(execute_query_result::Result::Failure(failure)) => Err(Error::run(format!(
                "{}: the scheduler refused the parts: {}",
                self.address,
                said(&format!("{failure:?}"))
            ))),
            None => Err(Error::run(format!(
                "{}: the scheduler answered without a job; is it `voxstream scheduler`?",
                self.address
            ))),
        }
    }

    /// How a job stands.
    ///
    /// **Errors** if the scheduler does not answer.
    pub(super) fn state(&self, job: &str) -> Result<JobState, Error> {
        let answer = self.ask("asking for a job", |mut scheduler| {
            let job_id = job.to_owned();
            async move {
                scheduler
                    .get_job_status(GetJobStatusParams { job_id })
                    .await
            }
        })?;
        Ok(match answer.status.and_then(|status| status.status) {
            None => JobState::Unknown,
            Some(job_status::Status::Queued(_) | job_status::Status::Running(_)) => JobState::Open,
            Some(job_status::Status::Successful(_)) => JobState::Done,
            Some(job_status::Status::Failed(failed)) => JobState::Failed(said(&failed.error)),
        })
    }

    /// Cancels a job: its tasks stop before their next subject.
    ///
    /// **Errors** if the scheduler does not answer.
    pub(super) fn cancel(&self, job: &str) -> Result<(), Error> {
        self.ask("cancelling a job", |mut scheduler| {
            let job_id = job.to_owned();
            async move { scheduler.cancel_job(CancelJobParams { job_id }).await }
        })
        .map(drop)
    }
}

/// The words of voxstream in an error that came over the wire, which stand between `⟦` and `⟧`; the whole text
/// where there are none.
fn said(text: &str) -> String {
    let marked = text
        .split_once('⟦')
        .and_then(|(_, rest)| rest.split_once('⟧'));
    let Some((own, _)) = marked else {
        return text.to_owned();
    };
    // On its way the text was quoted, perhaps several times.
    let mut own = own.replace("\\n", "\n");
    while own.contains("\\\"") || own.contains("\\\\") {
        own = own.replace("\\\\", "\\").replace("\\\"", "\"");
    }
    own
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn the_words_of_an_executor_come_out_of_their_wrapping() {
        let wrapped =
            r#"Job failed: DataFusionError(Execution("⟦executor a: part \\\"x\\\": is gone⟧"))"#;
        assert_eq!(said(wrapped), "executor a: part \"x\": is gone");
        assert_eq!(said("connection refused"), "connection refused");
    }
}

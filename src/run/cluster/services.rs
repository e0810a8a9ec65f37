//! The processes of a cluster: its scheduler and its executors.

use super::client::{MESSAGE_BYTES, session};
use super::codec::PartCodec;
use super::options::{ExecutorOptions, OpenPipeline, SchedulerOptions};
use super::site::Site;
use crate::error::Error;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::error::BallistaError;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Time between two signs of life of an executor.
const HEARTBEAT_SECONDS: u64 = 5;
/// How long an executor waits for its scheduler to start.
const CONNECT_SECONDS: u16 = 60;
/// Memory of the stage that gathers small rows; volumes are counted by `--memory`.
const GATHER_BYTES: u64 = 64 << 20;

fn runtime(name: &str) -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_name(name.to_owned())
        .enable_all()
        .build()
        .map_err(|e| Error::run(format!("the threads for requests cannot be started: {e}")))
}

/// The first address of a name on this machine.
fn address(bind: &str, port: u16) -> Result<SocketAddr, Error> {
    let found = (bind, port).to_socket_addrs().ok();
    found.and_then(|mut all| all.next()).ok_or_else(|| {
        Error::run(format!(
            "`--bind {bind}`: this is no address of a machine; use 127.0.0.1, 0.0.0.0 or an address of this one"
        ))
    })
}

fn failed(what: &str, error: &BallistaError) -> Error {
    Error::run(format!("{what}: {error}"))
}

/// Runs a scheduler until a signal ends it.
///
/// **Errors** if it cannot listen.
pub fn scheduler(options: &SchedulerOptions) -> Result<(), Error> {
    let address = address(&options.bind, options.port)?;
    let seconds = options
        .executor_timeout
        .as_secs()
        .max(2 * HEARTBEAT_SECONDS);
    let config = Arc::new(SchedulerConfig {
        bind_host: options.bind.clone(),
        external_host: options.host.clone(),
        bind_port: options.port,
        scheduling_policy: TaskSchedulingPolicy::PushStaged,
        grpc_server_max_decoding_message_size: MESSAGE_BYTES,
        grpc_server_max_encoding_message_size: MESSAGE_BYTES,
        grpc_client_max_message_size: MESSAGE_BYTES,
        executor_timeout_seconds: seconds,
        expire_dead_executor_interval_seconds: HEARTBEAT_SECONDS.min(seconds / 4).max(1),
        override_config_producer: Some(Arc::new(session)),
        override_physical_codec: Some(Arc::new(PartCodec::new("the scheduler"))),
        ..SchedulerConfig::default()
    });
    let what = format!("the scheduler at {address}");
    let runtime = runtime("scheduler")?;
    let served = runtime.block_on(async {
        let cluster = BallistaCluster::new_from_config(&config).await?;
        tracing::info!(%address, "the scheduler listens");
        tokio::select! {
            served = start_server(cluster, address, Arc::clone(&config)) => served,
            () = ended() => Ok(()),
        }
    });
    runtime.shutdown_background();
    served.map_err(|e| failed(&what, &e))
}

/// Waits for Ctrl-C or SIGTERM.
async fn ended() {
    #[cfg(unix)]
    if let Ok(mut terminated) =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        return;
    }
    tokio::signal::ctrl_c().await.ok();
}

/// Runs an executor until a signal ends it: the parts under way are finished first.
///
/// **Errors** if it cannot listen, or its scheduler does not answer for a minute.
pub fn executor(options: &ExecutorOptions, open: OpenPipeline) -> Result<(), Error> {
    let address = address(&options.bind, options.port)?;
    let (port, grpc_port) = match options.port {
        0 => (free_port(address)?, free_port(address)?),
        u16::MAX => {
            return Err(Error::run(
                "`--port 65535`: the port after it is needed, too",
            ));
        }
        port => (port, port + 1),
    };
    let host = sysinfo::System::host_name().unwrap_or_default();
    let name = format!("{}:{port}", options.host.as_ref().unwrap_or(&host));
    let (_temporary, work_dir) = work_dir(options)?;
    let site = Arc::new(Site::new(name.clone(), options, open));
    let config = Arc::new(ExecutorProcessConfig {
        bind_host: address.ip().to_string(),
        external_host: options.host.clone(),
        port,
        grpc_port,
        scheduler_host: options.scheduler.host.clone(),
        scheduler_port: options.scheduler.port,
        scheduler_connect_timeout_seconds: CONNECT_SECONDS,
        vcores: options.parts.max(1),
        task_scheduling_policy: TaskSchedulingPolicy::PushStaged,
        work_dir: Some(work_dir.display().to_string()),
        grpc_max_decoding_message_size: MESSAGE_BYTES,
        grpc_max_encoding_message_size: MESSAGE_BYTES,
        executor_heartbeat_interval_seconds: HEARTBEAT_SECONDS,
        memory_pool_size: Some(GATHER_BYTES),
        override_config_producer: Some(Arc::new(session)),
        override_physical_codec: Some(Arc::new(PartCodec::of_site(&site))),
        ..ExecutorProcessConfig::default()
    });
    let what = format!("executor {name}");
    tracing::info!(executor = %name, scheduler = %options.scheduler, "the executor starts");
    let runtime = runtime("executor")?;
    let served = runtime.block_on(start_executor_process(config));
    // A part that is still being made is not waited for: it is not committed, and no subject of it is at fault.
    crate::run::context::cancel();
    runtime.shutdown_background();
    served.map_err(|e| failed(&what, &e))
}

/// A port that nobody listens on at this moment.
fn free_port(address: SocketAddr) -> Result<u16, Error> {
    let bound = TcpListener::bind((address.ip(), 0)).and_then(|listener| listener.local_addr());
    bound
        .map(|bound| bound.port())
        .map_err(|e| Error::run(format!("{}: no port is free: {e}", address.ip())))
}

/// The folder for results of tasks; a temporary one is removed when it is dropped.
fn work_dir(options: &ExecutorOptions) -> Result<(Option<tempfile::TempDir>, PathBuf), Error> {
    if let Some(folder) = &options.work_dir {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
        return Ok((None, folder.clone()));
    }
    let folder = tempfile::Builder::new()
        .prefix("voxstream-executor-")
        .tempdir();
    let folder = folder.map_err(Error::io(&std::env::temp_dir(), "creating a folder"))?;
    let path = folder.path().to_owned();
    Ok((Some(folder), path))
}

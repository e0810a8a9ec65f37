//! The voxstream program: parse, call, render an error, exit.

use clap::Parser as _;
use std::process::ExitCode;
use voxstream::cli::{Cli, execute, show_error};
use voxstream::error::Error;
use voxstream::run::guard::caught;

/// Volumes are large and alike: their memory is used again.
#[global_allocator]
static MEMORY: voxstream::memory::Shelves = voxstream::memory::Shelves::new();

/// Lets candle's helper threads sleep soon after an operator. By default they spin for a millisecond
/// in case another one follows; between our own operators that took a tenth of a training's CPU time.
#[expect(
    unsafe_code,
    reason = "the environment is written before any thread could read it"
)]
fn rest_soon() {
    const LIMIT: &str = "CANDLE_BARRIER_POOL_SPIN_LIMIT";
    if std::env::var_os(LIMIT).is_none() {
        // SAFETY: this is the process's only thread.
        unsafe { std::env::set_var(LIMIT, "1000") };
    }
}

fn main() -> ExitCode {
    rest_soon();
    voxstream::memory::settle_heap();
    let cli = Cli::parse();
    // A panic is reported as any other error; `--log debug` with RUST_BACKTRACE=1 shows its way.
    match caught(|| execute(&cli)).unwrap_or_else(|panic| Err(Error::from(panic))) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            show_error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

//! The voxstream program: parse, call, render an error, exit.

use clap::Parser as _;
use std::process::ExitCode;
use voxstream::cli::{Cli, carry_out, show_error};

/// Volumes are large and alike: their memory is used again.
#[global_allocator]
static MEMORY: voxstream::memory::Shelves = voxstream::memory::Shelves::new();

fn main() -> ExitCode {
    let cli = Cli::parse();
    match carry_out(&cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            show_error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

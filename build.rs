//! With the feature `cuda`: compiles `src/nn/cuda/*.cu` to PTX, which the program embeds.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// The kernel files, without their ending.
const KERNELS: [&str; 4] = ["loss", "norm", "step", "volume"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    for variable in ["NVCC", "CUDA_HOME", "CUDA_COMPUTE_CAP"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    println!("cargo:rerun-if-changed=src/nn/cuda");
    let nvcc = env::var_os("NVCC").map_or_else(
        || match env::var_os("CUDA_HOME") {
            Some(home) => Path::new(&home).join("bin/nvcc"),
            None => PathBuf::from("nvcc"),
        },
        PathBuf::from,
    );
    let architecture = env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "90".to_owned());
    let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from) else {
        stop("OUT_DIR is not set; build with cargo");
    };
    for kernel in KERNELS {
        let status = Command::new(&nvcc)
            .args(["--ptx", "-O3", "-std=c++17"])
            .arg(format!(
                "-gencode=arch=compute_{architecture},code=compute_{architecture}"
            ))
            .arg(format!("src/nn/cuda/{kernel}.cu"))
            .arg("-o")
            .arg(out.join(kernel).with_extension("ptx"))
            .status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => stop(&format!("nvcc cannot compile {kernel}.cu ({status})")),
            Err(error) => stop(&format!(
                "{} does not start ({error}); run `scripts/cuda-toolkit.sh target/cuda-toolkit` and \
                 `. target/cuda-toolkit/env.sh`, or set CUDA_HOME",
                nvcc.display()
            )),
        }
    }
}

fn stop(problem: &str) -> ! {
    println!("cargo:warning={problem}");
    exit(1)
}

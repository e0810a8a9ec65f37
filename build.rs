//! Digests the code that prepares voxels, for the cache's keys; with the feature `cuda` compiles
//! `src/nn/cuda/*.cu` to PTX, which the program embeds.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// The kernel files, without their ending.
const KERNELS: [&str; 5] = ["loss", "norm", "step", "thin", "volume"];

/// Code that decides what a prepared voxel is: subjects kept by other code are prepared anew.
const PREPARING: [&str; 6] = [
    "src/cache",
    "src/kernel",
    "src/plan/rules",
    "src/source",
    "src/stage",
    "src/volume",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let mut digest = 0xcbf2_9ce4_8422_2325;
    for folder in PREPARING {
        println!("cargo:rerun-if-changed={folder}");
        if let Err(error) = add_folder(Path::new(folder), &mut digest) {
            stop(&format!("{folder} cannot be read: {error}"));
        }
    }
    println!("cargo:rustc-env=VOXSTREAM_PREPARING={digest:016x}");
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

/// Adds every file below a folder to a digest, by name (FNV-1a).
fn add_folder(folder: &Path, digest: &mut u64) -> std::io::Result<()> {
    let entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    let mut paths: Vec<PathBuf> = entries.iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            add_folder(&path, digest)?;
            continue;
        }
        let name = path.to_string_lossy().into_owned().into_bytes();
        for byte in name.into_iter().chain(std::fs::read(&path)?) {
            *digest = (*digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(())
}

fn stop(problem: &str) -> ! {
    println!("cargo:warning={problem}");
    exit(1)
}

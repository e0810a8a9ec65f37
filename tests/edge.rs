//! Odd NIfTI files from many writers, held against nibabel.
//!
//! `reference/nibabel_edge.json` is written by `reference/nibabel_edge.py`. Every file must give
//! nibabel's voxels and grid, or be refused as the table says.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests; clippy exempts only the test functions themselves"
)]

use serde_json::Value;
use std::error::Error as _;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use voxstream::volume::nifti::{read, read_header};
use voxstream::volume::{Dtype, Volume, VolumeError};

const TABLE: &str = include_str!("reference/nibabel_edge.json");

/// The folder of odd files, or `None` with a line that says so.
fn edge_folder() -> Option<PathBuf> {
    let data = std::env::var_os("VOXSTREAM_DATA")
        .map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let folder = data.join("edge");
    if folder.is_dir() {
        return Some(folder);
    }
    println!(
        "SKIPPED: {} is not there; set VOXSTREAM_DATA to the folder of test volumes",
        folder.display()
    );
    None
}

fn files(folder: &Path) -> Vec<String> {
    const ENDINGS: [&str; 6] = [".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz"];
    let mut names: Vec<String> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap)
        .filter(|e| e.file_type().is_file())
        .map(|e| {
            e.path()
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .replace('\\', "/")
        })
        .filter(|n| ENDINGS.iter().any(|e| n.ends_with(e)) || n.contains("fuzz_artifacts/"))
        .collect();
    names.sort();
    names
}

fn table() -> serde_json::Map<String, Value> {
    serde_json::from_str(TABLE).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_f64().unwrap())
        .collect()
}

/// Stored bytes in little-endian order, whatever this machine's order is.
fn little_endian(volume: &Volume) -> Vec<u8> {
    let mut bytes = volume.buffer().as_slice().to_vec();
    if cfg!(target_endian = "big") {
        bytes
            .chunks_exact_mut(volume.dtype().bytes())
            .for_each(<[u8]>::reverse);
    }
    bytes
}

/// Values after scaling, in f64.
fn values(volume: &Volume) -> Vec<f64> {
    use voxstream::volume::Voxel as _;
    let scaling = volume.scaling();
    voxstream::with_voxel_type!(volume.dtype(), T => {
        volume.as_slice::<T>().unwrap().iter().map(|v| scaling.slope * v.to_f64() + scaling.intercept).collect()
    })
}

fn close(found: f64, wanted: f64, scale: f64) -> bool {
    (found - wanted).abs() <= 1e-9 * scale.abs().max(1e-300)
}

/// Compares a file that nibabel reads; every difference is one line.
fn differences(path: &Path, wanted: &Value) -> Result<Vec<String>, VolumeError> {
    let mut out = Vec::new();
    let mut same = |what: &str, equal: bool, found: &dyn std::fmt::Debug, wanted: &Value| {
        if !equal {
            out.push(format!("{what} is {found:?}, nibabel has {wanted}"));
        }
    };
    let header = read_header(path)?;
    let shape = header.grid.shape_xyz();
    same(
        "shape",
        numbers(&wanted["shape_xyz"]) == shape.map(|n| n as f64),
        &shape,
        &wanted["shape_xyz"],
    );
    same(
        "volumes",
        wanted["volumes"] == header.volumes,
        &header.volumes,
        &wanted["volumes"],
    );
    let dtype = match wanted["dtype"].as_str().unwrap() {
        "uint8" => Dtype::U8,
        "int8" => Dtype::I8,
        "uint16" => Dtype::U16,
        "int16" => Dtype::I16,
        "uint32" => Dtype::U32,
        "int32" => Dtype::I32,
        "uint64" => Dtype::U64,
        "int64" => Dtype::I64,
        "float32" => Dtype::F32,
        "float64" => Dtype::F64,
        other => panic!("{other} is none of our types"),
    };
    same(
        "dtype",
        header.dtype == dtype,
        &header.dtype,
        &wanted["dtype"],
    );
    let slope = wanted["slope"].as_f64().unwrap();
    let intercept = wanted["intercept"].as_f64().unwrap();
    let scaling = (header.scaling.slope, header.scaling.intercept);
    same(
        "scaling",
        scaling == (slope, intercept),
        &scaling,
        &wanted["slope"],
    );
    let rows = header.grid.rows();
    let reference: Vec<f64> = wanted["rows"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(numbers)
        .collect();
    // A sform is copied; a qform goes through f64 arithmetic in another order.
    let largest = reference.iter().fold(1.0, |a: f64, v| a.max(v.abs()));
    let tolerance = if header.sform.is_some() {
        0.0
    } else {
        1e-12 * largest
    };
    let equal = rows
        .as_flattened()
        .iter()
        .zip(&reference)
        .all(|(f, w)| (f - w).abs() <= tolerance);
    same("affine", equal, &rows, &wanted["rows"]);
    let orientation = header.grid.orientation();
    same(
        "orientation",
        wanted["orientation"] == orientation.as_str(),
        &orientation,
        &wanted["orientation"],
    );
    for block in wanted["blocks"].as_array().unwrap() {
        let index = block["index"].as_u64().unwrap() as usize;
        let volume = read(path, Some(index))?;
        let crc = libdeflater::crc32(&little_endian(&volume));
        same(
            "checksum of stored voxels",
            block["crc32_of_stored"] == crc,
            &crc,
            &block["crc32_of_stored"],
        );
        let values = values(&volume);
        let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        same(
            "finite voxels",
            block["finite"] == finite.len(),
            &finite.len(),
            &block["finite"],
        );
        let scale = block["sum_of_magnitudes"].as_f64().unwrap();
        let sum: f64 = finite.iter().sum();
        same(
            "sum",
            close(sum, block["sum"].as_f64().unwrap(), scale),
            &sum,
            &block["sum"],
        );
        let low = finite.iter().copied().reduce(f64::min);
        let high = finite.iter().copied().reduce(f64::max);
        same("minimum", low == block["min"].as_f64(), &low, &block["min"]);
        same(
            "maximum",
            high == block["max"].as_f64(),
            &high,
            &block["max"],
        );
        for sample in block["samples"].as_array().unwrap() {
            let found = values[sample[0].as_u64().unwrap() as usize];
            let equal = sample[1]
                .as_f64()
                .map_or(!found.is_finite(), |w| close(found, w, w.abs().max(1e-9)));
            same("a sampled voxel", equal, &found, &sample[1]);
        }
    }
    Ok(out)
}

/// The variant of an error and its text with causes.
fn told(error: &VolumeError) -> (&'static str, String) {
    let kind = match error {
        VolumeError::Io { .. } => "Io",
        VolumeError::Format { .. } => "Format",
        VolumeError::Unsupported { .. } => "Unsupported",
        VolumeError::Grid { .. } => "Grid",
        VolumeError::Size { .. } => "Size",
        VolumeError::Type { .. } => "Type",
        VolumeError::Apart { .. } => "Apart",
        VolumeError::Column { .. } => "Column",
    };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, ": {error}").unwrap();
        cause = error.source();
    }
    (kind, text)
}

#[test]
fn every_file_equals_nibabel_or_is_refused_by_name() {
    let Some(folder) = edge_folder() else { return };
    let table = table();
    let names = files(&folder);
    assert_eq!(
        names,
        table.keys().cloned().collect::<Vec<_>>(),
        "the folder and the table differ; run tests/reference/nibabel_edge.py"
    );
    let (mut equal, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    for name in &names {
        let path = folder.join(name);
        let wanted = &table[name];
        let Some(refusal) = wanted.get("refused") else {
            match differences(&path, wanted) {
                Ok(lines) if lines.is_empty() => equal += 1,
                Ok(lines) => wrong.push(format!("{name}: {}", lines.join("; "))),
                Err(error) => wrong.push(format!("{name}: refused: {}", told(&error).1)),
            }
            continue;
        };
        match read(&path, Some(0)) {
            Ok(_) => wrong.push(format!("{name}: read, but {refusal} is expected")),
            Err(error) => {
                let (kind, text) = told(&error);
                let text = text.replace(&format!("{}/", folder.display()), "");
                if refusal[0] != kind || !text.contains(refusal[1].as_str().unwrap()) {
                    wrong.push(format!("{name}: {kind}: {text}, but {refusal} is expected"));
                }
                refused.push(format!("  {kind}: {text}"));
            }
        }
    }
    println!(
        "{equal} files equal nibabel's, {} are refused:\n{}",
        refused.len(),
        refused.join("\n")
    );
    assert!(
        wrong.is_empty(),
        "{} files differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(equal >= 120 && equal + refused.len() == names.len());
}

#[test]
fn one_head_in_48_orientations_is_one_head() {
    let Some(folder) = edge_folder() else { return };
    let names: Vec<String> = files(&folder)
        .into_iter()
        .filter(|n| n.starts_with("orient48/"))
        .collect();
    assert_eq!(names.len(), 48);
    let mut heads: Vec<Vec<u8>> = Vec::new();
    for name in &names {
        let volume = read(&folder.join(name), None).unwrap();
        let orientation = volume.grid().orientation();
        assert_eq!(format!("orient48/{orientation}.nii.gz"), *name);
        heads.push(to_ras(&volume));
    }
    assert!(heads.windows(2).all(|w| w[0] == w[1]), "the heads differ");
    assert!(
        heads[0].iter().any(|&b| b != heads[0][0]),
        "the head is empty"
    );
}

/// Voxels in R, A, S order, x fastest; moved one by one, so that no kernel vouches for itself.
fn to_ras(volume: &Volume) -> Vec<u8> {
    let size = volume.dtype().bytes();
    let shape = volume.grid().shape_xyz();
    let axes = volume.grid().axes();
    let mut ras_shape = [0; 3];
    for (axis, (world, _)) in axes.iter().enumerate() {
        ras_shape[*world] = shape[axis];
    }
    let stored = volume.buffer().as_slice();
    let mut out = vec![0; stored.len()];
    for from in 0..volume.grid().voxel_count() {
        let at = [
            from % shape[0],
            from / shape[0] % shape[1],
            from / (shape[0] * shape[1]),
        ];
        let mut ras = [0; 3];
        for (axis, (world, grows)) in axes.iter().enumerate() {
            ras[*world] = if *grows {
                at[axis]
            } else {
                shape[axis] - 1 - at[axis]
            };
        }
        let to = ras[0] + ras_shape[0] * (ras[1] + ras_shape[1] * ras[2]);
        out[to * size..(to + 1) * size].copy_from_slice(&stored[from * size..(from + 1) * size]);
    }
    out
}

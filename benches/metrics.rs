//! Time to score one pair of label maps: Dice, HD95, NSD at 1 mm and ASSD of every class.
//!
//! `cargo bench --bench metrics -- TRUTH.nii.gz PREDICTION.nii.gz`
//!
//! Prints CPU milliseconds of the mean of ten runs on one thread, and the figures, to be laid beside
//! those of another tool on the same pair.
//!
//! **Floor** both maps are read once to find each class's box (2 x 16.8 MB at 256³: 4 ms), each box
//! is cut out as a mask, its surface found, and distances are computed only at the other surface's
//! points.

#![expect(clippy::print_stdout, reason = "a measurement prints its figures")]

use std::path::Path;
use voxstream::metric::{Metric, MissedDistance, Wanted, confusion, figures};
use voxstream::volume::Volume;
use voxstream::volume::nifti::read;

/// Time of this thread on a core, ms, so that other work on the machine does not count.
fn cpu_ms() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(stat.split(' ').next()?.parse::<f64>().ok()? / 1e6)
}

fn labels(path: &str) -> Result<(Vec<u8>, Volume), String> {
    let volume = read(Path::new(path), None).map_err(|e| e.to_string())?;
    let values = volume.as_slice::<u8>().map(<[u8]>::to_vec);
    let values = values.ok_or_else(|| format!("{path}: expected a label map stored as u8"))?;
    Ok((values, volume))
}

fn main() -> Result<(), String> {
    let paths: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let [truth, prediction] = paths.as_slice() else {
        println!("skipped: no pair given; say `-- TRUTH.nii.gz PREDICTION.nii.gz`");
        return Ok(());
    };
    let ((truth, volume), (prediction, _)) = (labels(truth)?, labels(prediction)?);
    let grid = volume.grid();
    let on = (grid.shape_xyz(), grid.spacing_mm());
    let classes = usize::from(truth.iter().chain(&prediction).copied().max().unwrap_or(0)) + 1;
    let wanted = Wanted {
        metrics: vec![Metric::Hd95Mm, Metric::AssdMm, Metric::Nsd],
        nsd_tolerance_mm: vec![1.0],
        missed_distance: MissedDistance::default(),
        unions: Vec::new(),
    };
    let score = || -> Result<_, String> {
        let counts = confusion(&prediction, &truth, classes).map_err(|e| e.to_string())?;
        let shapes = figures(&prediction, &truth, on, classes, &wanted);
        Ok((counts, shapes.map_err(|e| e.to_string())?))
    };
    let (counts, shapes) = score()?;
    let begin = cpu_ms();
    for _ in 0..10 {
        std::hint::black_box(score()?);
    }
    match begin.zip(cpu_ms()) {
        Some((begin, end)) => println!("{:.1} CPU ms a pair", (end - begin) / 10.0),
        None => println!("this system does not tell a thread's CPU time"),
    }
    for (class, (dice, shape)) in counts
        .scores(grid.voxel_volume_mm3())
        .iter()
        .zip(&shapes)
        .enumerate()
        .skip(1)
    {
        println!("class {class}: {dice:?} {shape:?}");
    }
    Ok(())
}

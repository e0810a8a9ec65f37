//! How long each step takes for a patch of 128 voxels an edge.

use super::*;
use crate::registry::STAGES;
use crate::spec::node::Document;
use std::path::Path;

/// Run with `--ignored --nocapture` to see milliseconds for each image.
#[test]
#[ignore = "a measurement, not a check"]
fn step_rates() {
    let values: Vec<f32> = (0..1usize << 21)
        .map(|i| ((i.wrapping_mul(2_654_435_761)) % 1000) as f32 * 0.003 - 1.0)
        .collect();
    let mut row = row_on(&values, [128; 3]);
    row.images.push(Channel {
        name: "mr".into(),
        volume: row.images[0].volume.clone(),
    });
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/stage/intensity");
    for entry in STAGES {
        if !folder.join(format!("{}.rs", entry.name)).exists() {
            continue;
        }
        let parse = |text: &str| (entry.parse)(Document::parse(text).unwrap().root()).unwrap();
        let mut parameters = parse(entry.example).to_json();
        if parameters.get("p").is_some() {
            parameters["p"] = 1.0.into();
        }
        let stage = parse(&parameters.to_string());
        let best = (0..5u32)
            .map(|sample| {
                let mut row = row.clone();
                row.sample = sample;
                // Voxels that are shared would be copied first.
                row = row.map_images(|_, _| ());
                let start = std::time::Instant::now();
                let rows = stage.run("stages[0]", 3, row).unwrap();
                std::hint::black_box(rows.into_iter().map(Row::materialised).collect::<Vec<_>>());
                start.elapsed().as_secs_f64()
            })
            .fold(f64::INFINITY, f64::min);
        let images = match parameters["modalities"].as_array() {
            Some(named) => named.len(),
            None => parameters["landmarks"].as_object().map_or(2, |l| l.len()),
        };
        eprintln!("{:22} {:7.1} ms", entry.name, best * 1e3 / images as f64);
    }
}

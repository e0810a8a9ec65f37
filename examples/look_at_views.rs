//! What do my weak and strong views look like?
//!
//! ```sh
//! cargo run --release --example look_at_views -- pipelines/05-cmc-missing-modalities.yaml views 3
//! ```
//!
//! Writes each view of the first samples as NIfTI, one file a modality and one for the label map,
//! to be opened together in any viewer, and prints what was drawn for it.
#![allow(clippy::print_stdout, reason = "what an example shows goes there")]

use std::path::Path;
use std::sync::Arc;
use voxstream::cli::{open, read};
use voxstream::run::{counters::Counters, prepare::Preparer, stream::*};
use voxstream::volume::{Row, nifti};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pipeline, folder, count] = arguments.as_slice() else {
        return Err(
            "expected a pipeline file, a folder for the views, and a number of samples".into(),
        );
    };
    let (plan, cohort) = open(&read(Path::new(pipeline), &[])?)?;
    let (plan, counters) = (Arc::new(plan), Counters::default());
    let preparer = Arc::new(Preparer::new(&plan, cohort.into(), 1 << 30, &counters)?);
    let viewer = Arc::new(Viewer::new(&plan, &preparer, &counters));
    let subjects = (0..preparer.cohort().subjects().len()).collect();
    let (seed, start) = (plan.pipeline.seed, Position::default());
    let budget = (1, 1 << 28);
    let mut stream =
        SampleStream::start("look", &viewer, subjects, seed, start, budget, &counters)?;
    std::fs::create_dir_all(folder)?;
    let samples = stream.take(count.parse()?).ok_or("every subject failed")?;
    for (i, sample) in samples.iter().enumerate() {
        for batch in sample.views() {
            let row = Row::from_batch(batch, 0)?;
            for draw in &row.draws {
                println!("{} {}: {} {}", row.subject, row.view, draw.stage, draw.draw);
            }
            for channel in row.images.iter().chain(&row.labels) {
                let Some(volume) = &channel.volume else {
                    continue;
                };
                let is_label = channel.name.is_empty();
                let name = if is_label { "label" } else { &channel.name };
                let file = format!("{i}-{}-{}-{name}.nii.gz", row.subject, row.view);
                nifti::write(&Path::new(folder).join(file), volume, None)?;
            }
        }
    }
    Ok(())
}

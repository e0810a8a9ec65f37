//! How do I add a stage of my own?
//!
//! `cargo run --example custom_stage` registers `invert` beside the built-in stages, plans a
//! pipeline that names it, and runs it on one phantom. Prints the range of values before and after.
#![allow(clippy::print_stdout, reason = "what an example shows goes there")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use voxstream::plan::{compile, entry::StageEntry};
use voxstream::registry::STAGES;
use voxstream::spec::SourceFile;
use voxstream::stage::{EdgeSchema, Stage, StageError};
use voxstream::volume::Row;

/// Turns bright into dark.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Invert {}

impl Stage for Invert {
    const NAME: &'static str = "invert";
    const EXAMPLE: &'static str = "{}";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        Ok(input.with_f32_images())
    }

    fn map(&self, row: Row) -> Result<Vec<Row>, StageError> {
        Ok(vec![row.map_images(|_, values| {
            values.iter_mut().for_each(|v| *v = -*v)
        })])
    }
}

fn range(row: &Row) -> [f32; 2] {
    let values = row.images[0]
        .volume
        .as_ref()
        .map(|v| v.to_f32().into_owned())
        .unwrap_or_default();
    [
        values.iter().copied().fold(f32::INFINITY, f32::min),
        values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
    ]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = "name: inverted\nsource: { phantom: { subjects: 1, size: [24, 24, 24], modalities: [ct], classes: 2 } }\nstages: [invert: {}]\n";
    let file = SourceFile {
        name: "inverted.yaml".to_owned(),
        text: text.to_owned(),
    };
    let registry: Vec<StageEntry> = STAGES
        .iter()
        .copied()
        .chain([StageEntry::stage::<Invert>()])
        .collect();
    let plan = compile(&file, &registry, None)
        .map_err(|d| d.iter().map(|d| d.render(false)).collect::<String>())?;
    let cohort = plan
        .pipeline
        .source
        .open(Path::new("."), plan.pipeline.seed)?;
    let row = cohort.load(&cohort.subjects()[0])?;
    println!("before {:?}", range(&row));
    let step = &plan.pipeline.stages[0];
    for row in step.stage.run(&step.path, plan.pipeline.seed, row)? {
        println!("after  {:?}, by {:?}", range(&row), row.history);
    }
    Ok(())
}

//! Writes `schemas/`: the JSON Schema of a pipeline file and the columns of every table.

pub mod stage;

pub use stage::stage_schema;

use crate::plan::expectations::TestSection;
use crate::plan::presets::{OPEN_STEP, PRESETS};
use crate::plan::sections::{
    PredictSection, PseudoLabelSection, ScoreSection, SinksSection, TrainSection,
};
use crate::registry::STAGES;
use crate::sink::TABLES;
use crate::source::SourceSpec;
use schemars::SchemaGenerator;
use serde_json::{Value, json};

/// JSON Schema of a pipeline file, for editors.
pub fn pipeline_schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let steps: Vec<Value> = STAGES
        .iter()
        .map(|entry| {
            let schema = Value::from((entry.schema)(&mut generator));
            step_schema(entry.name, &schema)
        })
        .collect();
    let patch = STAGES.iter().find(|entry| entry.name == OPEN_STEP);
    let presets = PRESETS.iter().filter_map(|preset| {
        let mut schema = Value::from((patch?.schema)(&mut generator));
        schema["description"] = preset.doc.into();
        Some(step_schema(preset.name, &schema))
    });
    let presets: Vec<Value> = presets.collect();
    let steps: Vec<Value> = steps.into_iter().chain(presets).collect();
    let source = generator.subschema_for::<SourceSpec>();
    let train = generator.subschema_for::<TrainSection>();
    let predict = generator.subschema_for::<PredictSection>();
    let pseudo_label = generator.subschema_for::<PseudoLabelSection>();
    let score = generator.subschema_for::<ScoreSection>();
    let sinks = generator.subschema_for::<SinksSection>();
    let test = generator.subschema_for::<TestSection>();
    let chain = |doc: &str| json!({ "description": doc, "type": "array", "items": { "$ref": "#/$defs/Step" } });
    let mut definitions: serde_json::Map<String, Value> = generator.take_definitions(true);
    definitions.insert("Step".to_owned(), json!({ "description": "One step: a map whose only key is the stage's name.", "oneOf": steps }));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "voxstream pipeline",
        "description": "From registered volumes to a trained model and Parquet.",
        "type": "object",
        "required": ["name", "source"],
        "additionalProperties": false,
        "properties": {
            "name": { "description": "Name of the pipeline and of its run folders.", "type": "string" },
            "seed": { "description": "Seed of every draw.", "type": "integer", "minimum": 0, "default": 0 },
            "memory": { "description": "Budget for volumes in flight and cached, such as `8GiB`; default: half of the machine's memory.", "type": "string" },
            "max_failures": { "description": "How many subjects may fail before the run stops; default: any number.", "type": "integer", "minimum": 0 },
            "retries": { "description": "How often a subject is read again, after growing pauses, if the system failed for a reason that may pass, such as a network file system that does not answer.", "type": "integer", "minimum": 0, "default": 3 },
            "source": source,
            "stages": chain("Preparation shared by training, validation and test."),
            "views": {
                "description": "Views made of every prepared subject in training.",
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "shared": chain("Steps whose draws all views share: everything spatial belongs here."),
                    "weak": chain("Further steps of the weak view."),
                    "strong": { "description": "Further steps of the strong view; or, for several strong views, a map of a name to the steps of each.",
                        "oneOf": [chain("Further steps of the strong view."),
                            { "type": "object", "minProperties": 1, "propertyNames": { "pattern": "^[A-Za-z0-9_-]+$" },
                              "additionalProperties": chain("Further steps of one strong view.") }] },
                }
            },
            "pseudo_label": pseudo_label,
            "train": train,
            "predict": predict,
            "score": score,
            "sinks": sinks,
            "tests": { "description": "What `voxstream test` expects of this pipeline: subjects, and what each step makes of them.",
                "type": "array", "items": test },
        },
        "$defs": definitions,
    })
}

/// A map whose only key is the step's name.
fn step_schema(name: &str, schema: &Value) -> Value {
    json!({ "type": "object", "properties": { name: schema }, "required": [name], "additionalProperties": false })
}

/// Every schema: file name and text.
pub fn all() -> Vec<(String, String)> {
    let pretty = |value: &Value| format!("{value:#}\n");
    let mut files = vec![(
        "pipeline.schema.json".to_owned(),
        pretty(&pipeline_schema()),
    )];
    files.extend(
        TABLES
            .iter()
            .map(|t| (format!("{}.arrow.json", t.name), pretty(&t.to_json()))),
    );
    files
}

//! What a run says of its pipeline and inputs in `plan.json`, and the digest that parts are named by.

use super::limit::within;
use crate::plan::{Plan, explain};
use crate::source::Cohort;
use serde_json::Value;

/// What must not change between a start and a resume; the inputs of a run that prepares may, and so may
/// subjects beyond the limit.
pub(super) fn ledger(plan: &Plan, inputs: Option<&dyn Cohort>, limit: Option<usize>) -> Value {
    let mut ledger: Value = explain::json(plan);
    ledger["limit"] = limit.into();
    if let Some(fold) = plan.pipeline.source.fold() {
        ledger["fold"] = fold.into();
    }
    let Some(cohort) = inputs else {
        return ledger;
    };
    let digests: serde_json::Map<_, _> = within(cohort.subjects(), limit)
        .into_iter()
        // A subject without a digest has an unreadable file: it fails when it is loaded.
        .map(|s| {
            (
                s.id.clone(),
                serde_json::json!([
                    s.split.name(),
                    s.labelled,
                    cohort.digest(s).unwrap_or_default()
                ]),
            )
        })
        .collect();
    ledger["subjects"] = digests.into();
    ledger
}

/// What a ledger says of the pipeline, apart from what depends on the cohort. The limit of subjects
/// stays: with another one, a resume would remove the parts of the subjects beyond it.
pub(super) fn pipeline_alone(ledger: &Value) -> Value {
    let mut alone = ledger.clone();
    alone
        .as_object_mut()
        .and_then(|all| all.remove("optimized"));
    // Parts are named by the digests of the weights.
    alone
        .as_object_mut()
        .and_then(|all| all.remove("predictor"));
    if let Some(source) = alone["source"].as_object_mut() {
        source.remove("output");
    }
    let chains = alone["chains"].as_object_mut();
    let steps = chains.into_iter().flat_map(|chains| chains.values_mut());
    let steps = steps.filter_map(Value::as_array_mut).flatten();
    for step in steps.filter_map(Value::as_object_mut) {
        step.remove("output");
        step.remove("bytes_per_row");
    }
    alone
}

/// Digest of what makes the parts of a run: its pipeline, and the weights that predict.
pub(super) fn plan_digest(ledger: &Value, weights: &str) -> String {
    let pipeline = format!("{}{weights}", pipeline_alone(ledger));
    blake3::hash(pipeline.as_bytes()).to_hex().to_string()
}

/// Where two JSON values first differ.
pub(super) fn difference(path: &str, a: &Value, b: &Value) -> Option<String> {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let keys: std::collections::BTreeSet<&String> = x.keys().chain(y.keys()).collect();
            keys.into_iter().find_map(|k| {
                let inner = if path.is_empty() {
                    k.clone()
                } else {
                    format!("{path}.{k}")
                };
                match (x.get(k), y.get(k)) {
                    (Some(p), Some(q)) => difference(&inner, p, q),
                    _ => Some(inner),
                }
            })
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => x
            .iter()
            .zip(y)
            .enumerate()
            .find_map(|(i, (p, q))| difference(&format!("{path}[{i}]"), p, q)),
        _ => (a != b).then(|| path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{difference, ledger, plan_digest};
    use crate::plan::compile;
    use crate::registry::STAGES;
    use crate::spec::SourceFile;
    use serde_json::json;
    use std::path::Path;

    #[test]
    fn what_headers_say_is_no_part_of_what_names_parts() {
        let text = "name: a\nsource: { phantom: { subjects: 4, modalities: [ct, mr], size: [16, 16, 16] } }\nstages: [orient: { to: RAS }, crop_foreground: {}, zscore: {}]\n";
        let file = SourceFile {
            name: "a.yaml".into(),
            text: text.into(),
        };
        let plan = |schema| compile(&file, STAGES, schema).ok().unwrap();
        let alone = plan(None);
        let cohort = alone.pipeline.source.open(Path::new("."), 0).unwrap();
        let whole = plan(Some(cohort.schema().unwrap()));
        let columns = plan(Some(cohort.schema_of(&[]).unwrap()));
        let [alone, whole, columns] = [alone, whole, columns].map(|p| ledger(&p, None, None));
        assert_ne!(whole, columns, "headers say more than columns");
        let digests = [&alone, &whole, &columns].map(|ledger| plan_digest(ledger, ""));
        assert_eq!(digests[0], digests[1]);
        assert_eq!(digests[0], digests[2]);
    }

    #[test]
    fn a_difference_is_named_by_its_path() {
        let a = json!({"train": {"steps": 5, "batch": [1, 2]}});
        assert_eq!(difference("", &a, &a), None);
        assert_eq!(
            difference("", &a, &json!({"train": {"steps": 5, "batch": [1, 3]}})).as_deref(),
            Some("train.batch[1]")
        );
        assert_eq!(
            difference("", &a, &json!({"train": {"batch": [1, 2]}})).as_deref(),
            Some("train.steps")
        );
    }
}

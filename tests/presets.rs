//! Presets do what their sources do: each step as often, and within the same range.

use crate::contract::phantom::subject;
use std::collections::BTreeMap;
use voxstream::plan::compile;
use voxstream::registry::STAGES;
use voxstream::spec::SourceFile;

const DRAWS: u64 = 10_000;

/// What every step of a preset drew on one modality, by name and place: numbers found in its draws.
fn drawn(preset: &str) -> BTreeMap<String, Vec<serde_json::Value>> {
    let text = format!(
        "name: p\nsource: {{ phantom: {{ subjects: 1, modalities: [ct] }} }}\nstages:\n  - {preset}: {{ size: [2, 2, 2], samples: 1 }}\n"
    );
    let file = SourceFile {
        name: "p.yaml".into(),
        text,
    };
    let plan = compile(&file, STAGES, None).unwrap_or_else(|e| {
        let shown: Vec<String> = e.iter().map(|d| d.render(false)).collect();
        panic!("{}", shown.join("\n"))
    });
    let mut draws: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
    let mut row = subject("a");
    row.images.truncate(1);
    for epoch in 0..DRAWS {
        row.epoch = epoch;
        let mut rows = vec![row.clone()];
        for step in &plan.pipeline.stages {
            rows = rows
                .into_iter()
                .flat_map(|row| step.stage.run(&step.path, 3, row).unwrap())
                .collect();
        }
        for record in &rows[0].draws {
            draws
                .entry(record.stage.clone())
                .or_default()
                .push(record.draw.clone());
        }
    }
    draws
}

/// Whether a count is within three standard errors of its probability.
fn assert_rate(what: &str, count: usize, p: f64) {
    let share = count as f64 / DRAWS as f64;
    let error = (p * (1.0 - p) / DRAWS as f64).sqrt();
    assert!(
        (share - p).abs() <= 3.0 * error,
        "{what}: {share} of the rows, expected {p}"
    );
}

/// Every number in a JSON value.
fn numbers(value: &serde_json::Value, key: &str, into: &mut Vec<f64>) {
    match value {
        serde_json::Value::Object(map) => map.iter().for_each(|(k, v)| match v {
            serde_json::Value::Number(n) if k == key => into.extend(n.as_f64()),
            serde_json::Value::Array(items) if k == key => {
                into.extend(items.iter().filter_map(|i| i.as_f64()))
            }
            other => numbers(other, key, into),
        }),
        serde_json::Value::Array(items) => items.iter().for_each(|v| numbers(v, key, into)),
        _ => {}
    }
}

fn check(preset: &str, expected: &[(&str, f64, &str, [f64; 2])]) {
    let draws = drawn(preset);
    for (step, p, key, [low, high]) in expected {
        let path = format!("stages[0].{preset}{step}");
        let found = draws
            .get(&path)
            .unwrap_or_else(|| panic!("{path}: {:?}", draws.keys()));
        assert_rate(&path, found.len(), *p);
        let mut values = Vec::new();
        found
            .iter()
            .for_each(|draw| numbers(draw, key, &mut values));
        if key.is_empty() {
            continue;
        }
        assert!(
            values.len() >= found.len(),
            "{path}: no `{key}` in {}",
            found[0]
        );
        let width = high - low;
        let (least, most) = values
            .iter()
            .fold((f64::MAX, f64::MIN), |(l, m), v| (l.min(*v), m.max(*v)));
        assert!(
            least >= low - 1e-6 && most <= high + 1e-6,
            "{path}: {least} to {most}"
        );
        // Thousands of draws come close to both ends.
        assert!(
            least < low + 0.05 * width && most > high - 0.05 * width,
            "{path}: {least} to {most}"
        );
    }
}

#[test]
fn nnunet_default_has_nnunets_rates_and_ranges() {
    check(
        "nnunet_default",
        &[
            ("[2].gaussian_noise", 0.1, "std", [0.0, 0.1]),
            ("[3].gaussian_blur", 0.2 * 0.5, "ct", [0.5, 1.0]),
            ("[4].brightness", 0.15, "ct", [0.75, 1.25]),
            ("[5].contrast", 0.15, "ct", [0.75, 1.25]),
            ("[6].low_resolution", 0.25 * 0.5, "ct", [0.5, 1.0]),
            ("[7].gamma", 0.1, "gamma", [0.7, 1.5]),
            ("[8].gamma", 0.3, "gamma", [0.7, 1.5]),
            ("[9].flip", 1.0 - 0.5f64.powi(3), "", [0.0, 0.0]),
        ],
    );
    let draws = drawn("nnunet_default");
    let affine = &draws["stages[0].nnunet_default[0].affine"];
    assert_rate("a turn or a scaling", affine.len(), 1.0 - 0.8 * 0.8);
}

#[test]
fn cmc_reference_has_the_references_rates_and_ranges() {
    check(
        "cmc_reference",
        &[
            ("[1].flip", 1.0 - 0.8f64.powi(3), "", [0.0, 0.0]),
            ("[2].rotate90", 0.2, "", [0.0, 0.0]),
            ("[3].scale_intensity", 0.1, "ct", [0.9, 1.1]),
            ("[4].shift_intensity", 0.1, "ct", [-0.1, 0.1]),
        ],
    );
}

//! What every step says of itself: its name, its example, its documentation.

use super::*;

#[test]
fn names_are_unique_snake_case() {
    let mut names: Vec<&str> = STAGES.iter().map(|e| e.name).collect();
    let is_snake = |n: &&str| {
        n.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    assert!(names.iter().all(is_snake), "{names:?}");
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[test]
fn examples_parse_and_parameters_survive_json() {
    for entry in STAGES {
        let stage = example(entry);
        assert_eq!(stage.name(), entry.name);
        assert_eq!(stage.is_random(), draws(entry), "{}", entry.name);
        let parameters = stage.to_json();
        let again = parse(entry, &parameters.to_string()).to_json();
        assert_eq!(again, parameters, "{}", entry.name);
    }
}

#[test]
fn every_step_and_every_parameter_is_documented() {
    for entry in STAGES {
        let schema = stage_schema(entry);
        let mut missing = Vec::new();
        undocumented(entry.name, &schema, &mut missing);
        assert!(missing.is_empty(), "no doc comment: {missing:?}");
        let description = schema["description"].as_str().unwrap_or_default();
        assert!(!description.trim().is_empty(), "{}", entry.name);
        assert_eq!(
            schema["additionalProperties"], false,
            "{}: deny_unknown_fields",
            entry.name
        );
    }
}

/// Properties without a description, here and in the types they refer to.
fn undocumented(path: &str, node: &serde_json::Value, missing: &mut Vec<String>) {
    match node {
        serde_json::Value::Object(fields) => {
            let properties = fields.get("properties").and_then(|p| p.as_object());
            for (name, property) in properties.into_iter().flatten() {
                let text = property["description"].as_str().unwrap_or_default();
                if text.trim().is_empty() {
                    missing.push(format!("{path}.{name}"));
                }
            }
            for (name, child) in fields.iter().filter(|(name, _)| *name != "examples") {
                undocumented(&format!("{path}/{name}"), child, missing);
            }
        }
        serde_json::Value::Array(items) => {
            items
                .iter()
                .for_each(|item| undocumented(path, item, missing));
        }
        _ => {}
    }
}

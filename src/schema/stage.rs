//! The JSON Schema of one step's parameters, from the type that reads them.

use crate::plan::entry::StageEntry;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// JSON Schema (draft 2020-12) of one step's parameters, complete in itself.
///
/// Titled with the step's name; descriptions are the fields' documentation, defaults are those the
/// step uses, and `examples` holds its example.
pub fn stage_schema(entry: &StageEntry) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = (entry.schema)(&mut generator);
    schema.insert("title".to_owned(), entry.name.into());
    if let Some(example) = example(entry) {
        schema.insert("examples".to_owned(), vec![example].into());
    }
    let definitions = generator.take_definitions(true);
    if !definitions.is_empty() {
        schema.insert("$defs".to_owned(), definitions.into());
    }
    schema.to_value()
}

/// The example with every default filled in, as JSON.
fn example(entry: &StageEntry) -> Option<Value> {
    let document = crate::spec::node::Document::parse(entry.example).ok()?;
    let stage = (entry.parse)(document.root()).ok()?;
    Some(stage.to_json())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::STAGES;

    #[test]
    fn schemas_accept_examples_and_refuse_misspelt_fields() {
        for entry in STAGES {
            let schema = stage_schema(entry);
            let validator = jsonschema::validator_for(&schema).unwrap();
            let mut parameters = schema["examples"][0].clone();
            assert!(
                validator.is_valid(&parameters),
                "{}: {parameters}",
                entry.name
            );
            parameters["no_such_field"] = 1.into();
            assert!(!validator.is_valid(&parameters), "{}", entry.name);
        }
    }
}

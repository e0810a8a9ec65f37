//! `stages`: what steps there are, or everything about one of them.

use crate::plan::counterparts;
use crate::plan::entry::{Kind, StageEntry};
use crate::plan::presets::{self, PRESETS};
use crate::registry::STAGES;
use crate::schema::stage_schema;
use crate::spec::suggest;
use serde_json::Value;
use std::io::{self, Write};

const WIDTH: usize = 96;

/// Writes a table of all steps, or one step's description, parameters and example.
///
/// A name that another framework uses shows the step that does the same here.
///
/// Returns whether the step was found; if not, the nearest name has been written.
/// **Errors** those of `out`.
pub fn stages(name: Option<&str>, out: &mut dyn Write) -> io::Result<bool> {
    let Some(name) = name else {
        table(out)?;
        return Ok(true);
    };
    if let Some(preset) = presets::find(name) {
        writeln!(out, "{} (preset)\n", preset.name)?;
        wrap(preset.doc, "", out)?;
        writeln!(out, "\nSteps:\n")?;
        for (name, parameters) in preset.steps {
            let parameters = if parameters.is_empty() {
                "…"
            } else {
                parameters
            };
            writeln!(out, "  - {name}: {parameters}")?;
        }
        return Ok(true);
    }
    let entry = |name: &str| STAGES.iter().find(|entry| entry.name == name);
    if let Some(entry) = entry(name) {
        page(entry, out)?;
        return Ok(true);
    }
    if let Some(known) = counterparts::find(name)
        && let Some(entry) = entry(known.ours)
    {
        writeln!(out, "{known}\n")?;
        page(entry, out)?;
        return Ok(true);
    }
    let presets = PRESETS.iter().map(|preset| preset.name);
    let names: Vec<&str> = STAGES.iter().map(|e| e.name).chain(presets).collect();
    writeln!(out, "unknown stage `{name}`; {}", suggest(name, &names))?;
    Ok(false)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Stage => "stage",
        Kind::Augment => "augment",
        Kind::Mix => "mix",
        Kind::Order => "order",
    }
}

fn table(out: &mut dyn Write) -> io::Result<()> {
    let longest = STAGES.iter().map(|e| e.name.len()).max().unwrap_or(0);
    for entry in STAGES {
        let schema = stage_schema(entry);
        let (name, kind) = (entry.name, kind(entry.kind));
        let summary = first_sentence(text(&schema, "description"));
        writeln!(out, "{name:longest$}  {kind:7}  {summary}")?;
    }
    for preset in PRESETS {
        let summary = first_sentence(preset.doc);
        writeln!(out, "{:longest$}  preset   {summary}", preset.name)?;
    }
    Ok(())
}

fn page(entry: &StageEntry, out: &mut dyn Write) -> io::Result<()> {
    let schema = stage_schema(entry);
    writeln!(out, "{} ({})\n", entry.name, kind(entry.kind))?;
    wrap(text(&schema, "description"), "", out)?;
    if let Some(properties) = schema["properties"].as_object() {
        writeln!(out, "\nParameters:")?;
        let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
        for (name, property) in properties {
            let default = match property.get("default") {
                _ if required.iter().any(|r| r == name) => "required".to_owned(),
                None | Some(Value::Null) => "optional".to_owned(),
                Some(value) => format!("default {}", yaml(value)),
            };
            writeln!(out, "\n  {name}: {}; {default}", type_of(property, &schema))?;
            wrap(text(property, "description"), "      ", out)?;
            for (value, meaning) in choices(property, &schema) {
                wrap(&format!("- {}: {meaning}", yaml(value)), "      ", out)?;
            }
        }
    }
    if schema["$defs"].get("Range").is_some() {
        writeln!(out)?;
        wrap(RANGE, "  ", out)?;
    }
    let elsewhere = counterparts::of(entry.name).into_iter();
    let elsewhere: Vec<String> = elsewhere
        .map(|(framework, names)| format!("{framework} {}", names.join(", ")))
        .collect();
    if !elsewhere.is_empty() {
        writeln!(out)?;
        wrap(&format!("Elsewhere: {}", elsewhere.join("; ")), "", out)?;
    }
    writeln!(out, "\nExample:\n")?;
    match entry.example.trim_end().split_once('\n') {
        None => writeln!(out, "  - {}: {}", entry.name, entry.example.trim_end()),
        Some(_) => {
            writeln!(out, "  - {}:", entry.name)?;
            let mut lines = entry.example.trim_end().lines();
            lines.try_for_each(|line| writeln!(out, "      {line}"))
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The first paragraph up to its first full stop.
fn first_sentence(description: &str) -> String {
    let paragraph = description.split("\n\n").next().unwrap_or_default();
    let line = paragraph.replace('\n', " ");
    let end = line.find(". ").map_or(line.len(), |stop| stop + 1);
    line[..end].to_owned()
}

/// Follows `$ref` into `$defs`.
fn resolve<'a>(node: &'a Value, root: &'a Value) -> &'a Value {
    let target = text(node, "$ref").strip_prefix("#/$defs/");
    target.map_or(node, |name| &root["$defs"][name])
}

/// Alternatives of a type, `null` left out: it only says that the field may be missing.
fn alternatives<'a>(node: &'a Value, root: &'a Value) -> Vec<&'a Value> {
    let node = resolve(node, root);
    let list = node["anyOf"]
        .as_array()
        .or_else(|| node["oneOf"].as_array());
    list.map_or_else(
        || vec![node],
        |list| {
            let present = list.iter().filter(|n| n["type"] != "null");
            present.flat_map(|n| alternatives(n, root)).collect()
        },
    )
}

/// The named values of a choice with the meaning of each, where they have one.
fn choices<'a>(node: &'a Value, root: &'a Value) -> Vec<(&'a Value, String)> {
    let named = alternatives(node, root).into_iter();
    named
        .filter_map(|n| Some((n.get("const")?, text(n, "description").replace('\n', " "))))
        .filter(|(_, meaning)| !meaning.is_empty())
        .collect()
}

/// A type as one would say it: `number or [number, number] or { choice: list of number }`.
/// What `range` stands for on a page; its forms would hide everything else.
const RANGE: &str = "A range is a number (always this value), [low, high] (uniform), { choice: [a, b] }, \
    { around_one: [low, high] } (a factor: half the time below 1, half above) or { one_over: [low, high] } \
    (a factor whose inverse is uniform).";

fn type_of(node: &Value, root: &Value) -> String {
    let is_range = |node: &Value| {
        node["$ref"]
            .as_str()
            .is_some_and(|name| name.ends_with("/Range"))
    };
    if is_range(node) {
        return "range".to_owned();
    }
    let node = resolve(node, root);
    let list = node["anyOf"]
        .as_array()
        .or_else(|| node["oneOf"].as_array());
    let Some(list) = list else {
        return simple_type(node, root);
    };
    let mut names: Vec<String> = Vec::new();
    for node in list.iter().filter(|n| n["type"] != "null") {
        let name = type_of(node, root);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" or ")
}

fn simple_type(node: &Value, root: &Value) -> String {
    if let Some(value) = node.get("const") {
        return yaml(value);
    }
    if let Some(values) = node["enum"].as_array() {
        let shown = values.iter().filter(|v| !v.is_null()).map(yaml);
        return shown.collect::<Vec<_>>().join(" or ");
    }
    let name = match &node["type"] {
        Value::Array(names) => {
            let present = names.iter().filter_map(Value::as_str);
            present
                .filter(|n| *n != "null")
                .collect::<Vec<_>>()
                .join(" or ")
        }
        name => name.as_str().unwrap_or("any value").to_owned(),
    };
    match name.as_str() {
        "array" => array_type(node, root),
        "object" => match node["properties"].as_object() {
            Some(fields) => {
                let field =
                    |(name, node): (&String, &Value)| format!("{name}: {}", type_of(node, root));
                format!(
                    "{{ {} }}",
                    fields.iter().map(field).collect::<Vec<_>>().join(", ")
                )
            }
            None => match &node["additionalProperties"] {
                value @ Value::Object(_) => format!("map of {}", type_of(value, root)),
                _ => "map".to_owned(),
            },
        },
        "string" => "text".to_owned(),
        "boolean" => "true or false".to_owned(),
        "integer" => "whole number".to_owned(),
        _ => name,
    }
}

fn array_type(node: &Value, root: &Value) -> String {
    let item = type_of(&node["items"], root);
    match (node["minItems"].as_u64(), node["maxItems"].as_u64()) {
        (Some(least), Some(most)) if least == most && least <= 4 => {
            format!("[{}]", vec![item; least as usize].join(", "))
        }
        _ => format!("list of {item}"),
    }
}

/// A JSON value as one writes it in YAML.
fn yaml(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(yaml).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| format!("{name}: {}", yaml(value));
            format!(
                "{{ {} }}",
                fields.iter().map(field).collect::<Vec<_>>().join(", ")
            )
        }
        other => other.to_string(),
    }
}

/// Writes paragraphs broken at [`WIDTH`] columns, without Markdown's bold; list items keep lines of their own.
fn wrap(description: &str, indent: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut line = String::new();
    for source in description.lines() {
        let source = source.replace("**", "");
        let blank = source.trim().is_empty();
        if blank || source.trim_start().starts_with("- ") {
            flush(&mut line, indent, out)?;
        }
        if blank {
            writeln!(out)?;
        }
        for word in source.split_whitespace() {
            let width = indent.len() + line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && width > WIDTH {
                flush(&mut line, indent, out)?;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    flush(&mut line, indent, out)
}

fn flush(line: &mut String, indent: &str, out: &mut dyn Write) -> io::Result<()> {
    if !line.is_empty() {
        writeln!(out, "{indent}{line}")?;
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! Tests held against the steps and columns of their pipeline.

use super::{DIGEST_DIGITS, Expectation, SOURCE, TestSection};
use crate::plan::edges::Edges;
use crate::plan::pipeline::Pipeline;
use crate::source::{PhantomSpec, SourceKind, SourceSpec};
use crate::spec::{Node, SpecError};
use crate::volume::Role;
use crate::volume::row::column_name;
use std::collections::BTreeSet;

/// Checks the tests against the steps and columns of the pipeline.
pub(in crate::plan) fn check(
    pipeline: &Pipeline,
    edges: &Edges,
    root: Node<'_>,
    errors: &mut Vec<SpecError>,
) {
    let mut names = BTreeSet::new();
    let nodes = root.get("tests").into_iter().flat_map(Node::items);
    // Where a test could not be read, places and tests do not match.
    let nodes: Vec<Node<'_>> = nodes
        .filter(|node| node.read::<TestSection>().is_ok())
        .collect();
    for (case, node) in pipeline.tests.iter().zip(nodes) {
        let section = &case.section;
        let place = |key: &str| node.get(key).map_or(node.at(), Node::at);
        if !names.insert(&section.name) || section.name.trim().is_empty() {
            let problem = format!("`{}` is empty, or the name of another test", section.name);
            errors.push(
                SpecError::new(place("name"), problem)
                    .with_help("give each test a name of its own"),
            );
        }
        if let Some(phantom) = &section.phantom {
            let problems = phantom_problems(phantom, &pipeline.source);
            let at = place("phantom");
            errors.extend(problems.into_iter().map(|p| SpecError::new(at, p)));
        }
        if section.expect.is_empty() {
            errors.push(
                SpecError::new(place("expect"), "nothing is expected")
                    .with_help("write `- { at: source, column: label, classes: [0, 1] }`"),
            );
        }
        let items = node.get("expect").into_iter().flat_map(Node::items);
        for (expectation, node) in section.expect.iter().zip(items) {
            let columns = columns(pipeline, edges, section.phantom.as_ref(), &expectation.at);
            errors.extend(expectation_problem(pipeline, expectation, node, columns));
        }
    }
}

fn phantom_problems(phantom: &PhantomSpec, source: &SourceSpec) -> Vec<String> {
    let own = SourceSpec {
        kind: SourceKind::Phantom(phantom.clone()),
        labels: source.labels.clone(),
        registration: source.registration.clone(),
    };
    let mut problems = own.check().err().unwrap_or_default();
    let (has, needs) = (own.modalities(), source.modalities());
    if has != needs {
        problems.push(format!(
            "the phantom has the modalities {}, the pipeline's source {}; write `modalities: [{}]`",
            has.join(", "),
            needs.join(", "),
            needs.join(", ")
        ));
    }
    problems
}

/// Columns behind a step; `None` for a step that is not there.
fn columns(
    pipeline: &Pipeline,
    edges: &Edges,
    phantom: Option<&PhantomSpec>,
    at: &str,
) -> Option<Vec<String>> {
    let edge = if at == SOURCE {
        &edges.source
    } else {
        let mut chains = pipeline.chains().into_iter();
        chains.find_map(|chain| {
            let steps = pipeline.steps(chain).iter();
            let i = steps.into_iter().position(|s| s.path == at)?;
            edges.of(chain).get(i)
        })?
    };
    Some(match phantom {
        Some(phantom) => {
            let images = phantom
                .modalities
                .iter()
                .map(|m| column_name(Role::Image, m));
            let labels = phantom.label_names();
            let labels = labels.iter().map(|name| column_name(Role::Label, name));
            images.chain(labels).collect()
        }
        None => edge.channels.iter().map(|c| c.column()).collect(),
    })
}

/// What is wrong with an expectation, at its innermost place.
fn expectation_problem(
    pipeline: &Pipeline,
    expectation: &Expectation,
    node: Node<'_>,
    columns: Option<Vec<String>>,
) -> Option<SpecError> {
    let place = |key: &str| node.get(key).map_or(node.at(), Node::at);
    let Some(columns) = columns else {
        let chains = pipeline.chains().into_iter();
        let steps = chains.flat_map(|chain| pipeline.steps(chain));
        let paths: Vec<&str> = [SOURCE]
            .into_iter()
            .chain(steps.map(|s| &*s.path))
            .collect();
        return Some(SpecError::unknown(
            place("at"),
            "step",
            &expectation.at,
            &paths,
        ));
    };
    let of_volume = expectation.of_volume();
    match (&expectation.column, of_volume.first()) {
        (None, Some(first)) => {
            let columns = columns.join("`, `");
            return Some(
                SpecError::new(node.at(), format!("`{first}` is expected of no column"))
                    .with_help(format!("add `column`: one of `{columns}`")),
            );
        }
        (Some(column), _) if !columns.contains(column) => {
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            return Some(SpecError::unknown(
                place("column"),
                "column",
                column,
                &columns,
            ));
        }
        _ => {}
    }
    if expectation.count() == 0 {
        return Some(
            SpecError::new(node.at(), "nothing is expected here")
                .with_help("add `shape`, `range`, `classes`, `drawn` or another expectation"),
        );
    }
    for (key, range) in [("range", expectation.range), ("mean", expectation.mean)] {
        if let Some([low, high]) = range.filter(|[low, high]| low > high) {
            let problem =
                format!("`{key}` goes from {low} to {high}, expected the smaller number first");
            return Some(SpecError::new(place(key), problem));
        }
    }
    let digest = expectation.digest.as_deref().unwrap_or_default();
    let is_digest = digest.len() == DIGEST_DIGITS && digest.bytes().all(|b| b.is_ascii_hexdigit());
    (!digest.is_empty() && !is_digest).then(|| {
        let problem =
            format!("`{digest}` is no digest, which has {DIGEST_DIGITS} hexadecimal digits");
        SpecError::new(place("digest"), problem)
            .with_help("write `digest: \"\"` and run `voxstream test --update` on this file")
    })
}

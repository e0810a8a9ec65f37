//! `/metrics`: how runs are doing, in the OpenMetrics text format.

use super::answers::{App, Problem, Reply, state};
use crate::run::chain::causes;
use crate::sink::{EdgeRow, MetricRow, read_run_table};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Figures of training that are exported, the last value of each.
const FIGURES: [&str; 3] = ["loss", "mean_dice", "lr"];

/// A family: its name, type, unit and help, and the samples with their labels.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: Vec<(String, f64)>,
}

/// Progress, counters of nodes, and last figures of every run.
///
/// **Source** OpenMetrics 1.0.0.
pub(super) fn metrics(app: &App, _: &BTreeMap<String, String>) -> Result<Reply, Problem> {
    let family = |name, kind, help| Family {
        name,
        kind,
        help,
        samples: Vec::new(),
    };
    let mut families = [
        family(
            "voxstream_run_state",
            "gauge",
            "1 for the state that a run is in.",
        ),
        family("voxstream_node_rows", "counter", "Rows that left a node."),
        family(
            "voxstream_node_bytes",
            "counter",
            "Bytes of voxels that left a node.",
        ),
        family(
            "voxstream_node_busy_seconds",
            "counter",
            "Time spent working, summed over workers.",
        ),
        family(
            "voxstream_node_starved_seconds",
            "counter",
            "Time spent waiting for input, summed over workers.",
        ),
        family(
            "voxstream_node_blocked_seconds",
            "counter",
            "Time spent waiting for room downstream, summed over workers.",
        ),
        family(
            "voxstream_node_failures",
            "counter",
            "Subjects that failed in a node.",
        ),
        family("voxstream_step", "gauge", "Optimiser steps done."),
        family(
            "voxstream_figure",
            "gauge",
            "Last value of a figure of training.",
        ),
    ];
    for run in &app.runs()?.all {
        let name = label("run", &run.name);
        let state = label("state", state(run, super::answers::changed(run)));
        families[0].samples.push((format!("{name},{state}"), 1.0));
        let failed = |e: crate::sink::SinkError| Problem::wrong(causes(&e));
        for edge in read_run_table::<EdgeRow>(&run.path).map_err(failed)? {
            let labels = format!("{name},{}", label("node", &edge.node));
            let values = [
                edge.rows as f64,
                edge.bytes as f64,
                edge.busy_seconds,
                edge.starved_seconds,
                edge.blocked_seconds,
                edge.failures as f64,
            ];
            for (family, value) in families[1..7].iter_mut().zip(values) {
                family.samples.push((labels.clone(), value));
            }
        }
        let metrics: Vec<MetricRow> = read_run_table(&run.path).map_err(failed)?;
        if let Some(step) = metrics.iter().map(|m| m.step).max() {
            families[7].samples.push((name.clone(), step as f64));
        }
        for figure in FIGURES {
            let last = metrics
                .iter()
                .rev()
                .find(|m| m.name == figure && m.class.is_none());
            if let Some(row) = last.filter(|r| r.value.is_finite()) {
                let labels = format!(
                    "{name},{},{}",
                    label("figure", figure),
                    label("split", &row.split)
                );
                families[8].samples.push((labels, row.value));
            }
        }
    }
    let mut text = String::new();
    for family in families {
        let suffix = if family.kind == "counter" {
            "_total"
        } else {
            ""
        };
        let Family {
            name,
            kind,
            help,
            samples,
        } = family;
        let mut line = |line: std::fmt::Arguments<'_>| {
            text.write_fmt(line).expect("a string takes every text");
        };
        line(format_args!("# TYPE {name} {kind}\n# HELP {name} {help}\n"));
        for (labels, value) in samples {
            line(format_args!("{name}{suffix}{{{labels}}} {value}\n"));
        }
    }
    text.push_str("# EOF\n");
    Ok(Reply {
        kind: "application/openmetrics-text; version=1.0.0; charset=utf-8",
        body: text.into_bytes(),
    })
}

fn label(name: &str, value: &str) -> String {
    let value = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

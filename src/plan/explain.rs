//! Shows a plan: as text for people, as Mermaid for pictures, as JSON for machines.

use super::compile::Plan;
use super::pipeline::Chain;
use super::ranges::{Edge, Subjects};
use super::step::Step;
use super::views::STRONG_FROM_WEAK;
use crate::stage::{ChannelSchema, EdgeSchema};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// How a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A tree of chains with the schema behind each step.
    Text,
    /// A Mermaid flow chart.
    Mermaid,
    /// Everything, for machines.
    Json,
}

/// Shows a plan, with sizes where they are known of the `subjects`; ends with a newline.
pub fn explain(plan: &Plan, form: Form, subjects: &Subjects) -> String {
    match form {
        Form::Text => text(plan, subjects),
        Form::Mermaid => mermaid(plan),
        Form::Json => format!("{:#}\n", json_with_ranges(plan, subjects)),
    }
}

/// The chains of a plan: path, steps and edges.
fn chains(plan: &Plan) -> Vec<(&str, &[Step], &[EdgeSchema])> {
    let p = &plan.pipeline;
    let describe = |chain| (p.path(chain), p.steps(chain), plan.edges(chain));
    p.chains().into_iter().map(describe).collect()
}

fn numbers<const N: usize, T: std::fmt::Display>(
    values: Option<[T; N]>,
    unit: &str,
) -> Option<String> {
    values.map(|v| format!("{}{unit}", v.map(|x| x.to_string()).join("x")))
}

/// Voxels along each axis, as `33..51x49x32..44` where subjects differ.
fn shape(c: &ChannelSchema, subjects: &Edge) -> Option<String> {
    let differing = || {
        let [low, high] = subjects.shapes(&c.column())?;
        Some([0, 1, 2].map(|a| match low[a] == high[a] {
            true => low[a].to_string(),
            false => format!("{}..{}", low[a], high[a]),
        }))
    };
    numbers(c.shape_xyz, "").or_else(|| numbers(differing(), ""))
}

fn channel(c: &ChannelSchema, subjects: &Edge) -> String {
    let known = [
        c.dtype.map(|d| d.to_string()),
        shape(c, subjects),
        numbers(
            c.spacing_mm.map(|s| s.map(|x| (x * 1e3).round() / 1e3)),
            " mm",
        ),
        c.orientation.clone(),
    ];
    let known: Vec<String> = known.into_iter().flatten().collect();
    let known = if known.is_empty() {
        "varies by subject".to_owned()
    } else {
        known.join(" ")
    };
    format!("{}: {known}", c.column())
}

/// A number of bytes, or the fewest and the most.
fn bytes_of(range: Option<[usize; 2]>) -> String {
    let show = |bytes: usize| bytesize::ByteSize(bytes as u64).display().iec().to_string();
    match range {
        None => "size varies".to_owned(),
        Some([low, high]) if low == high => show(low),
        Some([low, high]) => format!("{} to {}", show(low), show(high)),
    }
}

fn size(edge: &EdgeSchema, subjects: &Edge) -> String {
    let bytes = bytes_of(edge.bytes().map(|b| [b; 2]).or_else(|| subjects.bytes()));
    match edge.rows_per_subject {
        Some(1) => format!("{bytes} a row"),
        Some(rows) => format!("{rows} rows a subject, {bytes} each"),
        None => format!("rows vary by subject, {bytes} each"),
    }
}

fn edge_line(edge: &EdgeSchema, subjects: &Edge) -> String {
    let channels = edge.channels.iter().map(|c| channel(c, subjects));
    let channels: Vec<String> = channels.collect();
    format!("{}  ({})", channels.join("; "), size(edge, subjects))
}

/// The options of a section as `key: value` pairs, defaults left out where they are null.
fn options(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let set: Vec<String> = map
                .iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| format!("{k}: {}", options(v)))
                .collect();
            if set.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", set.join(", "))
            }
        }
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(options).collect::<Vec<_>>().join(", ")
        ),
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

fn plain<T: serde::Serialize>(section: &T) -> Value {
    serde_json::to_value(section).expect("sections are plain data")
}

fn last_sections(plan: &Plan) -> Vec<(&'static str, Value)> {
    let p = &plan.pipeline;
    let mut sections = Vec::new();
    sections.extend(
        p.pseudo_label
            .as_ref()
            .map(|(s, _)| ("pseudo_label", plain(s))),
    );
    sections.extend(p.train.as_ref().map(|(s, _)| ("train", plain(s))));
    sections.extend(p.predict.as_ref().map(|(s, _)| ("predict", plain(s))));
    sections.extend(p.score.as_ref().map(|(s, _)| ("score", plain(s))));
    sections.push(("sinks", plain(&p.sinks)));
    sections
}

fn text(plan: &Plan, subjects: &Subjects) -> String {
    let (p, unknown) = (&plan.pipeline, Edge::default());
    let mut out = format!(
        "{}  (seed {})\n\nsource {}\n  -> {}\n",
        p.name,
        p.seed,
        options(&plain(&p.source)),
        edge_line(&plan.edges.source, subjects.source())
    );
    let line =
        |out: &mut String, text: String| writeln!(out, "{text}").expect("a string takes any text");
    for (path, steps, edges) in chains(plan)
        .into_iter()
        .filter(|(_, steps, _)| !steps.is_empty())
    {
        line(&mut out, format!("\n{path}"));
        for (i, (step, edge)) in steps.iter().zip(edges).enumerate() {
            let known = subjects.behind(path).get(i).unwrap_or(&unknown);
            let drawn = if step.stage.is_random() {
                "  [draws]"
            } else {
                ""
            };
            line(
                &mut out,
                format!(
                    "  {} {}{drawn}",
                    step.stage.name(),
                    options(&step.stage.to_json())
                ),
            );
            line(&mut out, format!("    -> {}", edge_line(edge, known)));
        }
    }
    optimized(plan, subjects, &mut out);
    for (name, value) in last_sections(plan) {
        line(&mut out, format!("\n{name}"));
        for (key, value) in value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, v)| !v.is_null())
        {
            line(&mut out, format!("  {key}: {}", options(value)));
        }
    }
    out
}

/// The optimised plan: passes, bytes in flight, and what each rule did.
fn optimized(plan: &Plan, subjects: &Subjects, out: &mut String) {
    let mut line = |text: String| writeln!(out, "{text}").expect("a string takes any text");
    line("\noptimized".to_owned());
    let unknown = Edge::default();
    let mut input = (&plan.edges.source, subjects.source());
    let mut patch = input;
    for chain in plan.pipeline.chains() {
        let (steps, edges) = (plan.pipeline.steps(chain), plan.edges(chain));
        for pass in plan.passes(chain) {
            let names: Vec<&str> = steps[pass.steps.clone()]
                .iter()
                .map(|s| s.stage.name())
                .collect();
            let last = pass.steps.end - 1;
            let known = subjects.behind(plan.pipeline.path(chain)).get(last);
            let output = (&edges[last], known.unwrap_or(&unknown));
            let rules = match pass.rules.is_empty() {
                true => String::new(),
                false => format!("  [{}]", pass.rules.join(", ")),
            };
            let bytes = in_flight(input, output);
            line(format!(
                "  {}: {}  ({bytes} in flight a worker){rules}",
                plan.pipeline.path(chain),
                names.join(" + ")
            ));
            input = output;
        }
        // All views leave from the shared chain.
        match chain {
            Chain::Stages | Chain::Shared => patch = input,
            Chain::Weak | Chain::Strong(_) => input = patch,
        }
        if chain == Chain::Stages && plan.optimized.cut.is_some() {
            line("  cut: prepared subjects are kept from here on".to_owned());
        }
    }
    if plan.optimized.fired.is_empty() {
        line("  no rule fired".to_owned());
    }
    for fired in &plan.optimized.fired {
        line(format!(
            "  {} at {}: {}",
            fired.rule, fired.path, fired.what
        ));
    }
}

/// Bytes of a row on its way through a pass: what goes in and what comes out.
fn in_flight(input: (&EdgeSchema, &Edge), output: (&EdgeSchema, &Edge)) -> String {
    let both = input.0.bytes().zip(output.0.bytes());
    let both = both.map(|(a, b)| [a + b; 2]);
    bytes_of(both.or_else(|| input.1.bytes_with(output.1)))
}

/// As [`json`], with the fewest and most bytes and voxels where subjects differ.
fn json_with_ranges(plan: &Plan, subjects: &Subjects) -> Value {
    let mut all = json(plan);
    for (path, _, edges) in chains(plan) {
        for (i, (known, edge)) in subjects.behind(path).iter().zip(edges).enumerate() {
            let shapes: serde_json::Map<String, Value> = (edge.channels.iter())
                .filter_map(|c| Some((c.column(), json!(known.shapes(&c.column())?))))
                .collect();
            let step = &mut all["chains"][path][i];
            step["bytes_per_row_range"] = json!(known.bytes());
            step["shape_xyz_range"] = shapes.into();
        }
    }
    all
}

fn mermaid(plan: &Plan) -> String {
    let p = &plan.pipeline;
    let source = plain(&p.source)
        .as_object()
        .and_then(|m| m.keys().next().cloned())
        .unwrap_or_default();
    let mut out = format!("flowchart LR\n  source[(\"{source}\")]\n");
    let mut push = |text: String| {
        out.push_str("  ");
        out.push_str(&text);
        out.push('\n');
    };
    let mut last = "source".to_owned();
    let mut ends = Vec::new();
    for (path, steps, _) in chains(plan) {
        let start = last.clone();
        let id = path.replace(['.', '-'], "_");
        let chain = p.chains().into_iter().find(|c| p.path(*c) == path);
        let passes = chain.map_or(&[][..], |chain| plan.passes(chain));
        for (i, step) in steps.iter().enumerate() {
            push(format!("{id}{i}[\"{}\"]", step.stage.name()));
            let label = if i == 0 && path.starts_with("views.") {
                format!("|{}| ", &path[6..])
            } else {
                String::new()
            };
            // Steps of one pass are joined by a thick line.
            let joined = passes.iter().any(|p| p.steps.start < i && i < p.steps.end);
            let arrow = if joined { "==>" } else { "-->" };
            push(format!("{last} {arrow}{label} {id}{i}"));
            last = format!("{id}{i}");
        }
        if path == "views.weak" || path.starts_with("views.strong") {
            // All views leave from the shared chain.
            ends.push(std::mem::replace(&mut last, start));
        }
    }
    ends.dedup();
    let ends = if p.makes_views() { ends } else { vec![last] };
    let goal = if p.train.is_some() {
        "train"
    } else if p.makes_views() {
        "samples"
    } else if p.predict.is_some() {
        "predict"
    } else {
        "prepared"
    };
    push(format!("{goal}([\"{goal}\"])"));
    for end in ends {
        push(format!("{end} --> {goal}"));
    }
    if goal != "samples" {
        push(format!("{goal} --> tables[(\"Parquet\")]"));
    }
    out
}

/// Everything of a plan as JSON; also what a resumed run is compared by.
pub fn json(plan: &Plan) -> Value {
    let p = &plan.pipeline;
    let chain = |steps: &[Step], edges: &[EdgeSchema]| -> Vec<Value> {
        let describe = |(step, edge): (&Step, &EdgeSchema)| {
            json!({ "path": step.path, "stage": step.stage.name(), "options": step.stage.to_json(), "draws": step.stage.is_random(),
                "output": plain(edge), "bytes_per_row": edge.bytes() })
        };
        steps.iter().zip(edges).map(describe).collect()
    };
    let chains: serde_json::Map<String, Value> = chains(plan)
        .into_iter()
        .map(|(path, s, e)| (path.to_owned(), chain(s, e).into()))
        .collect();
    let sections: serde_json::Map<String, Value> = last_sections(plan)
        .into_iter()
        .map(|(n, v)| (n.to_owned(), v))
        .collect();
    // Steps that move voxels stand in `views.shared`, so a voxel keeps its place in every view.
    let views = p.views.strong.iter();
    let views = views.map(|v| json!({ "view": v.name, "strong_from_weak": STRONG_FROM_WEAK }));
    let views: Vec<Value> = views.filter(|_| p.makes_views()).collect();
    json!({ "name": p.name, "seed": p.seed, "source": { "options": plain(&p.source), "output": plain(&plan.edges.source) }, "chains": chains,
        "views": views, "sections": sections, "optimized": plain(&plan.optimized), "version": env!("CARGO_PKG_VERSION") })
}

//! The graph of a run: its chains from left to right, with rates and waits of every node.

use super::units::{duration, size};
use crate::sink::EdgeRow;
use crate::spec::counted;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// One chain of nodes.
#[derive(Serialize, Debug, PartialEq)]
pub(super) struct Lane {
    name: String,
    nodes: Vec<Node>,
}

#[derive(Serialize, Debug, PartialEq)]
struct Node {
    name: String,
    path: String,
    /// Rows, and rows a second of work; empty for a step that is not counted by itself.
    rate: String,
    size: String,
    /// What it did most: busy, starved, blocked; empty if it is not counted.
    state: &'static str,
    /// Shares of its time in per cent: busy, starved, blocked.
    shares: [f64; 3],
    title: String,
}

/// Lanes of nodes in the order of the data: those that the plan names, then what else was counted.
pub(super) fn lanes(plan: Option<&str>, edges: &[EdgeRow]) -> Vec<Lane> {
    if edges.is_empty() {
        return Vec::new();
    }
    let counted: BTreeMap<&str, &EdgeRow> = edges.iter().map(|e| (e.node.as_str(), e)).collect();
    let plan: Value = plan
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let mut lanes = Vec::new();
    let mut used = Vec::new();
    let mut lane = |name: &str, paths: &[&str]| {
        let nodes: Vec<Node> = (paths.iter())
            .map(|path| node(name, path, counted.get(path).copied()))
            .collect();
        used.extend(paths.iter().map(|p| (*p).to_owned()));
        if !nodes.is_empty() {
            let name = name.to_owned();
            lanes.push(Lane { name, nodes });
        }
    };
    let steps = |chain: &Value| -> Vec<String> {
        let steps = chain.as_array().into_iter().flatten();
        steps
            .filter_map(|s| s["path"].as_str().map(str::to_owned))
            .collect()
    };
    let chains: Vec<(String, Vec<String>)> = plan["chains"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, chain)| (name.clone(), steps(chain)))
        .collect();
    let find = |name: &'static str| chains.iter().filter(move |(n, _)| n == name);
    if counted.contains_key("source") {
        lane("source", &["source"]);
    }
    let first = ["stages", "views.shared"];
    let rest = chains.iter().filter(|(n, _)| !first.contains(&n.as_str()));
    for (name, paths) in first.iter().flat_map(|n| find(n)).chain(rest) {
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        lane(name, &paths);
    }
    let others: Vec<&str> = (edges.iter().map(|e| e.node.as_str()))
        .filter(|n| !used.iter().any(|u| u == n))
        .collect();
    let nodes: Vec<Node> = others
        .iter()
        .map(|path| node("", path, counted.get(path).copied()))
        .collect();
    if !nodes.is_empty() {
        let name = "run".to_owned();
        lanes.push(Lane { name, nodes });
    }
    lanes
}

fn node(lane: &str, path: &str, edge: Option<&EdgeRow>) -> Node {
    let short = path.strip_prefix(lane).unwrap_or(path);
    let name = match short.split_once("].") {
        Some((_, step)) => step,
        None => path,
    };
    let Some(edge) = edge else {
        return Node {
            name: name.to_owned(),
            path: path.to_owned(),
            rate: String::new(),
            size: String::new(),
            state: "",
            shares: [0.0; 3],
            title: format!("{path}: done within another pass"),
        };
    };
    let times = [
        edge.busy_seconds,
        edge.starved_seconds,
        edge.blocked_seconds,
    ];
    let all: f64 = times.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let state = match times {
        [busy, starved, blocked] if blocked > busy && blocked > starved => "blocked",
        [busy, starved, _] if starved > busy => "starved",
        _ => "busy",
    };
    let rate = match edge.busy_seconds > 0.0 {
        true => format!(
            "{}, {}/s",
            counted(edge.rows, "row"),
            figure(edge.rows as f64 / edge.busy_seconds)
        ),
        false => counted(edge.rows, "row"),
    };
    let [busy, starved, blocked] = times.map(duration);
    Node {
        name: name.to_owned(),
        path: path.to_owned(),
        rate,
        size: if edge.bytes > 0 {
            size(edge.bytes)
        } else {
            String::new()
        },
        state,
        shares: times.map(|t| (t / all * 1000.0).round() / 10.0),
        title: format!("{path}: busy {busy}, starved {starved}, blocked {blocked}"),
    }
}

/// Three significant digits.
fn figure(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(node: &str, seconds: [f64; 3]) -> EdgeRow {
        EdgeRow {
            node: node.into(),
            rows: 10,
            bytes: 1024,
            busy_seconds: seconds[0],
            starved_seconds: seconds[1],
            blocked_seconds: seconds[2],
            failures: 0,
        }
    }

    #[test]
    fn chains_lie_in_the_order_of_the_data() {
        let plan = r#"{"chains": {
            "views.weak": [{"path": "views.weak[0].noise"}],
            "stages": [{"path": "stages[0].orient"}, {"path": "stages[1].zscore"}],
            "views.shared": []}}"#;
        let edges = [
            edge("train", [1.0, 0.0, 0.0]),
            edge("stages[1].zscore", [0.5, 2.0, 1.0]),
            edge("source", [0.5, 0.0, 1.5]),
        ];
        let lanes = lanes(Some(plan), &edges);
        let shown: Vec<(&str, Vec<(&str, &str)>)> = lanes
            .iter()
            .map(|l| {
                (
                    l.name.as_str(),
                    l.nodes.iter().map(|n| (n.name.as_str(), n.state)).collect(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("source", vec![("source", "blocked")]),
                ("stages", vec![("orient", ""), ("zscore", "starved")]),
                ("views.weak", vec![("noise", "")]),
                ("run", vec![("train", "busy")]),
            ]
        );
        assert_eq!(lanes[0].nodes[0].rate, "10 rows, 20.0/s");
        assert_eq!(lanes[0].nodes[0].shares, [25.0, 0.0, 75.0]);
        assert!(super::lanes(Some(plan), &[]).is_empty());
        assert_eq!(super::lanes(None, &edges).len(), 2);
    }
}

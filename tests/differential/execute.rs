//! Chains carried out in three ways: voxels made behind every step, at the end only, or where the
//! planner says.

use super::case::{Case, Step};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use voxstream::kernel::reorient::AxisMap;
use voxstream::plan::rules::rule_joining;
use voxstream::registry::STAGES;
use voxstream::spec::node::Document;
use voxstream::stage::{AnyStage, EdgeSchema, Effect, StageError};
use voxstream::volume::{Row, Volume};

/// Why a chain ended early: the step, and its words.
pub(crate) type Ended = (usize, String);

/// How the text of an error begins if a step of a case cannot be read.
pub(crate) const UNREADABLE: &str = "unreadable step";

/// A chain of parsed steps.
pub(crate) struct Chain {
    pub(crate) stages: Vec<Box<dyn AnyStage>>,
    /// By how much each step rounds, whatever it leaves.
    rounding: Vec<f64>,
    seed: u64,
}

/// A step as the registry parses it.
fn parsed(step: &Step) -> Result<Box<dyn AnyStage>, String> {
    let entry = STAGES.iter().find(|e| e.name == step.stage);
    let told = |e: String| format!("{UNREADABLE} `{}`: {e}", step.stage);
    let entry = entry.ok_or_else(|| told("not in the registry".to_owned()))?;
    let text = step.parameters.to_string();
    let document = Document::parse(&text);
    let document = document.map_err(|e| told(format!("{e:?}")))?;
    (entry.parse)(document.root()).map_err(|e| told(format!("{e:?}")))
}

/// A window takes shares of what it maps to, which round by f32's spacing at 1: also where what it leaves is small.
fn rounding(step: &Step) -> f64 {
    if step.stage != "window" {
        return 0.0;
    }
    let to = step.parameters.get("to").and_then(|to| to.as_array());
    let ends: Vec<f64> = to.map_or(vec![0.0, 1.0], |to| {
        to.iter().filter_map(|v| v.as_f64()).collect()
    });
    let largest = ends.iter().fold(0.0f64, |most, end| most.max(end.abs()));
    2.0 * largest * f64::from(f32::EPSILON)
}

impl Chain {
    /// The chain of a case.
    ///
    /// **Errors** if a step cannot be read: the case is at fault.
    pub(crate) fn new(case: &Case) -> Result<Self, String> {
        Ok(Self {
            stages: case.steps.iter().map(parsed).collect::<Result<_, _>>()?,
            rounding: case.steps.iter().map(rounding).collect(),
            seed: case.seed,
        })
    }

    /// How many steps accept what the steps before them leave, and the schema behind each.
    pub(crate) fn accepted(&self, source: EdgeSchema) -> Vec<EdgeSchema> {
        let mut edges = vec![source];
        for stage in &self.stages {
            match stage.check(&edges[edges.len() - 1]) {
                Ok(next) => edges.push(next),
                Err(_) => break,
            }
        }
        edges
    }

    /// By how much steps round, whatever they leave.
    pub(crate) fn rounding(&self, steps: Range<usize>) -> f64 {
        self.rounding[steps].iter().sum()
    }

    pub(crate) fn path(&self, i: usize) -> String {
        format!("stages[{i}].{}", self.stages[i].name())
    }

    fn step(&self, i: usize, row: Row) -> Result<Vec<Row>, StageError> {
        let (stage, path) = (&self.stages[i], self.path(i));
        match stage.mixing() {
            None => stage.run(&path, self.seed, row),
            Some(_) => {
                let mut other = |row: &Row| Ok(partner(row));
                Ok(vec![stage.mix(&path, self.seed, row, &mut other)?])
            }
        }
    }

    /// Runs some steps on every row; `makes` says behind which steps voxels are made.
    pub(crate) fn run(
        &self,
        mut rows: Vec<Row>,
        steps: Range<usize>,
        makes: impl Fn(usize) -> bool,
    ) -> Result<Vec<Row>, Ended> {
        for i in steps {
            let run = || {
                let mut next = Vec::new();
                for row in rows.drain(..) {
                    let made = self.step(i, row).map_err(|e| e.to_string())?;
                    next.extend(made.into_iter().map(|row| match makes(i) {
                        true => row.materialised(),
                        false => row,
                    }));
                }
                Ok(next)
            };
            rows = caught(run).map_err(|text| (i, text))?;
        }
        Ok(rows)
    }

    /// The passes that the planner's rules make of the chain.
    pub(crate) fn passes(&self) -> Vec<Range<usize>> {
        let mut passes: Vec<Range<usize>> = Vec::new();
        let mut last: Option<Effect> = None;
        for (i, stage) in self.stages.iter().enumerate() {
            let joins = match (last, stage.effect()) {
                (Some(last), Some(next)) => rule_joining(last, next).is_some(),
                _ => true,
            };
            match passes.last_mut() {
                Some(pass) if joins => pass.end = i + 1,
                _ => {
                    passes.push(i..i + 1);
                    last = None;
                }
            }
            last = stage.effect().or(last);
        }
        passes
    }
}

/// The result, or the words of an error or of a panic.
pub(crate) fn caught<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = (panic.downcast_ref::<String>().cloned())
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(format!("PANIC: {}", text.unwrap_or_default()))
    })
}

/// The row of another subject on the same grids: every volume turned about its middle.
fn partner(row: &Row) -> Row {
    let turned = row.clone().try_map_volumes(|_, role, volume: Volume| {
        let grid = *volume.grid();
        let turned = volume.turned(role, &AxisMap::flip([true; 3]))?;
        turned.with_grid(grid)
    });
    let mut partner = turned.unwrap();
    partner.subject = "partner".to_owned();
    partner
}

//! Runs the steps of a chain over a row, counting each.

use super::counters::{Counters, Node};
pub use super::failure::{Failure, causes};
use super::guard::guarded;
use super::recorded::Recorded;
use crate::plan::{self, Plan, Step};
use crate::stage::{ChannelSchema, EdgeSchema, Effect, StageError};
use crate::volume::Row;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One chain of a plan with a counter for each step.
pub struct Chain {
    plan: Arc<Plan>,
    chain: plan::Chain,
    nodes: Vec<Arc<Node>>,
}

impl Chain {
    /// A chain of the plan.
    pub fn new(plan: &Arc<Plan>, chain: plan::Chain, counters: &Counters) -> Self {
        let steps = plan.pipeline.steps(chain).iter();
        Self {
            nodes: steps.map(|s| counters.node(&s.path)).collect(),
            plan: Arc::clone(plan),
            chain,
        }
    }

    /// The chain's steps.
    pub fn steps(&self) -> &[Step] {
        self.plan.pipeline.steps(self.chain)
    }

    /// Most bytes that a row of this schema and what is made of it take at a time, as far as sizes
    /// are known before voxels are: what goes into a pass and what comes out.
    pub fn most_in_flight(&self, mut schema: EdgeSchema) -> u64 {
        let bytes = |schema: &EdgeSchema| {
            let row: usize = schema
                .channels
                .iter()
                .filter_map(ChannelSchema::bytes)
                .sum();
            row as u64 * u64::from(schema.rows_per_subject.unwrap_or(1))
        };
        let (mut before, mut most) = (bytes(&schema), 0);
        for pass in self.plan.passes(self.chain) {
            for step in &self.steps()[pass.steps.clone()] {
                if let Some(Effect::Normalizes | Effect::DataDependentCrop) = step.stage.effect() {
                    // Where it cannot read rows it makes the whole volume, in the middle of the pass.
                    most = most.max(before + bytes(&schema));
                }
                match step.stage.check(&schema) {
                    Ok(next) => schema = next,
                    // The step refuses the row when it comes, and says why.
                    Err(_) => return most,
                }
            }
            let after = bytes(&schema);
            most = most.max(before + after);
            before = after;
        }
        most
    }

    /// Bytes of the rows that the chain makes of a row of this schema; `None` where a size is not
    /// known before voxels are.
    pub fn output_bytes(&self, mut schema: EdgeSchema) -> Option<u64> {
        for step in self.steps() {
            schema = step.stage.check(&schema).ok()?;
        }
        let rows = u64::from(schema.rows_per_subject?);
        Some(schema.bytes()? as u64 * rows)
    }

    /// Runs every step on a row; a step may make several rows of one.
    ///
    /// **Errors** the first step's failure, with subject and stage path.
    pub fn run(&self, row: Row) -> Result<Vec<Row>, Failure> {
        self.run_steps(row, 0..self.steps().len())
    }

    /// Runs some of the steps, pass by pass.
    ///
    /// **Errors** as [`Chain::run`].
    pub fn run_steps(&self, row: Row, wanted: Range<usize>) -> Result<Vec<Row>, Failure> {
        let rows = self.run_traced(Traced::new(row), wanted, MixMode::None)?;
        Ok(rows.into_iter().map(|traced| traced.row).collect())
    }

    /// As [`Chain::run_steps`], noting the sample number behind every step.
    ///
    /// **Errors** as [`Chain::run`].
    pub fn run_traced(
        &self,
        row: Traced,
        wanted: Range<usize>,
        way: MixMode<'_>,
    ) -> Result<Vec<Traced>, Failure> {
        let mut rows = vec![row];
        for pass in self.plan.passes(self.chain) {
            for i in pass.steps.clone().filter(|i| wanted.contains(i)) {
                // What a pass left deferred is made, and its time counted, in its last step.
                let settles = i + 1 == pass.steps.end.min(wanted.end);
                rows = self.step(i, rows, settles, way)?;
            }
        }
        Ok(rows)
    }

    fn step(
        &self,
        i: usize,
        rows: Vec<Traced>,
        settles: bool,
        way: MixMode<'_>,
    ) -> Result<Vec<Traced>, Failure> {
        let (step, node) = (&self.steps()[i], &self.nodes[i]);
        let (seed, mixes) = (self.plan.pipeline.seed, step.stage.mixing().is_some());
        let mut next = Vec::with_capacity(rows.len());
        for Traced { row, trace } in rows {
            let subject = row.subject.clone();
            let made = guarded(&subject, &step.path, || {
                let made = match way {
                    MixMode::Recorded(recorded) => node.busy(|| recorded.rows(step, row, &trace)),
                    // A partner is one subject: earlier mixing steps are passed over.
                    MixMode::SkipMixing(_) if mixes => Ok(vec![row]),
                    MixMode::WithPartners(partners) if mixes => {
                        // Making the partner is counted where its steps are.
                        let (start, mut making) = (Instant::now(), Duration::ZERO);
                        let mut partner = |row: &Row| {
                            let start = Instant::now();
                            let made = partners.partner(row, &step.path, &trace);
                            making += start.elapsed();
                            made
                        };
                        let made = step.stage.mix(&step.path, seed, row, &mut partner);
                        node.worked(start.elapsed().saturating_sub(making));
                        made.map(|row| vec![row])
                    }
                    _ => node.busy(|| step.stage.run(&step.path, seed, row)),
                };
                let made =
                    made.map_err(|e: StageError| Failure::from_error(&subject, &step.path, &e))?;
                // Of a partner only the sample that is mixed in is wanted.
                let wanted = |row: &Row| match way {
                    MixMode::SkipMixing(wanted) => {
                        wanted.get(trace.len()).is_none_or(|s| *s == row.sample)
                    }
                    _ => true,
                };
                let made = made.into_iter().filter(wanted);
                let promised = self.plan.edges.of(self.chain).get(i);
                let made = made.map(|row| has_columns(row, promised));
                let made = made.collect::<Result<Vec<Row>, StageError>>();
                let made = made.map_err(|e| Failure::from_error(&subject, &step.path, &e))?;
                let made = made.into_iter();
                Ok(node.busy(|| match settles {
                    true => made.map(Row::materialised).collect::<Vec<Row>>(),
                    false => made.collect(),
                }))
            })
            .inspect_err(|_| node.failed())?;
            if !(mixes && matches!(way, MixMode::SkipMixing(_))) {
                node.passed(made.len(), made.iter().map(Row::bytes).sum());
                node.tap().show(&made);
            }
            next.extend(made.into_iter().map(|row| {
                let mut trace = trace.clone();
                trace.push(row.sample);
                Traced { row, trace }
            }));
        }
        Ok(next)
    }
}

/// Passes a row on that has the columns its step promised. Without it, other columns of the first subject of
/// a part would make those that follow fail.
///
/// **Errors** say which columns it has.
fn has_columns(row: Row, promised: Option<&EdgeSchema>) -> Result<Row, StageError> {
    let Some(promised) = promised else {
        return Ok(row);
    };
    let images = row.images.iter().map(|channel| &channel.name);
    let labels = row.labels.iter().map(|channel| &channel.name);
    if images.clone().eq(promised.images().map(|c| &c.name))
        && labels.clone().eq(promised.labels().map(|c| &c.name))
    {
        return Ok(row);
    }
    let columns = |images: Vec<&String>, labels: Vec<&String>| {
        format!("images {images:?} and labels {labels:?}")
    };
    Err(StageError::input(format!(
        "the step made {}, expected {} as it promises before it runs; its `check` and what it does to rows disagree",
        columns(images.collect(), labels.collect()),
        columns(
            promised.images().map(|c| &c.name).collect(),
            promised.labels().map(|c| &c.name).collect()
        ),
    )))
}

/// A row and the sample numbers it had behind every step so far.
#[derive(Debug, Clone)]
pub struct Traced {
    /// The row.
    pub row: Row,
    /// One sample number a step.
    pub trace: Vec<u32>,
}

impl Traced {
    /// A row before its first step.
    pub fn new(row: Row) -> Self {
        Self {
            row,
            trace: Vec::new(),
        }
    }
}

/// How a chain treats steps that mix rows of two subjects.
#[derive(Clone, Copy)]
pub enum MixMode<'a> {
    /// No partner is available: a mixing step fails.
    None,
    /// Mixing steps run with a partner's row.
    WithPartners(&'a dyn Partners),
    /// Computes a partner: mixing steps are skipped, and of the rows that step `i` returns only the
    /// one with sample number `[i]` is kept.
    SkipMixing(&'a [u32]),
    /// Replays: steps that draw take what was recorded of one row.
    Recorded(&'a Recorded<'a>),
}

/// Makes the row that a row is mixed with.
pub trait Partners {
    /// The partner of a row that reached the step at `path`; `trace` as in [`Traced`].
    ///
    /// **Errors** when no subject can be a partner.
    fn partner(&self, row: &Row, path: &str, trace: &[u32]) -> Result<Row, StageError>;
}

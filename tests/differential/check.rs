//! What is to be equal for every case.

use super::case::Case;
use super::compare::{self, Within, first_difference, values};
use super::execute::{Chain, Ended};
use super::{reference, streams};
use std::collections::BTreeSet;
use std::ops::Range;
use voxstream::stage::spatial::patch::Patch;
use voxstream::stage::{Augment as _, ChannelSchema, EdgeSchema, Effect};
use voxstream::volume::{Channel, Role, Row, Volume};

/// A property that every case has.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    /// **Errors** say how the case differs.
    pub(crate) run: fn(&Case) -> Result<(), String>,
}

/// Every property that a case alone decides.
pub(crate) const CHECKS: [Check; 3] = [
    Check {
        name: "optimised against unoptimised",
        run: optimised,
    },
    Check {
        name: "steps against the reference",
        run: |case| as_reference(case).map(|_| ()),
    },
    Check {
        name: "streams of a training",
        run: |case| streams::compared(case).map(|_| ()),
    },
];

/// Images read between voxels once differ by rounding of positions: this much of their range.
const ONCE: f64 = 2e-5;

/// How close images are behind steps of which one reads between voxels.
fn once(chain: &Chain, steps: Range<usize>) -> Within {
    Within::Share(ONCE, chain.rounding(steps))
}

/// The chain step by step: the rows before every step, and how it ended where it did.
struct Unoptimised {
    /// Rows before step `i`, and behind the last one that succeeded.
    states: Vec<Vec<Row>>,
    ended: Option<Ended>,
}

fn unoptimised(chain: &Chain, row: Row, steps: usize) -> Unoptimised {
    let mut states = vec![vec![row.materialised()]];
    for i in 0..steps {
        match chain.run(states[i].clone(), i..i + 1, |_| true) {
            Ok(rows) => states.push(rows),
            Err(ended) => {
                return Unoptimised {
                    states,
                    ended: Some(ended),
                };
            }
        }
    }
    Unoptimised {
        states,
        ended: None,
    }
}

/// Every pass of the plan from the rows before it: bits where no step read between voxels, up to
/// rounding where one did, grids, types and classes where several became one.
fn optimised(case: &Case) -> Result<(), String> {
    let chain = Chain::new(case)?;
    let row = case.row();
    let edges = chain.accepted(schema(&row));
    let slow = unoptimised(&chain, row, edges.len() - 1);
    if let Some((i, text)) = &slow.ended
        && text.starts_with("PANIC")
    {
        return Err(format!("{}: {text}", chain.path(*i)));
    }
    for (i, rows) in slow.states.iter().enumerate() {
        rows.iter().try_for_each(|row| {
            as_planned(&edges[i], row).map_err(|e| format!("before step {i}: {e}"))
        })?;
    }
    for pass in chain.passes() {
        let pass = pass.start..pass.end.min(edges.len() - 1);
        read_as_made(&chain, &slow.states, pass.clone())?;
        for piece in pieces(&chain, &slow.states, pass) {
            let parts = parts(&chain, &slow.states, piece.clone());
            for part in parts.into_iter().chain([piece]) {
                compared(&chain, &slow, part)?;
            }
        }
    }
    Ok(())
}

/// Returns `true` if a step decides by what it reads: rounding before it may change a figure or a box.
fn decides(chain: &Chain, step: usize) -> bool {
    let effect = chain.stages.get(step).and_then(|stage| stage.effect());
    matches!(effect, Some(Effect::Normalizes | Effect::DataDependentCrop))
}

/// A pass cut before every step that decides by what it reads, and before a patch that is centred on
/// labels which several interpolations made: where those become one, a class is elsewhere.
fn pieces(chain: &Chain, states: &[Vec<Row>], pass: Range<usize>) -> Vec<Range<usize>> {
    let mut pieces: Vec<Range<usize>> = std::iter::once(pass.start..pass.start).collect();
    for i in pass {
        let begun = pieces.last().expect("the first piece").start;
        let centred = chain.stages[i].name() == Patch::NAME;
        if decides(chain, i) || (centred && interpolations(chain, states, begun..i) > 1) {
            pieces.push(i..i);
        }
        pieces.last_mut().expect("the first piece").end = i + 1;
    }
    pieces
}

/// A step that decides by voxels which are made later, against the same step of voxels that are there.
fn read_as_made(chain: &Chain, states: &[Vec<Row>], pass: Range<usize>) -> Result<(), String> {
    let deciding = (pass.start + 1..pass.end).any(|i| decides(chain, i));
    let Some(before) = states.get(pass.start).filter(|_| deciding) else {
        return Ok(());
    };
    let is_last = |i: usize| i + 1 == pass.end;
    let late = chain.run(before.clone(), pass.clone(), is_last);
    let early = chain.run(before.clone(), pass.clone(), |i| {
        is_last(i) || decides(chain, i + 1)
    });
    let problem = match (late, early) {
        (Ok(late), Ok(early)) => match interpolations(chain, states, pass.clone()) {
            0 => compare::rows(&late, &early, Within::Unchanged),
            // Later moves are composed with it: positions differ by rounding.
            1 => compare::rows(&late, &early, once(chain, pass.clone())),
            // Several became one, as without this step.
            _ => Ok(()),
        },
        (Err(late), Err(early)) if late == early => Ok(()),
        (late, early) => {
            let told = |ended: Result<Vec<Row>, Ended>| match ended {
                Ok(rows) => format!("{} rows", rows.len()),
                Err((_, text)) => text,
            };
            Err(format!("{} / {}", told(late), told(early)))
        }
    };
    problem.map_err(|problem| {
        let names: Vec<String> = pass.map(|i| chain.path(i)).collect();
        format!(
            "{}, read before they are made: {problem}",
            names.join(" + ")
        )
    })
}

/// Every step from the rows before it against the reference; returns how many had one.
///
/// **Errors** say which step differs, and where.
pub(crate) fn as_reference(case: &Case) -> Result<usize, String> {
    let chain = Chain::new(case)?;
    let row = case.row();
    let steps = chain.accepted(schema(&row)).len() - 1;
    let states = unoptimised(&chain, row, steps).states;
    let mut compared = 0;
    for (i, pair) in states.windows(2).enumerate() {
        // Rows keep their order unless a step makes several of one, or none.
        if pair[0].len() != pair[1].len() {
            continue;
        }
        for (before, after) in pair[0].iter().zip(&pair[1]) {
            let found = reference::compared(&case.steps[i], before, after);
            compared += usize::from(found.map_err(|e| format!("{}: {e}", chain.path(i)))?);
        }
    }
    Ok(compared)
}

/// A pass cut into stretches, in each of which one step at most reads between voxels; none where
/// that is the pass itself.
fn parts(chain: &Chain, states: &[Vec<Row>], pass: Range<usize>) -> Vec<Range<usize>> {
    let (mut parts, mut start, mut reads) = (Vec::new(), pass.start, 0);
    for i in pass.clone() {
        let reads_here = interpolations(chain, states, i..i + 1);
        if reads + reads_here > 1 {
            parts.push(start..i);
            (start, reads) = (i, 0);
        }
        reads += reads_here;
    }
    if start != pass.start {
        parts.push(start..pass.end);
    }
    parts
}

/// How many of the steps read between voxels: those that resample, and left other values or grids. Of a
/// constant image nobody can tell.
fn interpolations(chain: &Chain, states: &[Vec<Row>], steps: Range<usize>) -> usize {
    let reads = |i: &usize| {
        let resamples = chain.stages[*i].effect() == Some(Effect::Resamples);
        let (Some(before), Some(after)) = (states.get(*i), states.get(i + 1)) else {
            return false;
        };
        let same = |a: &Volume, b: &Volume| {
            let (old, new) = (values(a), values(b));
            let constant = old.windows(2).all(|pair| pair[0] == pair[1]);
            !constant && a.grid() == b.grid() && first_difference(&old, &new, 0.0).is_none()
        };
        let kept = |(a, b): (&Row, &Row)| {
            let mut both = a.volumes().zip(b.volumes());
            both.all(|((_, a), (_, b))| same(a, b))
        };
        resamples && !before.iter().zip(after).all(kept)
    };
    steps.filter(reads).count()
}

/// Steps carried out with voxels made at their end only, against those made behind each.
fn compared(chain: &Chain, slow: &Unoptimised, steps: Range<usize>) -> Result<(), String> {
    let Some(before) = slow.states.get(steps.start) else {
        return Ok(());
    };
    if steps.is_empty() {
        return Ok(());
    }
    let fast = chain.run(before.clone(), steps.clone(), |i| i + 1 == steps.end);
    let told = |problem: String| {
        let names: Vec<String> = steps.clone().map(|i| chain.path(i)).collect();
        format!("{}: {problem}", names.join(" + "))
    };
    let fast = match (fast, &slow.ended) {
        (Ok(fast), Some((i, text))) if steps.contains(i) => {
            return Err(told(format!("{} rows / {text}", fast.len())));
        }
        (Err((_, fast)), Some((i, slow))) if steps.contains(i) => {
            return match fast == *slow {
                true => Ok(()),
                false => Err(told(format!("{fast} / {slow}"))),
            };
        }
        (Err((_, text)), _) => return Err(told(format!("{text} / no error"))),
        (Ok(fast), _) => fast,
    };
    let after = &slow.states[steps.end];
    match interpolations(chain, &slow.states, steps.clone()) {
        0 => {
            let mut stages = chain.stages[steps.clone()].iter();
            let within = match stages.any(|stage| stage.effect() == Some(Effect::Resamples)) {
                true => Within::Unchanged,
                false => Within::Bits,
            };
            compare::rows(&fast, after, within).map_err(told)
        }
        1 => compare::rows(&fast, after, once(chain, steps.clone())).map_err(told),
        _ => {
            compare::rows(&fast, after, Within::Kinds).map_err(told)?;
            if chain.stages[steps.clone()]
                .iter()
                .any(|stage| stage.relabels())
            {
                return Ok(());
            }
            let known: BTreeSet<u64> = classes(before).union(&classes(after)).copied().collect();
            match classes(&fast).is_subset(&known) {
                true => Ok(()),
                false => Err(told("a class was made up".to_owned())),
            }
        }
    }
}

/// Classes of all label maps as bits, and what stands outside.
fn classes(rows: &[Row]) -> BTreeSet<u64> {
    let labels = rows.iter().flat_map(Row::volumes);
    let labels = labels.filter(|(role, _)| *role == Role::Label);
    let values = labels.flat_map(|(_, volume)| values(volume));
    values.chain([0.0]).map(f64::to_bits).collect()
}

/// What is known of a row before it runs.
pub(crate) fn schema(row: &Row) -> EdgeSchema {
    let channels = |role, channels: &[Channel]| {
        let of = |channel: &Channel| {
            let volume = channel.volume.as_ref();
            ChannelSchema {
                name: channel.name.clone(),
                role,
                // Sources leave no label map with an intercept; the first move makes f32 of one.
                dtype: volume
                    .filter(|v| role == Role::Image || v.scaling().intercept == 0.0)
                    .map(Volume::dtype),
                shape_xyz: volume.map(|v| v.grid().shape_xyz()),
                spacing_mm: volume.map(|v| v.grid().spacing_mm()),
                orientation: volume.map(|v| v.grid().orientation()),
            }
        };
        channels.iter().map(of).collect::<Vec<_>>()
    };
    EdgeSchema {
        channels: [
            channels(Role::Image, &row.images),
            channels(Role::Label, &row.labels),
        ]
        .concat(),
        rows_per_subject: Some(1),
    }
}

/// Compares what the plan says of an edge with what is there.
fn as_planned(edge: &EdgeSchema, row: &Row) -> Result<(), String> {
    let found = schema(row);
    if found.channels.len() != edge.channels.len() {
        return Err(format!("{:?}, planned {:?}", found.channels, edge.channels));
    }
    for (found, planned) in found.channels.iter().zip(&edge.channels) {
        if found.shape_xyz.is_none() {
            continue;
        }
        let near = |a: [f64; 3], b: [f64; 3]| (0..3).all(|i| (a[i] - b[i]).abs() < 2e-3);
        let fits =
            (planned.dtype.is_none() || found.dtype.is_none() || planned.dtype == found.dtype)
                && (planned.shape_xyz.is_none() || planned.shape_xyz == found.shape_xyz)
                && (planned.orientation.is_none() || planned.orientation == found.orientation)
                && match (planned.spacing_mm, found.spacing_mm) {
                    (Some(planned), Some(found)) => near(planned, found),
                    _ => true,
                };
        if !fits {
            return Err(format!("found {found:?}, planned {planned:?}"));
        }
    }
    Ok(())
}

//! Every optimiser rule gives the voxels of the plan that is not optimised, for every pair of
//! steps it joins: what the steps' own pages promise holds in whatever pass they end up.

use crate::contract::phantom::{edge, subject, subject_without_mr};
use std::collections::BTreeSet;
use voxstream::plan::entry::StageEntry;
use voxstream::plan::rules::rule_joining;
use voxstream::registry::STAGES;
use voxstream::spec::node::Document;
use voxstream::stage::AnyStage;
use voxstream::volume::{Role, Row, Volume};

const SEED: u64 = 11;
/// Steps that read between voxels. Two of them in one pass are one interpolation instead of two.
const INTERPOLATE: [&str; 4] = ["resample", "affine", "elastic", "misalign"];

/// The example as it runs on every row.
fn certain(entry: &StageEntry) -> Box<dyn AnyStage> {
    let parse = |text: &str| {
        let document = Document::parse(text).unwrap();
        (entry.parse)(document.root()).unwrap_or_else(|e| panic!("{}: {e:?}", entry.name))
    };
    let mut parameters = parse(entry.example).to_json();
    if parameters.get("p").is_some() {
        parameters["p"] = 1.0.into();
    }
    parse(&parameters.to_string())
}

/// Runs a chain, making voxels behind every step or only at the end.
fn run(chain: &[Box<dyn AnyStage>], row: Row, optimised: bool) -> Vec<Row> {
    let mut rows = vec![row];
    for (i, stage) in chain.iter().enumerate() {
        let path = format!("stages[{i}].{}", stage.name());
        let made = rows.into_iter().flat_map(|row| match stage.mixing() {
            None => stage.run(&path, SEED, row).unwrap(),
            // The partner as it arrives there: every example leaves its shape.
            Some(_) => vec![
                stage
                    .mix(&path, SEED, row, &mut |row| {
                        let mut partner = row.clone();
                        partner.subject = "partner".to_owned();
                        Ok(partner)
                    })
                    .unwrap(),
            ],
        });
        rows = match optimised {
            true => made.collect(),
            false => made.map(Row::materialised).collect(),
        };
    }
    rows.into_iter().map(Row::materialised).collect()
}

fn values(volume: &Volume) -> Vec<f64> {
    volume.to_f32().iter().map(|v| f64::from(*v)).collect()
}

/// Largest difference of two images, as a share of the first one's range.
fn difference(a: &Volume, b: &Volume) -> f64 {
    let (a, b) = (values(a), values(b));
    let [low, high] = a
        .iter()
        .fold([f64::MAX, f64::MIN], |[l, h], v| [l.min(*v), h.max(*v)]);
    let most = a
        .iter()
        .zip(&b)
        .map(|(x, y)| (x - y).abs())
        .fold(0.0, f64::max);
    most / (high - low).max(1e-9)
}

/// Compares a chain with itself, optimised; returns the largest difference of an image.
fn compare(names: &[&str], interpolations: usize) -> f64 {
    let entry = |name: &&str| STAGES.iter().find(|e| e.name == *name).unwrap();
    let chain: Vec<Box<dyn AnyStage>> = names.iter().map(|n| certain(entry(n))).collect();
    let mut largest: f64 = 0.0;
    for row in [subject("a"), subject_without_mr("b")] {
        let declared: BTreeSet<i64> = row
            .volumes()
            .filter(|(role, _)| *role == Role::Label)
            .flat_map(|(_, v)| values(v).into_iter().map(|v| v as i64))
            .chain([0])
            .collect();
        let (fast, slow) = (run(&chain, row.clone(), true), run(&chain, row, false));
        assert_eq!(fast.len(), slow.len(), "{names:?}");
        for (fast, slow) in fast.iter().zip(&slow) {
            assert_eq!(fast.draws, slow.draws, "{names:?}");
            assert_eq!(fast.volumes().count(), slow.volumes().count(), "{names:?}");
            for ((role, a), (_, b)) in fast.volumes().zip(slow.volumes()) {
                assert!(a.grid().is_same(b.grid(), 1e-9), "{names:?}");
                assert_eq!(a.dtype(), b.dtype(), "{names:?}");
                match (role, interpolations) {
                    (_, 0) => assert_eq!(a.buffer(), b.buffer(), "{names:?}: {role:?}"),
                    (Role::Label, 1) => assert_eq!(a.buffer(), b.buffer(), "{names:?}: labels"),
                    (Role::Label, _) => {
                        let found = values(a).into_iter().map(|v| v as i64);
                        let odd: Vec<i64> = found.filter(|c| !declared.contains(c)).collect();
                        assert!(odd.is_empty(), "{names:?}: classes {odd:?} were made up");
                    }
                    (Role::Image, _) => largest = largest.max(difference(a, b)),
                }
            }
        }
    }
    if interpolations == 1 {
        assert!(largest < 1e-5, "{names:?}: {largest}");
    }
    largest
}

#[test]
fn every_pair_of_joined_steps_gives_the_same_voxels() {
    let mut joined = 0;
    for first in STAGES {
        let one = certain(first);
        let Ok(behind) = one.check(&edge()) else {
            continue;
        };
        for second in STAGES {
            let other = certain(second);
            let (Some(a), Some(b)) = (one.effect(), other.effect()) else {
                continue;
            };
            // A pair whose second example does not suit what the first leaves is no plan.
            let (Some(rule), Ok(_)) = (rule_joining(a, b), other.check(&behind)) else {
                continue;
            };
            let names = [first.name, second.name];
            let interpolations = names.iter().filter(|n| INTERPOLATE.contains(n)).count();
            let largest = compare(&names, interpolations);
            if interpolations > 0 {
                println!("{rule}: {names:?}: largest difference {largest:.2e} of the range");
            }
            joined += 1;
        }
    }
    assert!(joined > 40, "only {joined} pairs were joined");
}

#[test]
fn a_long_pass_is_one_interpolation_of_the_source() {
    let chain = [
        "orient",
        "resample",
        "pad",
        "patch",
        "flip",
        "rotate90",
        "scale_intensity",
        "gaussian_noise",
    ];
    compare(&chain, 1);
    compare(
        &[
            "orient",
            "crop_foreground",
            "pad",
            "patch",
            "flip",
            "shift_intensity",
        ],
        0,
    );
}

//! Differential tests: random chains of registered steps, carried out in several ways that must agree.
//!
//! A [`case::Case`] is a subject and a chain as plain data, drawn from a number by [`generate`].
//! A [`check::Check`] says whether two ways of carrying it out agree. A case that fails is made
//! smaller by [`shrink`] and printed as JSON; committed under `regressions/`, it is replayed here.
//!
//! `VOXSTREAM_SOAK=100000 cargo test --test suite soak -- --ignored --nocapture` runs that many
//! chains; `VOXSTREAM_SOAK_FROM` is the number of the first one.

mod case;
mod check;
mod compare;
mod execute;
mod generate;
mod naive;
mod parameters;
mod reference;
mod shrink;
mod streams;

use case::{Case, Content, GridCase, Step, VolumeCase};
use check::{CHECKS, Check};
use std::collections::BTreeSet;
use voxstream::registry::STAGES;
use voxstream::volume::{Dtype, Role};

/// Seed of the drawn cases.
const SEED: u64 = 20;
/// Chains in a usual run of the tests.
const CHAINS: u64 = 800;

/// Chains that run as a training: each starts several streams.
const STREAMS: u64 = 40;

/// Draws cases and checks each; returns the faults that were found, shrunk and as text.
fn faults(check: &Check, numbers: impl Iterator<Item = u64>, most: usize) -> Vec<String> {
    let mut faults = Vec::new();
    for number in numbers {
        let case = generate::case(SEED, number);
        let Err(problem) = (check.run)(&case) else {
            continue;
        };
        let (small, problem) = shrink::shrunk(&case, problem, check.run);
        faults.push(format!(
            "chain {number}, {}: {problem}\n{}\n",
            check.name,
            small.json()
        ));
        if faults.len() == most {
            break;
        }
    }
    faults
}

fn assert_none(faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{}\nput the line of JSON into tests/differential/regressions/NAME.json",
        faults.join("\n")
    );
}

#[test]
fn optimised_chains_give_what_unoptimised_ones_give() {
    assert_none(&faults(&CHECKS[0], 0..CHAINS, 12));
}

#[test]
fn steps_give_what_the_reference_gives() {
    assert_none(&faults(&CHECKS[1], 0..CHAINS, 12));
    let compared = (0..CHAINS).map(|number| check::as_reference(&generate::case(SEED, number)));
    let compared: usize = compared.map(Result::unwrap).sum();
    assert!(
        compared as u64 > CHAINS,
        "the reference was asked {compared} times"
    );
}

#[test]
fn workers_restarts_and_the_cache_change_no_byte_of_a_chain() {
    assert_none(&faults(&CHECKS[2], 0..STREAMS, 3));
    let trained = (0..STREAMS).filter(|n| streams::compared(&generate::case(SEED, *n)) == Ok(true));
    let trained = trained.count() as u64;
    assert!(
        4 * trained > STREAMS,
        "{trained} of {STREAMS} chains are a training"
    );
}

/// A case of one image of a type and one label map in an axis order, and a chain of two steps.
fn ordered(order: usize, dtype: Dtype, spacing_mm: [f64; 3]) -> Case {
    let volume = |name: &str, role, dtype| VolumeCase {
        name: name.to_owned(),
        role,
        dtype,
        slope: 1.0,
        intercept: 0.0,
        grid: 0,
        missing: false,
        content: Content::Noise,
    };
    let step = |stage: &str, parameters| Step {
        stage: stage.to_owned(),
        parameters,
    };
    Case {
        seed: 3,
        grids: vec![GridCase {
            shape_xyz: [5, 6, 7],
            spacing_mm: [2.0, 3.0, 4.0],
            order,
            tilt_deg: 0.0,
            centre_mm: [0.0; 3],
        }],
        volumes: vec![
            volume("ct", Role::Image, dtype),
            volume("", Role::Label, Dtype::U8),
        ],
        steps: vec![
            step("orient", serde_json::json!({ "to": "RAS" })),
            step("resample", serde_json::json!({ "spacing_mm": spacing_mm })),
        ],
    }
}

#[test]
fn every_axis_order_and_stored_type_survives_a_resampling() {
    for order in 0..48 {
        for dtype in Dtype::ALL {
            // The spacing along the world's axes that the turned grid has already.
            let turned = case::columns(order) * glam::DVec3::new(2.0, 3.0, 4.0);
            let there = turned.abs().to_array();
            for spacing_mm in [there, there.map(|mm| mm / 2.0)] {
                let case = ordered(order, dtype, spacing_mm);
                for check in &CHECKS[..2] {
                    let told = |e| format!("order {order}, {dtype}, {spacing_mm:?}: {e}");
                    assert_eq!((check.run)(&case).map_err(told), Ok(()));
                }
            }
        }
    }
}

#[test]
fn every_registered_step_is_drawn() {
    let drawn: BTreeSet<String> = (0..2 * CHAINS)
        .flat_map(|number| generate::case(SEED, number).steps)
        .map(|step| step.stage)
        .collect();
    let registered: BTreeSet<String> = STAGES.iter().map(|e| e.name.to_owned()).collect();
    assert_eq!(drawn, registered);
}

#[test]
fn shrunken_cases_of_earlier_faults_pass() {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/differential/regressions"
    );
    let mut replayed = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let case: Case = serde_json::from_str(&text).unwrap();
        for check in &CHECKS {
            let checked = (check.run)(&case);
            assert_eq!(checked, Ok(()), "{}: {}", path.display(), check.name);
        }
        replayed += 1;
    }
    assert!(replayed > 0, "{folder} is empty");
}

/// Runs as many chains as `VOXSTREAM_SOAK` says.
#[test]
#[ignore = "runs as long as VOXSTREAM_SOAK says"]
fn soak() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap())
    };
    let first = number("VOXSTREAM_SOAK_FROM", 0);
    let count = number("VOXSTREAM_SOAK", 1000);
    let mut found = Vec::new();
    for check in &CHECKS {
        let start = std::time::Instant::now();
        let faults = faults(check, first..first + count, 20);
        println!(
            "{}: {} faults in {:.0} s",
            check.name,
            faults.len(),
            start.elapsed().as_secs_f64()
        );
        faults.iter().for_each(|fault| println!("{fault}"));
        found.extend(faults);
    }
    assert_none(&found);
}

//! The section `tests`: what a pipeline promises of its own steps, as plain data.

mod check;

pub(super) use check::check;

use super::reader::Reader;
use crate::source::PhantomSpec;
use crate::spec::{At, Node, SpecError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Place of a row before its first step.
pub const SOURCE: &str = "source";

/// Hexadecimal digits of a digest.
pub const DIGEST_DIGITS: usize = 32;

/// One subject that is sent through the pipeline, and what is expected of it on its way.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestSection {
    /// What the test shows; `voxstream test` prints it.
    pub name: String,
    /// A phantom to take the subject from, instead of `source`: such a test needs no data. It has the
    /// pipeline's modalities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phantom: Option<PhantomSpec>,
    /// The subject; default: the first labelled training subject that has every modality.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Seed of the draws; default: the pipeline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Epoch of the draws, from 0.
    #[serde(default)]
    pub epoch: u64,
    /// What is expected.
    pub expect: Vec<Expectation>,
}

/// What is expected behind one step.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Path of the step, such as `stages[1].window` or `views.strong[0].gamma`; `source` for what was read.
    pub at: String,
    /// Column that the volume is in: `image.ct`, `label`. Needed by all expectations of a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Voxels along x, y, z.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<[usize; 3]>,
    /// Voxel size along x, y, z in mm, within 1e-4 of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spacing_mm: Option<[f64; 3]>,
    /// Orientation letters, such as `RAS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orientation: Option<String>,
    /// Stored type, such as `f32`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Smallest and largest value allowed; voxels that are not finite are outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// Smallest and largest mean allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<[f64; 2]>,
    /// Every class number that has a voxel, in any order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<i64>>,
    /// Digest of stored type, shape and every bit of the voxels; `voxstream test --update` writes it.
    /// Interpolated and summed values may differ in their last bits between kinds of processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Values that the step drew: those named must be there, numbers within 1e-6 of them; `nothing` if
    /// its chance must not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn: Option<serde_json::Value>,
    /// Rows that the step makes of the subject; 0 if it leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// A part of the message with which the subject fails in this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fails: Option<String>,
}

impl Expectation {
    /// Names of the expectations of a volume that are given.
    fn of_volume(&self) -> Vec<&'static str> {
        let given = [
            ("shape", self.shape.is_some()),
            ("spacing_mm", self.spacing_mm.is_some()),
            ("orientation", self.orientation.is_some()),
            ("dtype", self.dtype.is_some()),
            ("range", self.range.is_some()),
            ("mean", self.mean.is_some()),
            ("classes", self.classes.is_some()),
            ("digest", self.digest.is_some()),
        ];
        given.into_iter().filter(|g| g.1).map(|g| g.0).collect()
    }

    /// How many things are expected.
    pub fn count(&self) -> usize {
        let others = [
            self.drawn.is_some(),
            self.rows.is_some(),
            self.fails.is_some(),
        ];
        self.of_volume().len() + others.into_iter().filter(|given| *given).count()
    }
}

/// A test with the places of its parts in the file.
#[derive(Debug, Clone)]
pub struct TestCase {
    /// What was written.
    pub section: TestSection,
    /// Place of each expectation.
    pub places: Vec<Place>,
}

/// Places of an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The whole of it.
    pub at: At,
    /// The value of `digest`.
    pub digest: Option<At>,
}

impl Reader<'_> {
    /// The section `tests`.
    pub(super) fn tests(&mut self, root: Node<'_>) -> Vec<TestCase> {
        let Some(node) = root.given("tests") else {
            return Vec::new();
        };
        if !node.is_sequence() {
            self.errors.push(
                SpecError::new(
                    node.at(),
                    format!("found {}, expected a list of tests", node.found()),
                )
                .with_help("write `tests:` and below it `- name: …`"),
            );
        }
        let mut cases = Vec::new();
        for item in node.items() {
            match item.read::<TestSection>() {
                Ok(section) => {
                    let expected = item.get("expect").into_iter().flat_map(Node::items);
                    let places = expected.map(|node| Place {
                        at: node.at(),
                        digest: node.get("digest").map(Node::at),
                    });
                    cases.push(TestCase {
                        places: places.collect(),
                        section,
                    });
                }
                Err(errors) => self.errors.extend(errors),
            }
        }
        cases
    }
}

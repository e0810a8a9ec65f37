//! Blanks boxes of voxels.

use super::{LARGEST, PerModality, apply_on_grid, check_some, draw_some};
use crate::draw::{Range, SampleRng};
use crate::kernel::moments::{finite_bounds, moments};
use crate::stage::{Augment, EdgeSchema, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most boxes of one image.
const MOST_BOXES: u32 = 1000;

/// Overwrites a drawn number of boxes with one value, so that a network cannot rest on one place.
///
/// **Law** along each axis of `n` voxels a box has `m = clamp(round(edge * n), 1, n)` voxels and begins
/// at `floor(place * (n - m + 1))`, `place` uniform in [0, 1): boxes lie wholly inside and may
/// overlap. `mean` and `min` are those of the image's finite voxels before a box is drawn; an image
/// without any stays as it is. With probability `p` the step runs on a row; then every modality
/// takes part with probability `p_modality` and draws its own boxes, so that what one modality
/// hides another may show. **Source** `BlankRectangleTransform` of nnU-Net's DA5 trainer: `p` 0.4,
/// `p_modality` 0.5, 1 to 5 boxes, edges from a tenth to a third, filled with the mean; Cutout
/// (DeVries and Taylor 2017).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BlankBoxes {
    /// Fewest and most boxes, each number between them equally likely; 0 to 1000.
    pub boxes: [u32; 2],
    /// A box's edge as a share of the volume's, drawn for each axis: a number, a pair to draw uniformly between, or a `choice`; 0 to 1.
    pub edge: Range,
    /// What the boxes are filled with: `mean`, `min`, or a number.
    pub fill: Fill,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Probability of each modality on its own, given that the step runs; 0.5 in DA5.
    pub p_modality: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

/// What boxes are filled with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a number, or the name of a statistic such as `mean`"
)]
pub enum Fill {
    /// A statistic of the image.
    Statistic(Statistic),
    /// Always this value, in the units that arrive.
    Value(f64),
}

/// A number that an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// The mean of the finite voxels.
    Mean,
    /// The smallest finite voxel.
    Min,
}

/// One box, as shares of the volume it is cut from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BlankBox {
    /// Edges along x, y, z.
    pub edge: [f32; 3],
    /// Place between the two ends of each axis, in [0, 1).
    pub place: [f32; 3],
}

impl Default for BlankBoxes {
    fn default() -> Self {
        Self {
            boxes: [1, 5],
            edge: Range::Uniform([0.1, 1.0 / 3.0]),
            fill: Fill::Statistic(Statistic::Mean),
            p: 0.4,
            p_modality: 1.0,
            modalities: None,
        }
    }
}

impl BlankBox {
    /// First voxel and voxels along each axis.
    fn within(&self, shape: [usize; 3]) -> [[usize; 2]; 3] {
        [0, 1, 2].map(|a| {
            let n = shape[a] as f64;
            let m = (f64::from(self.edge[a]) * n)
                .round_ties_even()
                .clamp(1.0, n);
            let first = (f64::from(self.place[a]) * (n - m + 1.0)).clamp(0.0, n - m);
            [first as usize, m as usize]
        })
    }

    fn blank(&self, value: f32, shape: [usize; 3], voxels: &mut [f32]) {
        let [[x, nx], [y, ny], [z, nz]] = self.within(shape);
        for z in z..z + nz {
            for y in y..y + ny {
                let row = (z * shape[1] + y) * shape[0];
                voxels[row + x..row + x + nx].fill(value);
            }
        }
    }
}

impl Augment for BlankBoxes {
    const NAME: &'static str = "blank_boxes";
    const EXAMPLE: &'static str = "{ boxes: [1, 5], edge: [0.1, 0.33], fill: mean, p: 0.4 }";
    type Draw = PerModality<Vec<BlankBox>>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        let [fewest, most] = self.boxes;
        if fewest > most || most > MOST_BOXES {
            return Err(format!(
                "`boxes` is [{fewest}, {most}]; expected two numbers up to {MOST_BOXES}, the smaller first"
            ));
        }
        self.edge.check("edge", 0.0, 1.0)?;
        if let Fill::Value(value) = self.fill
            && (value.is_nan() || value.abs() > LARGEST)
        {
            return Err(format!(
                "`fill` is {value}; expected `mean`, `min`, or a number from -{LARGEST} to {LARGEST}"
            ));
        }
        check_some(input, self.p, self.p_modality, self.modalities.as_deref())
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        let p = [self.p, self.p_modality];
        draw_some(rng, p, self.modalities.as_deref(), row, |rng| {
            let [fewest, most] = self.boxes;
            let count = fewest + rng.below((most - fewest) as usize + 1) as u32;
            (0..count)
                .map(|_| BlankBox {
                    edge: [(); 3].map(|()| self.edge.draw(rng) as f32),
                    place: [(); 3].map(|()| rng.unit() as f32),
                })
                .collect()
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        apply_on_grid(draw, row, |boxes, grid, voxels| {
            let value = match self.fill {
                Fill::Value(value) => value as f32,
                Fill::Statistic(statistic) => {
                    let Some([low, _]) = finite_bounds(voxels) else {
                        return;
                    };
                    match statistic {
                        Statistic::Min => low,
                        Statistic::Mean => moments(voxels, f32::is_finite).mean as f32,
                    }
                }
            };
            for blank in boxes {
                blank.blank(value, grid.shape_xyz(), voxels);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_on};
    use super::*;

    fn blanked(stage: &BlankBoxes, boxes: Vec<BlankBox>, values: &[f32]) -> Vec<f32> {
        let draw = PerModality::from([("ct".to_owned(), boxes)]);
        image_of(&stage.apply(&draw, row_on(values, [10, 6, 4])).unwrap())
    }

    #[test]
    fn boxes_cover_their_voxels_with_what_is_asked_for() {
        let values: Vec<f32> = (0..240).map(|i| i as f32).collect();
        let one = BlankBox {
            edge: [0.3, 0.01, 0.5],
            place: [0.5, 0.99, 0.0],
        };
        // x: 3 voxels from floor(0.5 * 8) = 4; y: 1 from floor(0.99 * 6) = 5; z: 2 from 0.
        let inside = |i: usize| (4..7).contains(&(i % 10)) && i / 10 % 6 == 5 && i / 60 < 2;
        let fills = [
            (Fill::Statistic(Statistic::Mean), 119.5),
            (Fill::Statistic(Statistic::Min), 0.0),
            (Fill::Value(-7.5), -7.5),
        ];
        for (fill, expected) in fills {
            let stage = BlankBoxes {
                fill,
                ..BlankBoxes::default()
            };
            let found = blanked(&stage, vec![one], &values);
            for (i, found) in found.iter().enumerate() {
                let expected = if inside(i) { expected } else { i as f32 };
                assert_eq!(*found, expected, "voxel {i}");
            }
            assert_eq!(blanked(&stage, vec![], &values), values);
        }
        let nothing = blanked(&BlankBoxes::default(), vec![one], &[f32::NAN; 240]);
        assert!(nothing.iter().all(|v| v.is_nan()));
    }

    #[test]
    fn every_box_lies_inside() {
        for place in [0.0, 0.3, 0.999_999_94, 1.0] {
            for edge in [0.0, 0.2, 1.0] {
                let one = BlankBox {
                    edge: [edge; 3],
                    place: [place; 3],
                };
                for (axis, [first, count]) in one.within([10, 6, 1]).into_iter().enumerate() {
                    assert!(count >= 1 && first + count <= [10, 6, 1][axis]);
                }
            }
        }
    }

    #[test]
    fn yaml_names_a_statistic_or_a_number() {
        let fill = |text: &str| serde_json::from_str::<Fill>(text).unwrap();
        assert_eq!(fill("\"min\""), Fill::Statistic(Statistic::Min));
        assert_eq!(fill("-3"), Fill::Value(-3.0));
    }
}

//! Takes the median of every voxel's neighbourhood.

use super::{PerModality, apply_on_grid, check_some, draw_some};
use crate::draw::SampleRng;
use crate::kernel::median::median;
use crate::stage::{Augment, EdgeSchema, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Replaces every voxel by the median of a cube of voxels around it: edges stay, speckles go.
///
/// **Law** the middle one of `size^3` voxels in rising order, borders mirrored with the edge voxel
/// repeated (SciPy's `median_filter`, mode `reflect`). NaN counts as larger than every number: it
/// fills a voxel only where it fills half of its cube, and is replaced elsewhere. A size of 1 changes
/// nothing. With probability `p` the step runs on a row; then every modality takes part with
/// probability `p_modality` and draws its own size. **Source** the median filter of nnU-Net's DA5
/// trainer, which runs it or a blur (`p` 0.2, `p_modality` 0.5, sizes 2 to 8).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Median {
    /// Edges of the cube in voxels, each equally likely: 1, 3 or 5.
    pub sizes: Vec<u8>,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Probability of each modality on its own, given that the step runs; 0.5 in DA5.
    pub p_modality: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

impl Default for Median {
    fn default() -> Self {
        Self {
            sizes: vec![3],
            p: 0.2,
            p_modality: 1.0,
            modalities: None,
        }
    }
}

impl Augment for Median {
    const NAME: &'static str = "median";
    const EXAMPLE: &'static str = "{ sizes: [3, 5], p: 0.2 }";
    /// Edge of the cube in voxels.
    type Draw = PerModality<u8>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        let wrong = self.sizes.iter().find(|size| !matches!(size, 1 | 3 | 5));
        if let Some(size) = wrong {
            return Err(format!(
                "`sizes` holds {size}; a cube's edge is 1, 3 or 5 voxels"
            ));
        }
        if self.sizes.is_empty() {
            return Err("`sizes` is empty; list at least one of 1, 3, 5".to_owned());
        }
        check_some(input, self.p, self.p_modality, self.modalities.as_deref())
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        let p = [self.p, self.p_modality];
        draw_some(rng, p, self.modalities.as_deref(), row, |rng| {
            self.sizes[rng.below(self.sizes.len())]
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        apply_on_grid(draw, row, |size, grid, voxels| {
            median(voxels, grid.shape_xyz(), usize::from(*size));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_on};
    use super::*;

    fn filtered(size: u8, values: &[f32], shape: [usize; 3]) -> Vec<f32> {
        let draw = PerModality::from([("ct".to_owned(), size)]);
        image_of(
            &Median::default()
                .apply(&draw, row_on(values, shape))
                .unwrap(),
        )
    }

    #[test]
    fn speckles_go_and_edges_stay() {
        let step = |i: usize| if i % 6 < 3 { 1.0 } else { 9.0 };
        let clean: Vec<f32> = (0..180).map(step).collect();
        let mut speckled = clean.clone();
        speckled[62] = 1000.0;
        speckled[90] = f32::NAN;
        speckled[100] = f32::NEG_INFINITY;
        assert_eq!(filtered(3, &speckled, [6, 6, 5]), clean);
        assert_eq!(filtered(1, &clean, [6, 6, 5]), clean);
        // Edges repeat: 1, 1, 5 | 1, 5, 2 | 5, 2, 8 | 2, 8, 8, nine times each.
        assert_eq!(
            filtered(3, &[1.0, 5.0, 2.0, 8.0], [4, 1, 1]),
            [1.0, 2.0, 5.0, 8.0]
        );
        // Five neighbours: 5, 1, 1, 5, 2 | 1, 1, 5, 2, 8 | 1, 5, 2, 8, 8 | 5, 2, 8, 8, 2.
        assert_eq!(
            filtered(5, &[1.0, 5.0, 2.0, 8.0], [4, 1, 1]),
            [2.0, 2.0, 5.0, 5.0]
        );
    }

    #[test]
    fn sizes_without_a_network_are_refused() {
        let edge = EdgeSchema {
            channels: vec![],
            rows_per_subject: Some(1),
        };
        for sizes in [vec![3, 4], vec![7], vec![]] {
            let stage = Median {
                sizes,
                ..Median::default()
            };
            assert!(stage.check(&edge).unwrap_err().contains("`sizes`"));
        }
    }
}

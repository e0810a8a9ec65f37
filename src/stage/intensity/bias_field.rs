//! Multiplies images by a smooth field, as a receiver coil does.

use super::{PerModality, apply_on_grid, check_some, draw_some};
use crate::draw::{Range, SampleRng};
use crate::kernel::bias::{MOST_ORDER, coefficient_count, multiply_exp_polynomial};
use crate::stage::{Augment, EdgeSchema, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Multiplies an image by a smooth field, the shading that MR coils leave.
///
/// **Law** `v' = v * exp(sum over i + j + k <= order of c_ijk x^i y^j z^k)` with `x`, `y`, `z` from -1
/// to 1 between the outer faces of the volume that arrives: after `patch` the field is that of the
/// patch. 0 stays 0, so the step belongs before `zscore`, where air is 0; after it, shading
/// would darken what is below the mean. Every coefficient is drawn on its own, the constant one
/// included. With probability `p` the step runs on a row; then every modality takes part with
/// probability `p_modality` and draws its own field. **Source** Van Leemput et al. 1999; order and
/// range are those of TorchIO's `RandomBiasField`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BiasField {
    /// Highest total degree of the polynomial, 0 to 5: 4, 10, 20, 35, 56 coefficients from order 1 on.
    pub order: usize,
    /// Each coefficient: a number, a pair to draw uniformly between, or a `choice`; -5 to 5.
    pub coefficient: Range,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Probability of each modality on its own, given that the step runs.
    pub p_modality: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

impl Default for BiasField {
    fn default() -> Self {
        Self {
            order: 3,
            coefficient: Range::Uniform([-0.5, 0.5]),
            p: 0.3,
            p_modality: 1.0,
            modalities: None,
        }
    }
}

impl Augment for BiasField {
    const NAME: &'static str = "bias_field";
    const EXAMPLE: &'static str =
        "{ order: 3, coefficient: [-0.5, 0.5], p: 0.3, modalities: [mr] }";
    /// Coefficients with the power of z fastest, then y, then x.
    type Draw = PerModality<Vec<f32>>;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        if self.order > MOST_ORDER {
            return Err(format!(
                "`order` is {}; expected 0 to {MOST_ORDER}, because higher fields are no longer smooth",
                self.order
            ));
        }
        self.coefficient.check("coefficient", -5.0, 5.0)?;
        check_some(input, self.p, self.p_modality, self.modalities.as_deref())
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row, _sample: u32) -> Option<Self::Draw> {
        let p = [self.p, self.p_modality];
        draw_some(rng, p, self.modalities.as_deref(), row, |rng| {
            let count = coefficient_count(self.order);
            (0..count)
                .map(|_| self.coefficient.draw(rng) as f32)
                .collect()
        })
    }

    fn apply(&self, draw: &Self::Draw, row: Row) -> Result<Row, StageError> {
        let count = coefficient_count(self.order);
        if let Some((name, found)) = draw.iter().find(|(_, c)| c.len() != count) {
            return Err(StageError::input(format!(
                "the draw of modality `{name}` has {} coefficients, a field of order {} has {count}; replay it with the `order` it was made with",
                found.len(),
                self.order
            )));
        }
        apply_on_grid(draw, row, |coefficients, grid, voxels| {
            multiply_exp_polynomial(voxels, grid.shape_xyz(), self.order, coefficients);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_on};
    use super::*;

    fn shaded(order: usize, coefficients: &[f32], values: &[f32]) -> Result<Vec<f32>, StageError> {
        let stage = BiasField {
            order,
            ..BiasField::default()
        };
        let draw = PerModality::from([("ct".to_owned(), coefficients.to_vec())]);
        Ok(image_of(&stage.apply(&draw, row_on(values, [2, 2, 2]))?))
    }

    #[test]
    fn coefficients_belong_to_their_powers() {
        // Order 1: constant, z, y, x. Voxel centres of two voxels lie at -1/2 and 1/2.
        let found = shaded(1, &[0.1, 0.2, 0.4, 0.8], &[2.0; 8]).unwrap();
        for (i, found) in found.iter().enumerate() {
            let [x, y, z] = [i % 2, i / 2 % 2, i / 4].map(|v| v as f64 - 0.5);
            let expected = 2.0 * (0.1 + 0.8 * x + 0.4 * y + 0.2 * z).exp();
            assert!(
                (f64::from(*found) - expected).abs() < 1e-5,
                "{found} {expected}"
            );
        }
    }

    #[test]
    fn no_field_changes_no_bit_and_odd_voxels_stay_alone() {
        let values = [0.1, -3.0, 0.0, 7e8, f32::NAN, f32::INFINITY, 1.0, 2.0];
        let found = shaded(3, &[0.0; 20], &values).unwrap();
        assert_eq!(found[..4], values[..4]);
        let found = shaded(3, &[0.2; 20], &values).unwrap();
        assert_eq!(found.iter().filter(|v| v.is_nan()).count(), 1);
        assert_eq!(found[2], 0.0);
    }

    #[test]
    fn draws_of_another_order_are_refused() {
        let error = shaded(2, &[0.0; 20], &[1.0; 8]).unwrap_err().to_string();
        assert!(
            error.contains("20 coefficients") && error.contains("has 10"),
            "{error}"
        );
    }
}

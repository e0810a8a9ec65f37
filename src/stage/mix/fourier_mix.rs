//! Blends the low-frequency amplitudes of another subject's images into a row's.

use super::{Mix, Mixing, check_shape, present};
use crate::draw::{Range, SampleRng};
use crate::kernel::fourier::spectrum::blend_amplitude;
use crate::kernel::moments::finite_bounds;
use crate::stage::intensity::{PerModality, aside, check_augment, selects};
use crate::stage::{EdgeSchema, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gives images the look of another subject's: low frequencies keep their phase and take a blend of both amplitudes.
///
/// **Law** for whole frequencies `|f_a| <= floor(beta n_a)` along every axis `a` of `n_a` voxels
/// `F' = ((1 - lambda) |F| + lambda |F_partner|) F / |F|` with `F` the three-dimensional discrete Fourier
/// transform (`F / |F|` is 1 where `F` is 0); other frequencies stay. Each modality that both rows have
/// takes the partner's of the same name and draws its own `lambda` and `beta`; `lambda: 0` changes no
/// value, `beta: 0` blends the means alone. Anatomy and labels stay. Voxels that are not finite stay,
/// and count as the smallest finite one. With probability `p` the step runs on a row. Images become f32.
/// **Partner** drawn and made as that of `cutmix`; both must have the same number of voxels: `patch` first.
/// Stands in `views.shared`, `views.weak` or `views.strong`. **Source** Yang and Soatto, FDA, CVPR 2020
/// (`lambda: 1`, a band of 0.01 to 0.09); Xu et al., A Fourier-based Framework for Domain Generalization,
/// CVPR 2021 (`lambda: [0, 1]` and all frequencies, `beta: 0.5`).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FourierMix {
    /// Half the width of the low-frequency band as a share of the voxels along each axis: a number, a pair to draw uniformly between, or a `choice`; 0 to 0.5.
    pub beta: Range,
    /// Share of the partner's amplitude: a number, a pair to draw uniformly between, or a `choice`; 0 to 1.
    pub lambda: Range,
    /// Probability that the step runs on a row.
    pub p: f64,
    /// Modalities to change; all where left out.
    pub modalities: Option<Vec<String>>,
}

/// What was drawn for each modality.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blends {
    /// Band and share, by modality.
    pub blends: PerModality<Blend>,
}

/// How one modality is blended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Blend {
    /// Half the width of the band as a share of the voxels.
    pub beta: f32,
    /// Share of the partner's amplitude.
    pub lambda: f32,
}

impl Default for FourierMix {
    fn default() -> Self {
        Self {
            beta: Range::Fixed(0.1),
            lambda: Range::Uniform([0.0, 1.0]),
            p: 0.5,
            modalities: None,
        }
    }
}

impl Mix for FourierMix {
    const NAME: &'static str = "fourier_mix";
    const EXAMPLE: &'static str = "{ beta: 0.1, lambda: [0, 1], p: 0.5 }";
    const MIXING: Mixing = Mixing::Appearance;
    type Draw = Blends;

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.beta.check("beta", 0.0, 0.5)?;
        self.lambda.check("lambda", 0.0, 1.0)?;
        check_augment(input, self.p, self.modalities.as_deref())
    }

    fn draw(&self, rng: &mut SampleRng, row: &Row) -> Option<Blends> {
        if !rng.chance(self.p) {
            return None;
        }
        let mut blends = PerModality::new();
        for image in &row.images {
            let blend = Blend {
                beta: self.beta.draw(rng) as f32,
                lambda: self.lambda.draw(rng) as f32,
            };
            if image.volume.is_some() && selects(self.modalities.as_deref(), &image.name) {
                blends.insert(image.name.clone(), blend);
            }
        }
        (!blends.is_empty()).then_some(Blends { blends })
    }

    fn apply(&self, draw: &Blends, mut row: Row, partner: &Row) -> Result<Row, StageError> {
        for image in &mut row.images {
            let Some(blend) = draw.blends.get(&image.name) else {
                continue;
            };
            let Some(own) = image.volume.take() else {
                return Err(StageError::input(format!(
                    "the draw is of modality `{}`, which this row lacks; replay it on the row it was made for",
                    image.name
                )));
            };
            let Some(other) = present(&partner.images, &image.name) else {
                image.volume = Some(own.into_f32());
                continue;
            };
            let column = format!("image.{}", image.name);
            check_shape(&column, &own, (&partner.subject, other))?;
            let shape = own.grid().shape_xyz();
            let band = shape.map(|n| (f64::from(blend.beta) * n as f64) as usize);
            let mut values = other.to_f32().into_owned();
            let smallest = finite_bounds(&values).map_or(0.0, |[low, _]| low);
            let odd = values.iter_mut().filter(|v| !v.is_finite());
            odd.for_each(|v| *v = smallest);
            image.volume = Some(own.map_f32(|voxels| {
                aside(voxels, |voxels| {
                    blend_amplitude(voxels, &values, shape, band, blend.lambda);
                });
            }));
        }
        Ok(row)
    }
}

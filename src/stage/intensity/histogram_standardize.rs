//! Brings the histograms of images of one modality to one scale.

use super::zscore::Foreground;
use super::{LARGEST, check_modalities, map_each};
use crate::kernel::simd::vectorised;
use crate::stage::{EdgeSchema, Stage, StageError};
use crate::volume::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Maps each image's percentiles to the landmarks of its modality, linearly between them.
///
/// **Law** with `q_i` the image's percentiles over its finite foreground and `s_i` the landmarks,
/// `v' = s_i + (v - q_i) (s_{i+1} - s_i) / (q_{i+1} - q_i)` for `v` from `q_i` to `q_{i+1}`; the first
/// and the last piece go on beyond their ends. Percentiles that are equal count as one, with the
/// mean of their landmarks; an image with one value alone is shifted. Background is mapped like
/// the rest, voxels that are not a number stay, and an image without foreground stays as it is.
/// `voxstream landmarks FILE` learns the landmarks of a data set and prints this step.
/// **Source** Nyul and Udupa 1999; Nyul, Udupa and Zhang 2000; percentiles as in TorchIO.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistogramStandardize {
    /// For each modality to change the values that its percentiles get, none smaller than the one before.
    pub landmarks: BTreeMap<String, Vec<f64>>,
    /// The percentiles that the landmarks belong to, rising, from 0 to 100.
    #[serde(default = "HistogramStandardize::deciles")]
    pub percentiles: Vec<f64>,
    /// Which voxels count for the percentiles.
    #[serde(default = "above_min")]
    pub foreground: Foreground,
}

fn above_min() -> Foreground {
    Foreground::AboveMin
}

/// `v' = s + (v - q) * slope` for values from `from` on, in f64: an image may lie far from 0.
#[derive(Debug, Clone, Copy)]
struct Piece {
    from: f32,
    q: f64,
    s: f64,
    slope: f64,
}

/// The pieces between points of equal index; the first one reaches down without end.
fn pieces(own: &[f64], standard: &[f64]) -> Vec<Piece> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut members = 0.0;
    for (&q, &s) in own.iter().zip(standard) {
        match points.last_mut() {
            Some((last, mean)) if *last == q => {
                members += 1.0;
                *mean += (s - *mean) / members;
            }
            _ => {
                members = 1.0;
                points.push((q, s));
            }
        }
    }
    if let [(q, s)] = points[..] {
        return vec![Piece {
            from: f32::NEG_INFINITY,
            q,
            s,
            slope: 1.0,
        }];
    }
    let piece = |(i, pair): (usize, &[(f64, f64)])| {
        let ((q, s), (q_next, s_next)) = (pair[0], pair[1]);
        Piece {
            from: if i == 0 { f32::NEG_INFINITY } else { q as f32 },
            q,
            s,
            slope: (s_next - s) / (q_next - q),
        }
    };
    points.windows(2).enumerate().map(piece).collect()
}

/// Voxels that look for their piece together.
const BLOCK: usize = 64;

fn map_pieces(voxels: &mut [f32], pieces: &[Piece]) {
    let Some((first, rest)) = pieces.split_first() else {
        return;
    };
    vectorised(
        #[inline(always)]
        || {
            for block in voxels.chunks_mut(BLOCK) {
                let (mut qs, mut ss, mut slopes) =
                    ([first.q; BLOCK], [first.s; BLOCK], [first.slope; BLOCK]);
                for piece in rest {
                    for (i, v) in block.iter().enumerate() {
                        let beyond = *v >= piece.from;
                        qs[i] = if beyond { piece.q } else { qs[i] };
                        ss[i] = if beyond { piece.s } else { ss[i] };
                        slopes[i] = if beyond { piece.slope } else { slopes[i] };
                    }
                }
                for (i, v) in block.iter_mut().enumerate() {
                    *v = (ss[i] + (f64::from(*v) - qs[i]) * slopes[i]) as f32;
                }
            }
        },
    );
}

impl HistogramStandardize {
    /// Percentiles where none are given: 1, the deciles and 99.
    pub fn deciles() -> Vec<f64> {
        vec![
            1.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 99.0,
        ]
    }

    /// Refuses percentiles that cannot have landmarks.
    ///
    /// **Errors** say what was found and what is expected.
    pub fn check_percentiles(percents: &[f64]) -> Result<(), String> {
        let rises = percents.windows(2).all(|pair| pair[0] < pair[1]);
        let within = percents.iter().all(|p| (0.0..=100.0).contains(p));
        match percents.len() >= 2 && rises && within {
            true => Ok(()),
            false => Err(format!(
                "`percentiles` is {percents:?}; expected at least two rising numbers from 0 to 100"
            )),
        }
    }

    fn modalities(&self) -> Vec<String> {
        self.landmarks.keys().cloned().collect()
    }
}

impl Stage for HistogramStandardize {
    const NAME: &'static str = "histogram_standardize";
    const EXAMPLE: &'static str =
        "{ landmarks: { mr: [0, 40, 60, 100] }, percentiles: [1, 25, 75, 99] }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        let percents = &self.percentiles;
        Self::check_percentiles(percents)?;
        for (name, values) in &self.landmarks {
            if values.len() != percents.len() {
                return Err(format!(
                    "`landmarks` of `{name}` has {} values and `percentiles` {}; give one landmark a percentile",
                    values.len(),
                    percents.len()
                ));
            }
            let falls = values.windows(2).any(|pair| pair[0] > pair[1]);
            if falls || !values.iter().all(|v| v.abs() <= LARGEST) {
                return Err(format!(
                    "`landmarks` of `{name}` is {values:?}; expected numbers from -{LARGEST} to {LARGEST}, none smaller than the one before"
                ));
            }
        }
        if self.landmarks.is_empty() {
            return Err("`landmarks` is empty; name at least one modality".to_owned());
        }
        check_modalities(input, Some(&self.modalities()))
    }

    fn map(&self, mut row: Row) -> Result<Vec<Row>, StageError> {
        for (name, standard) in &self.landmarks {
            let only = std::slice::from_ref(name);
            row = map_each(row, Some(only), |voxels| {
                let own = self.foreground.percentiles(voxels, &self.percentiles);
                if let Some(own) = own {
                    map_pieces(voxels, &pieces(&own, standard));
                }
            });
        }
        Ok(vec![row])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image_of, row_of};
    use super::*;

    fn standardized(standard: &[f64], values: &[f32]) -> Vec<f32> {
        let stage = HistogramStandardize {
            landmarks: BTreeMap::from([("ct".to_owned(), standard.to_vec())]),
            percentiles: vec![0.0, 25.0, 75.0, 100.0],
            foreground: Foreground::All,
        };
        image_of(&stage.map(row_of(values)).unwrap()[0])
    }

    #[test]
    fn percentiles_become_landmarks_and_pieces_are_linear() {
        // Percentiles 0, 25, 75, 100 of these nine are 0, 2, 6, 18.
        let values = [
            0.0,
            1.0,
            2.0,
            3.0,
            4.0,
            5.0,
            6.0,
            12.0,
            18.0,
            f32::NAN,
            f32::INFINITY,
        ];
        let found = standardized(&[10.0, 30.0, 50.0, 110.0], &values);
        assert_eq!(
            found[..9],
            [10.0, 20.0, 30.0, 35.0, 40.0, 45.0, 50.0, 80.0, 110.0]
        );
        assert!(found[9].is_nan() && found[10] == f32::INFINITY);
    }

    #[test]
    fn own_percentiles_as_landmarks_change_no_bit() {
        let values: Vec<f32> = (0..401).map(|i| ((i * 37) % 401) as f32 * 0.25).collect();
        assert_eq!(standardized(&[0.0, 25.0, 75.0, 100.0], &values), values);
    }

    #[test]
    fn outer_pieces_go_on_and_equal_percentiles_are_one() {
        let beyond: Vec<f64> = pieces(&[0.0, 1.0, 3.0], &[0.0, 10.0, 20.0])
            .iter()
            .map(|p| p.slope)
            .collect();
        assert_eq!(beyond, [10.0, 5.0]);
        let mut values = [-1.0, 0.5, 5.0];
        map_pieces(&mut values, &pieces(&[0.0, 1.0, 3.0], &[0.0, 10.0, 20.0]));
        assert_eq!(values, [-10.0, 5.0, 30.0]);
        // Far from 0 no digit is lost.
        let mut far = [1e5, 1e5 + 1.5, 1e5 + 4.0f32];
        map_pieces(
            &mut far,
            &pieces(&[1e5, 1e5 + 1.0, 1e5 + 3.0], &[0.0, 10.0, 20.0]),
        );
        assert_eq!(far, [0.0, 12.5, 25.0]);
        let found = standardized(&[10.0, 20.0, 40.0, 80.0], &[0.0, 0.0, 0.0, 0.0, 4.0]);
        // 0 is the value of three percentiles, whose landmarks have the mean 70 / 3.
        assert!((found[0] - 70.0 / 3.0).abs() < 1e-5 && (found[4] - 80.0).abs() < 1e-4);
        assert_eq!(standardized(&[1.0, 2.0, 3.0, 6.0], &[7.0; 3]), [3.0; 3]);
    }

    #[test]
    fn landmarks_that_do_not_fit_are_refused() {
        let stage = |landmarks: &[f64]| HistogramStandardize {
            landmarks: BTreeMap::from([("ct".to_owned(), landmarks.to_vec())]),
            percentiles: vec![1.0, 99.0],
            foreground: Foreground::All,
        };
        let edge = EdgeSchema {
            channels: vec![],
            rows_per_subject: Some(1),
        };
        let refused = |landmarks: &[f64]| stage(landmarks).check(&edge).unwrap_err();
        assert!(refused(&[1.0]).contains("one landmark a percentile"));
        assert!(refused(&[2.0, 1.0]).contains("none smaller"));
        assert!(refused(&[1.0, 2.0]).contains("no modality `ct`"));
    }
}

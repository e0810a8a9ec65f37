//! Cross pseudo supervision: two networks of different initial weights label for each other.
//!
//! **Source** Chen et al., CVPR 2021. There is no teacher and no threshold: what the other network
//! finds most likely is the label of every voxel.

use super::pseudo_label::Normalize;
use super::pseudo_label::consistency;
use crate::nn::dice_ce::DiceCe;
use candle_core::{D, DType, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Each of two networks learns the classes that the other one predicts on the unlabelled weak view.
///
/// The second network has the same design, other initial weights and an optimiser of its own, and
/// learns from the labelled rows too: a step takes twice the time. The first one predicts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CpsSpec {
    /// Weight of the soft Dice loss within the term.
    #[schemars(range(min = 0.0))]
    pub dice: f64,
    /// Weight of the cross-entropy within the term.
    #[schemars(range(min = 0.0))]
    pub cross_entropy: f64,
    /// Final weight of the term.
    #[schemars(range(min = 0.0))]
    pub weight: f64,
    /// When the term starts, as a fraction of training.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub start: f64,
    /// How long the weight rises, as a fraction of training.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ramp: f64,
}

impl Default for CpsSpec {
    /// Cross-entropy alone with a weight that rises to 0.1 over the whole training, as SSL4MIS
    /// trains volumes.
    fn default() -> Self {
        Self {
            dice: 0.0,
            cross_entropy: 1.0,
            weight: 0.1,
            start: 0.0,
            ramp: 1.0,
        }
    }
}

impl CpsSpec {
    /// Mean over heads of the loss of one network's logits, `[n, d, h, w, classes]` each, against
    /// the [`classes`] of the other; `None` when no head has both.
    ///
    /// **Errors** as [`supervised`](super::supervised::supervised).
    pub fn loss(
        &self,
        logits: &[Option<Tensor>],
        of_other: &[Option<Tensor>],
    ) -> Result<Option<Tensor>> {
        let loss = DiceCe {
            dice_weight: self.dice,
            ce_weight: self.cross_entropy,
            ..DiceCe::default()
        };
        consistency(logits, of_other, &loss, Normalize::Kept)
    }
}

/// The most likely class of every voxel, u8 `[n, d, h, w]`, without gradient; `None` where a head is missing.
///
/// **Errors** when the logits have no class dimension.
pub fn classes(logits: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
    let most_likely = |logits: &Tensor| logits.detach().argmax(D::Minus1)?.to_dtype(DType::U8);
    let heads = logits.iter();
    heads
        .map(|head| head.as_ref().map(most_likely).transpose())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn the_loss_is_the_cross_entropy_of_the_others_choice_and_reaches_one_side() {
        let logits = |v: [f32; 4]| {
            Var::from_tensor(&Tensor::from_vec(v.to_vec(), (1, 1, 1, 2, 2), &Device::Cpu).unwrap())
                .unwrap()
        };
        let (own, other) = (logits([0.0, 1.0, 0.5, 0.0]), logits([0.2, 0.1, 0.0, 3.0]));
        let taught = classes(&[Some(other.as_tensor().clone()), None]).unwrap();
        assert!(taught[1].is_none());
        let found: Vec<u8> = (taught[0].as_ref().unwrap().flatten_all().unwrap())
            .to_vec1()
            .unwrap();
        assert_eq!(found, [0, 1]);
        let heads = [Some(own.as_tensor().clone()), None];
        let loss = CpsSpec::default().loss(&heads, &taught).unwrap().unwrap();
        let expected = ((1.0 + 1f64.exp()).ln() + (1.0 + 0.5f64.exp()).ln()) / 2.0;
        let found = f64::from(loss.to_scalar::<f32>().unwrap());
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        let gradients = loss.backward().unwrap();
        assert!(gradients.get(own.as_tensor()).is_some());
        assert!(gradients.get(other.as_tensor()).is_none());
    }
}

//! The objective as written in YAML: which terms, how heavy, and from when on.

use candle_core::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::as_released::CmcAsReleasedSpec;
use super::bcp::BcpSpec;
use super::cac::CacSpec;
use super::cps::CpsSpec;
use super::csc::CscSpec;
use super::cutmix::CutMixSpec;
use super::feature_dropout::FeatureDropoutSpec;
use super::mean_teacher::MeanTeacherSpec;
use super::pseudo_label::Normalize;
use super::ramp::Ramp;
use super::terms::{Term, Terms};
use crate::nn::dice_bce::DiceBce;
use crate::nn::dice_ce::DiceCe;
use crate::nn::network::Heads;
use crate::volume::LabelRegion;

/// What training minimises: the weighted sum of the terms that are given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveSpec {
    /// Dice and cross-entropy of each head against the label of its modality; with `train.regions` Dice of each region and binary cross-entropy.
    #[serde(default)]
    pub supervised: Option<SupervisedSpec>,
    /// Channel-wise semantic consistency between the modalities' features (needs a head a modality). In `benches/experiments` its absence changed no Dice beyond chance, and the paper's weight of 1 cost up to 0.2.
    #[serde(default)]
    pub csc: Option<CscSpec>,
    /// Anatomical consistency between the modalities' predictions (needs a head a modality).
    #[serde(default)]
    pub cac: Option<CacSpec>,
    /// The strong view learns what the teacher is sure of on the weak view.
    #[serde(default)]
    pub pseudo_label: Option<PseudoLabelSpec>,
    /// The strong view's probabilities approach the teacher's of the weak view.
    #[serde(default)]
    pub mean_teacher: Option<MeanTeacherSpec>,
    /// The weak view with channels of its features dropped learns the pseudo-labels (UniMatch).
    #[serde(default)]
    pub feature_dropout: Option<FeatureDropoutSpec>,
    /// Labelled and unlabelled patches exchange a box (BCP); each part is learnt from its own labels.
    #[serde(default)]
    pub bcp: Option<BcpSpec>,
    /// Two networks of different beginnings teach each other on the weak view (CPS).
    #[serde(default)]
    pub cps: Option<CpsSpec>,
    /// Negative control: the losses of the released CMC code, which train nothing (needs a head a modality).
    #[serde(default)]
    pub cmc_as_released: Option<CmcAsReleasedSpec>,
}

impl Default for ObjectiveSpec {
    /// Supervised only.
    fn default() -> Self {
        Self {
            supervised: Some(SupervisedSpec::default()),
            csc: None,
            cac: None,
            pseudo_label: None,
            mean_teacher: None,
            feature_dropout: None,
            bcp: None,
            cps: None,
            cmc_as_released: None,
        }
    }
}

/// The supervised term.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SupervisedSpec {
    /// Weight of the term, from the first step to the last.
    #[schemars(range(min = 0.0))]
    pub weight: f64,
    /// Weight of the soft Dice loss within the term.
    #[schemars(range(min = 0.0))]
    pub dice: f64,
    /// Weight of the cross-entropy within the term.
    #[schemars(range(min = 0.0))]
    pub cross_entropy: f64,
    /// Whether background is one of the classes of the Dice loss; `train.regions` have no background.
    pub include_background: bool,
    /// Whether probabilities enter the denominator of the Dice loss squared.
    pub squared: bool,
}

impl Default for SupervisedSpec {
    fn default() -> Self {
        let loss = DiceCe::default();
        Self {
            weight: 1.0,
            dice: loss.dice_weight,
            cross_entropy: loss.ce_weight,
            include_background: loss.include_background,
            squared: loss.squared,
        }
    }
}

/// Pseudo-labels from the teacher's weak view for the student's strong view.
///
/// From which confidence a voxel is used is the teacher's affair, not the term's: voxels below it
/// arrive as ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PseudoLabelSpec {
    /// By how many voxels the term is divided.
    pub normalize: Normalize,
    /// Mixes a box of another patch into each strong view, and of its pseudo-label; left out, nothing is mixed.
    pub cutmix: Option<CutMixSpec>,
    /// Channels of the features are dropped in complementary halves between two strong views, in half of the samples (UniMatch V2).
    pub complementary_dropout: bool,
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

impl Default for PseudoLabelSpec {
    fn default() -> Self {
        let rise = Ramp::default();
        Self {
            normalize: Normalize::default(),
            cutmix: None,
            complementary_dropout: false,
            dice: 1.0,
            cross_entropy: 1.0,
            weight: rise.weight,
            start: rise.start,
            ramp: rise.ramp,
        }
    }
}

impl ObjectiveSpec {
    /// How each term's weight grows; `None` for a term that is not given.
    pub fn ramps(&self) -> Terms<Option<Ramp>> {
        let late = |weight: f64, start: f64, ramp: f64| Ramp {
            weight,
            start,
            ramp,
        };
        Terms::from_fn(|term| match term {
            Term::Supervised => (self.supervised.as_ref()).map(|s| Ramp::constant(s.weight)),
            Term::Csc => (self.csc.as_ref()).map(|s| late(s.weight, s.start, s.ramp)),
            Term::Cac => (self.cac.as_ref()).map(|s| late(s.weight, s.start, s.ramp)),
            Term::PseudoLabel => {
                (self.pseudo_label.as_ref()).map(|s| late(s.weight, s.start, s.ramp))
            }
            Term::MeanTeacher => {
                (self.mean_teacher.as_ref()).map(|s| late(s.weight, s.start, s.ramp))
            }
            Term::FeatureDropout => {
                (self.feature_dropout.as_ref()).map(|s| late(s.weight, s.start, s.ramp))
            }
            Term::Bcp => (self.bcp.as_ref()).map(|s| late(s.weight, s.start, s.ramp)),
            Term::Cps => (self.cps.as_ref()).map(|s| late(s.weight, s.start, s.ramp)),
            Term::CmcAsReleased => (self.cmc_as_released.as_ref()).map(|s| late(1.0, s.start, 0.0)),
        })
    }

    /// Each term's weight at `progress`, the fraction of training that is done; 0 for a term that
    /// is not given, which the caller need not compute.
    pub fn weights(&self, progress: f64) -> Terms<f64> {
        let ramps = self.ramps();
        Terms::from_fn(|term| ramps[term].map_or(0.0, |ramp| ramp.at(progress)))
    }

    /// Says what does not fit, also with the network's heads.
    ///
    /// **Errors** one sentence that names the field, what was found and what is possible.
    pub fn check(&self, heads: Heads) -> std::result::Result<(), String> {
        let ramps = self.ramps();
        if Term::ALL.iter().all(|term| ramps[*term].is_none()) {
            let terms = Term::ALL
                .map(|term| format!("`{}`", term.name()))
                .join(", ");
            return Err(format!("the objective has no term; give one of {terms}"));
        }
        for term in Term::ALL {
            let (name, ramp) = (term.name(), ramps[term]);
            let checked = ramp.map_or(Ok(()), |ramp| ramp.check());
            checked.map_err(|reason| format!("`{name}`: {reason}"))?;
            if term.compares_modalities() && ramp.is_some() && heads == Heads::Joint {
                return Err(format!(
                    "`{name}` compares modalities, but the network makes one joint prediction; \
                     use the network `cmc` or remove `{name}`"
                ));
            }
        }
        if let Some(spec) = &self.csc {
            spec.check().map_err(|reason| format!("`csc`: {reason}"))?;
        }
        if let Some(spec) = &self.cac {
            spec.check().map_err(|reason| format!("`cac`: {reason}"))?;
        }
        if let Some(spec) = &self.supervised {
            check_parts("supervised", spec.dice, spec.cross_entropy)?;
        }
        if let Some(spec) = &self.pseudo_label {
            check_parts("pseudo_label", spec.dice, spec.cross_entropy)?;
            let cutmix = spec.cutmix.as_ref().map_or(Ok(()), CutMixSpec::check);
            cutmix.map_err(|reason| format!("`pseudo_label`: {reason}"))?;
        }
        if let Some(spec) = &self.mean_teacher {
            spec.check()
                .map_err(|reason| format!("`mean_teacher`: {reason}"))?;
        }
        if let Some(spec) = &self.feature_dropout {
            check_parts("feature_dropout", spec.dice, spec.cross_entropy)?;
            spec.check()
                .map_err(|reason| format!("`feature_dropout`: {reason}"))?;
        }
        if let Some(spec) = &self.bcp {
            check_parts("bcp", spec.dice, spec.cross_entropy)?;
            spec.check().map_err(|reason| format!("`bcp`: {reason}"))?;
        }
        if let Some(spec) = &self.cps {
            check_parts("cps", spec.dice, spec.cross_entropy)?;
        }
        Ok(())
    }

    /// The weighted sum of the terms that were computed; `None` when none has a weight above 0.
    pub fn total(&self, terms: &Terms<Option<Tensor>>, progress: f64) -> Result<Option<Tensor>> {
        let weights = self.weights(progress);
        let mut total: Option<Tensor> = None;
        for (term, weight) in Term::ALL.map(|term| (&terms[term], weights[term])) {
            let Some(term) = term.as_ref().filter(|_| weight > 0.0) else {
                continue;
            };
            let weighted = (term * weight)?;
            total = Some(match total {
                Some(sum) => (sum + weighted)?,
                None => weighted,
            });
        }
        Ok(total)
    }
}

impl SupervisedSpec {
    /// The loss of one head with an output a region; `classes` is their number, background included.
    pub fn loss_of_regions(&self, regions: &[LabelRegion], classes: usize) -> DiceBce {
        DiceBce {
            regions: regions.iter().map(|r| r.classes.clone()).collect(),
            classes,
            squared: self.squared,
            smooth: DiceCe::default().smooth,
            dice_weight: self.dice,
            bce_weight: self.cross_entropy,
        }
    }

    /// The loss of one head with an output a class.
    pub fn loss(&self) -> DiceCe {
        DiceCe {
            dice_weight: self.dice,
            ce_weight: self.cross_entropy,
            include_background: self.include_background,
            squared: self.squared,
            ..DiceCe::default()
        }
    }
}

impl PseudoLabelSpec {
    /// The loss of one head.
    pub fn loss(&self) -> DiceCe {
        DiceCe {
            dice_weight: self.dice,
            ce_weight: self.cross_entropy,
            ..DiceCe::default()
        }
    }
}

/// Refuses weights of Dice and cross-entropy that are negative or both 0.
fn check_parts(term: &str, dice: f64, cross_entropy: f64) -> std::result::Result<(), String> {
    let valid = |value: f64| value.is_finite() && value >= 0.0;
    if valid(dice) && valid(cross_entropy) && dice + cross_entropy > 0.0 {
        return Ok(());
    }
    Err(format!(
        "`{term}`: `dice` is {dice} and `cross_entropy` is {cross_entropy}, \
         expected 0 or more each and one above 0"
    ))
}

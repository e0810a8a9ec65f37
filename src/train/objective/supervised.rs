//! The supervised term: each head against the label of its modality.

use candle_core::{Result, Tensor};

use crate::nn::dice_ce::DiceCe;

/// Mean of the Dice and cross-entropy loss over the heads that have both logits and a label.
///
/// `logits[i]` is `[n, d, h, w, classes]`, `targets[i]` u8 `[n, d, h, w]` with 255 where there is
/// no label. `None` when no head has both.
///
/// **Errors** when the lists differ in length, or as [`DiceCe::loss`].
pub fn supervised(
    logits: &[Option<Tensor>],
    targets: &[Option<Tensor>],
    loss: &DiceCe,
) -> Result<Option<Tensor>> {
    if logits.len() != targets.len() {
        candle_core::bail!(
            "found {} heads but {} labels, expected one a head (`None` where missing)",
            logits.len(),
            targets.len()
        );
    }
    let mut losses = Vec::with_capacity(logits.len());
    for (logits, target) in logits.iter().zip(targets) {
        if let (Some(logits), Some(target)) = (logits, target) {
            losses.push(loss.loss(logits, target)?);
        }
    }
    super::mean_of(&losses)
}

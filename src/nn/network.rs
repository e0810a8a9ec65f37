//! What a segmentation network is to a trainer, and the choice among them as written in YAML.

mod spec;

pub use spec::NetworkSpec;

use candle_core::{Result, Tensor};

use super::channel_dropout::channel_dropout;

/// The outputs of one forward pass.
///
/// With [`Heads::PerModality`] both lists have one entry a declared modality, in the order of the
/// images; with [`Heads::Joint`] they have exactly one entry.
#[derive(Debug, Clone)]
pub struct Output {
    /// Logits of each head, `[n, d, h, w, outputs]`, one output a class or region; `None` where that head's modality is missing.
    pub logits: Vec<Option<Tensor>>,
    /// Bottleneck features `[n, d, h, w, c]`, before any attention across channels; `None` where missing.
    pub features: Vec<Option<Tensor>>,
    /// With deep supervision: logits at half the resolution, a quarter and so on, each list as
    /// `logits`; else empty.
    pub deep: Vec<Vec<Option<Tensor>>>,
}

/// Gives the factors `[n, c]` of an encoder's level with `c` channels: encoder, level, `c`.
type Factors<'a> = dyn Fn(usize, usize, usize) -> Result<Tensor> + 'a;

/// What the encoders' channels are multiplied by on their way to the decoders.
///
/// The factors act on the skip connections (levels from 0, the finest) and on the bottleneck, once
/// the encoders are through; [`Output::features`] stay as they were.
#[derive(Default)]
pub struct Perturb<'a> {
    factors: Option<Box<Factors<'a>>>,
}

impl<'a> Perturb<'a> {
    /// Leaves everything as it is.
    pub fn none() -> Self {
        Self::default()
    }

    /// Multiplies by what `factors` returns for (encoder, level, channels), `[n, channels]`.
    pub fn new(factors: impl Fn(usize, usize, usize) -> Result<Tensor> + 'a) -> Self {
        Self {
            factors: Some(Box::new(factors)),
        }
    }

    /// The skip connections and the bottleneck of one encoder, multiplied.
    pub(crate) fn apply(
        &self,
        encoder: usize,
        skips: Vec<Tensor>,
        bottleneck: &Tensor,
    ) -> Result<(Vec<Tensor>, Tensor)> {
        let Some(factors) = &self.factors else {
            return Ok((skips, bottleneck.clone()));
        };
        let times =
            |(level, x): (usize, &Tensor)| channel_dropout(x, &factors(encoder, level, x.dim(4)?)?);
        let deepest = times((skips.len(), bottleneck))?;
        let skips = skips.iter().enumerate().map(times).collect::<Result<_>>()?;
        Ok((skips, deepest))
    }
}

/// How many predictions a network makes for one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heads {
    /// One prediction for the subject (early fusion).
    Joint,
    /// One prediction for each modality.
    PerModality,
}

/// A segmentation network for any non-empty subset of its modalities.
///
/// Each volume is normalised by itself, so a prediction does not depend on its batch partners and
/// training equals testing.
pub trait Network: Send + Sync {
    /// One forward pass over `images`, one entry a modality, `[n, d, h, w, 1]` or `None` where missing.
    ///
    /// **Errors** [`NetworkError`], wrapped, when no modality is present, their number or shapes do
    /// not fit, or an edge is no multiple of [`stride`](Network::stride).
    fn forward(&self, images: &[Option<Tensor>]) -> Result<Output> {
        self.forward_with(images, &Perturb::none())
    }

    /// As [`forward`](Network::forward), with the channels of the encoders' features multiplied.
    ///
    /// **Errors** as there, and when a factor's shape does not fit.
    fn forward_with(&self, images: &[Option<Tensor>], perturb: &Perturb<'_>) -> Result<Output>;

    /// How many predictions [`forward`](Network::forward) makes.
    fn heads(&self) -> Heads;

    /// Voxels between neighbours of the bottleneck; patch edges must be multiples of it.
    fn stride(&self) -> usize;
}

/// What is wrong with a network's description or with what it was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The description cannot be built.
    #[error("network cannot be built: {reason}")]
    Spec {
        /// What is wrong and what would be right.
        reason: String,
    },
    /// All modalities are missing.
    #[error("every modality is missing from this batch; give at least one of {declared}")]
    NoModality {
        /// Modalities the network was built for.
        declared: usize,
    },
    /// The list of images has another length than the network has modalities.
    #[error("found {found} images, expected {expected}, one a modality (`None` where missing)")]
    Modalities {
        /// Length of the list.
        found: usize,
        /// Modalities the network was built for.
        expected: usize,
    },
    /// An image has the wrong shape.
    #[error("image of modality {modality} has shape {found:?}, expected {expected}")]
    Image {
        /// Index of the modality.
        modality: usize,
        /// Its shape.
        found: Vec<usize>,
        /// What was expected.
        expected: String,
    },
    /// A patch edge does not divide.
    #[error(
        "patch of {found:?} voxels (z, y, x) does not divide by the network's stride {stride}; \
         choose edges that are multiples of {stride} and at least one of {twice} or more",
        twice = 2 * stride
    )]
    Stride {
        /// Patch edges (z, y, x).
        found: Vec<usize>,
        /// The network's stride.
        stride: usize,
    },
    /// Features of two modalities do not lie on one grid.
    #[error(
        "features of modality {modality} have shape {found:?}, those before it {expected:?}; \
         resample the modalities to one grid before fusing them"
    )]
    Features {
        /// Index of the modality.
        modality: usize,
        /// Its shape.
        found: Vec<usize>,
        /// The shape of the first present modality.
        expected: Vec<usize>,
    },
}

impl From<NetworkError> for candle_core::Error {
    fn from(error: NetworkError) -> Self {
        Self::wrap(error)
    }
}

/// Checks the images of one pass and returns the first present one, whose shape all of them share.
///
/// The bottleneck must keep two voxels: an instance norm over a single one produces its shift,
/// whatever the image shows.
pub(crate) fn check_images(
    images: &[Option<Tensor>],
    modalities: usize,
    stride: usize,
) -> std::result::Result<&Tensor, NetworkError> {
    if images.len() != modalities {
        return Err(NetworkError::Modalities {
            found: images.len(),
            expected: modalities,
        });
    }
    let mut common: Option<&Tensor> = None;
    for (modality, image) in images.iter().enumerate() {
        let Some(image) = image else { continue };
        let found = image.dims().to_vec();
        let refuse = |expected: String| NetworkError::Image {
            modality,
            found: found.clone(),
            expected,
        };
        if found.len() != 5 || found[4] != 1 {
            return Err(refuse("[n, d, h, w, 1]".to_owned()));
        }
        match common {
            Some(first) if first.dims() != found => {
                let expected = format!("{:?} like the modalities before it", first.dims());
                return Err(refuse(expected));
            }
            Some(_) => {}
            None => common = Some(image),
        }
    }
    let first = common.ok_or(NetworkError::NoModality {
        declared: modalities,
    })?;
    let edges = &first.dims()[1..4];
    let divides = edges.iter().all(|&e| e > 0 && e % stride == 0);
    if !divides || edges.iter().all(|&e| e == stride) {
        return Err(NetworkError::Stride {
            found: edges.to_vec(),
            stride,
        });
    }
    Ok(first)
}

/// Refuses a number outside `low..=high`, naming the field.
pub(crate) fn check_range(
    field: &str,
    found: usize,
    low: usize,
    high: usize,
) -> std::result::Result<(), String> {
    if (low..=high).contains(&found) {
        Ok(())
    } else {
        Err(format!("`{field}` is {found}, expected {low} to {high}"))
    }
}

#[cfg(test)]
mod tests;

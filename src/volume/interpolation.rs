//! How a move reads between voxels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Between voxels, which class a label map has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabelInterpolation {
    /// That of the nearest voxel.
    #[default]
    Nearest,
    /// The class with the largest trilinear weight among the eight voxels around: smoother edges.
    Linear,
}

/// Between voxels, which value an image has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageInterpolation {
    /// Trilinear, over the eight voxels around: never beyond their values.
    #[default]
    Linear,
    /// Cubic convolution over 64 voxels (Keys 1981, a = -1/2): sharper edges, which may overshoot.
    Cubic,
}

/// How a move reads between voxels, by the role of a volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interpolation {
    /// Of images.
    pub images: ImageInterpolation,
    /// Of label maps.
    pub labels: LabelInterpolation,
}

impl Interpolation {
    /// That of two moves made as one: the smoother one where they differ.
    pub(super) fn joined(self, other: Self) -> Self {
        Self {
            images: match self.images {
                ImageInterpolation::Linear => other.images,
                cubic => cubic,
            },
            labels: match self.labels {
                LabelInterpolation::Nearest => other.labels,
                linear => linear,
            },
        }
    }
}

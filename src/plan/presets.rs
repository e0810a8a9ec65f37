//! Chains of steps under one name, written like a step in a view; their options are those of `patch`.
//!
//! They reproduce what two codebases do, so that a comparison starts from the same augmentation.

use crate::spec::Node;

/// A named chain.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Key in YAML.
    pub name: &'static str,
    /// What it reproduces, and where it differs.
    pub doc: &'static str,
    /// Steps and their parameters, in order; the `patch` takes the parameters that are written.
    pub steps: &'static [(&'static str, &'static str)],
}

/// What a preset says of slices, until the patch is known.
pub(super) const BY_PATCH: &str = "in_plane: auto";

/// Whether slices move in their plane only, by the size of the patch.
///
/// **Law** where the longest edge is more than three times the shortest, as nnU-Net decides.
pub(super) fn in_plane(options: Node<'_>) -> String {
    let size = options.get("size").and_then(|size| size.read().ok());
    let is_stack = size.map(|size: [usize; 3]| {
        size.into_iter().max() > size.into_iter().min().map(|least| 3 * least)
    });
    match is_stack {
        Some(true) => "in_plane: always".to_owned(),
        Some(false) => "in_plane: never".to_owned(),
        // Without a size the patch is refused anyway.
        None => BY_PATCH.to_owned(),
    }
}

/// The step whose parameters are the preset's.
pub const OPEN_STEP: &str = "patch";

/// Every preset.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "nnunet_default",
        doc: "nnU-Net v2's default augmentation (trainer of July 2026 and batchgeneratorsv2), \
              in its order and with its probabilities; the turn and the scaling are read from \
              the whole volume, so no enlarged patch is needed. Slices turn in their plane where an edge of \
              the patch is more than three times another. nnU-Net prepares thick slices with \
              `resample: { separate_z: auto }` among the `stages`. Options are those of `patch`.",
        steps: &[
            (
                "affine",
                "{ rotation_deg: [-30, 30], scale: { one_over: [0.7, 1.4] }, p: 1, p_rotation: 0.2, \
                 p_scale: 0.2, p_shear: 0, p_translation: 0, in_plane: auto }",
            ),
            (OPEN_STEP, ""),
            ("gaussian_noise", "{ std: [0.0, 0.1], p: 0.1 }"),
            (
                "gaussian_blur",
                "{ sigma_voxels: [0.5, 1.0], p: 0.2, p_modality: 0.5 }",
            ),
            (
                "brightness",
                "{ factor: { around_one: [0.75, 1.25] }, p: 0.15 }",
            ),
            (
                "contrast",
                "{ factor: { around_one: [0.75, 1.25] }, p: 0.15 }",
            ),
            (
                "low_resolution",
                "{ factor: [0.5, 1.0], p: 0.25, p_modality: 0.5 }",
            ),
            (
                "gamma",
                "{ gamma: { around_one: [0.7, 1.5] }, p: 0.1, invert_p: 1 }",
            ),
            (
                "gamma",
                "{ gamma: { around_one: [0.7, 1.5] }, p: 0.3, invert_p: 0 }",
            ),
            ("flip", "{ axes: [x, y, z], p: 0.5 }"),
        ],
    },
    Preset {
        name: "cmc_reference",
        doc: "The augmentation of CMC's released code: crops, flips, quarter turns, small changes of \
              scale and offset. Options are those of `patch`; the reference cuts 4 patches of \
              128 x 128 x 128 voxels, half of them on foreground.",
        steps: &[
            (OPEN_STEP, ""),
            ("flip", "{ axes: [x, y, z], p: 0.2 }"),
            ("rotate90", "{ planes: [xy], p: 0.2 }"),
            ("scale_intensity", "{ factor: [0.9, 1.1], p: 0.1 }"),
            ("shift_intensity", "{ offset: [-0.1, 0.1], p: 0.1 }"),
        ],
    },
];

/// The preset of that name.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|p| p.name == name)
}

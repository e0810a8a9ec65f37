//! What steps are called in the frameworks that users come from.

use std::fmt;

/// A step's name elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counterpart {
    /// The framework.
    pub framework: &'static str,
    /// The class there, without MONAI's endings.
    pub theirs: &'static str,
    /// The step here that does the same; parameters have names and ranges of their own.
    pub ours: &'static str,
}

impl fmt::Display for Counterpart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            framework,
            theirs,
            ours,
        } = self;
        write!(f, "`{ours}` is what {framework} calls `{theirs}`")
    }
}

/// MONAI's classes; each has forms that end in `d`, `D` and `Dict`.
const MONAI: &[(&str, &str)] = &[
    ("CenterSpatialCrop", "crop"),
    ("CropForeground", "crop_foreground"),
    ("Flip", "flip"),
    ("KeepLargestConnectedComponent", "keep_largest"),
    ("MapLabelValue", "remap"),
    ("MedianSmooth", "median"),
    ("NormalizeIntensity", "zscore"),
    ("Orientation", "orient"),
    ("Rand3DElastic", "elastic"),
    ("RandAdjustContrast", "gamma"),
    ("RandAffine", "affine"),
    ("RandAxisFlip", "flip"),
    ("RandBiasField", "bias_field"),
    ("RandCoarseDropout", "blank_boxes"),
    ("RandCropByLabelClasses", "patch"),
    ("RandCropByPosNegLabel", "patch"),
    ("RandFlip", "flip"),
    ("RandGaussianNoise", "gaussian_noise"),
    ("RandGaussianSharpen", "sharpen"),
    ("RandGaussianSmooth", "gaussian_blur"),
    ("RandKSpaceSpikeNoise", "spike"),
    ("RandRicianNoise", "rician_noise"),
    ("RandRotate", "affine"),
    ("RandRotate90", "rotate90"),
    ("RandScaleIntensity", "scale_intensity"),
    ("RandScaleIntensityFixedMean", "contrast"),
    ("RandShiftIntensity", "shift_intensity"),
    ("RandSimulateLowResolution", "low_resolution"),
    ("RandSpatialCrop", "patch"),
    ("RandSpatialCropSamples", "patch"),
    ("RandZoom", "affine"),
    ("ScaleIntensityRange", "window"),
    ("Spacing", "resample"),
    ("SpatialCrop", "crop"),
    ("SpatialPad", "pad"),
];

const TORCHIO: &[(&str, &str)] = &[
    ("Crop", "crop"),
    ("HistogramStandardization", "histogram_standardize"),
    ("KeepLargestComponent", "keep_largest"),
    ("LabelSampler", "patch"),
    ("Pad", "pad"),
    ("RandomAffine", "affine"),
    ("RandomAnisotropy", "low_resolution"),
    ("RandomBiasField", "bias_field"),
    ("RandomBlur", "gaussian_blur"),
    ("RandomElasticDeformation", "elastic"),
    ("RandomFlip", "flip"),
    ("RandomGamma", "gamma"),
    ("RandomGhosting", "ghosting"),
    ("RandomMotion", "motion"),
    ("RandomNoise", "gaussian_noise"),
    ("RandomSpike", "spike"),
    ("RemapLabels", "remap"),
    ("Resample", "resample"),
    ("RescaleIntensity", "window"),
    ("ToCanonical", "orient"),
    ("ToOrientation", "orient"),
    ("UniformSampler", "patch"),
    ("ZNormalization", "zscore"),
];

const BATCHGENERATORS: &[(&str, &str)] = &[
    ("BlankRectangleTransform", "blank_boxes"),
    ("BrightnessMultiplicativeTransform", "brightness"),
    ("ContrastAugmentationTransform", "contrast"),
    ("ContrastTransform", "contrast"),
    ("GammaTransform", "gamma"),
    ("GaussianBlurTransform", "gaussian_blur"),
    ("GaussianNoiseTransform", "gaussian_noise"),
    ("MedianFilterTransform", "median"),
    ("MirrorTransform", "flip"),
    ("MultiplicativeBrightnessTransform", "brightness"),
    ("RicianNoiseTransform", "rician_noise"),
    ("Rot90Transform", "rotate90"),
    ("SharpeningTransform", "sharpen"),
    ("SimulateLowResolutionTransform", "low_resolution"),
    ("SpatialTransform", "affine"),
];

const FRAMEWORKS: [(&str, &[(&str, &str)]); 3] = [
    ("MONAI", MONAI),
    ("TorchIO", TORCHIO),
    ("batchgenerators", BATCHGENERATORS),
];

/// The step that a class of MONAI, TorchIO or nnU-Net's batchgenerators stands for; case does not matter.
pub fn find(name: &str) -> Option<Counterpart> {
    let dictionary = ["Dict", "D", "d"]
        .iter()
        .find_map(|end| name.strip_suffix(end));
    FRAMEWORKS.iter().find_map(|(framework, steps)| {
        let same = |theirs: &str| {
            let plain = dictionary.filter(|_| *framework == "MONAI");
            theirs.eq_ignore_ascii_case(name)
                || plain.is_some_and(|n| theirs.eq_ignore_ascii_case(n))
        };
        let (theirs, ours) = steps.iter().find(|(theirs, _)| same(theirs))?;
        Some(Counterpart {
            framework,
            theirs,
            ours,
        })
    })
}

/// What a step is called elsewhere, by framework.
pub fn of(ours: &str) -> Vec<(&'static str, Vec<&'static str>)> {
    let named = FRAMEWORKS.iter().filter_map(|(framework, steps)| {
        let own = steps.iter().filter(|(_, name)| *name == ours);
        let theirs: Vec<&str> = own.map(|(theirs, _)| *theirs).collect();
        (!theirs.is_empty()).then_some((*framework, theirs))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::STAGES;

    #[test]
    fn every_counterpart_is_a_step() {
        for (framework, steps) in FRAMEWORKS {
            for (theirs, ours) in steps {
                assert!(
                    STAGES.iter().any(|s| s.name == *ours),
                    "{framework} {theirs}"
                );
            }
            assert!(steps.is_sorted(), "{framework}");
        }
    }

    #[test]
    fn classes_are_found_in_every_form() {
        let found = |name| find(name).map(|c| (c.framework, c.ours));
        for name in [
            "RandFlip",
            "RandFlipd",
            "RandFlipD",
            "RandFlipDict",
            "randflipd",
        ] {
            assert_eq!(found(name), Some(("MONAI", "flip")), "{name}");
        }
        assert_eq!(found("RandomMotion"), Some(("TorchIO", "motion")));
        assert_eq!(found("MirrorTransform"), Some(("batchgenerators", "flip")));
        // Endings are MONAI's alone.
        assert_eq!(
            (found("RandomMotiond"), found("d"), found("")),
            (None, None, None)
        );
        assert_eq!(
            find("Spacingd").unwrap().to_string(),
            "`resample` is what MONAI calls `Spacing`"
        );
        assert_eq!(
            of("flip"),
            [
                ("MONAI", vec!["Flip", "RandAxisFlip", "RandFlip"]),
                ("TorchIO", vec!["RandomFlip"]),
                ("batchgenerators", vec!["MirrorTransform"]),
            ]
        );
        assert!(of("cache").is_empty());
    }
}

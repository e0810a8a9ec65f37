//! The list of every step a pipeline may name; the only file that names them all.

use crate::plan::entry::StageEntry;
use crate::stage::cache::Cache;
use crate::stage::intensity::contrast::Contrast;
use crate::stage::intensity::gamma::Gamma;
use crate::stage::intensity::gaussian_noise::GaussianNoise;
use crate::stage::intensity::scale_intensity::ScaleIntensity;
use crate::stage::intensity::shift_intensity::ShiftIntensity;
use crate::stage::intensity::window::Window;
use crate::stage::intensity::zscore::Zscore;
use crate::stage::label::{keep_largest::KeepLargest, merge::Merge, remap::Remap};
use crate::stage::shuffle::Shuffle;
use crate::stage::spatial::{
    affine::Affine, crop::Crop, crop_foreground::CropForeground, elastic::Elastic, flip::Flip,
    misalign::Misalign, orient::Orient, pad::Pad, patch::Patch, register_check::RegisterCheck,
    resample::Resample, rotate90::Rotate90,
};

/// Every built-in step, in the order of the documentation.
pub const STAGES: &[StageEntry] = &[
    StageEntry::order::<Shuffle>(),
    StageEntry::stage::<Cache>(),
    StageEntry::stage::<Orient>(),
    StageEntry::stage::<RegisterCheck>(),
    StageEntry::stage::<Resample>(),
    StageEntry::stage::<CropForeground>(),
    StageEntry::stage::<Crop>(),
    StageEntry::stage::<Pad>(),
    StageEntry::stage::<Remap>(),
    StageEntry::stage::<Merge>(),
    StageEntry::stage::<KeepLargest>(),
    StageEntry::augment::<Patch>(),
    StageEntry::augment::<Flip>(),
    StageEntry::augment::<Rotate90>(),
    StageEntry::augment::<Affine>(),
    StageEntry::augment::<Elastic>(),
    StageEntry::augment::<Misalign>(),
    StageEntry::stage::<Window>(),
    StageEntry::stage::<Zscore>(),
    StageEntry::augment::<ScaleIntensity>(),
    StageEntry::augment::<ShiftIntensity>(),
    StageEntry::augment::<Contrast>(),
    StageEntry::augment::<Gamma>(),
    StageEntry::augment::<GaussianNoise>(),
];

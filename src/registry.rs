//! The list of every step a pipeline may name; the only file that names them all.

use crate::plan::entry::StageEntry;
use crate::stage::cache::Cache;
use crate::stage::flow::{balance::Balance, filter::Filter, repeat::Repeat};
use crate::stage::intensity::bias_field::BiasField;
use crate::stage::intensity::blank_boxes::BlankBoxes;
use crate::stage::intensity::brightness::Brightness;
use crate::stage::intensity::clip_percentile::ClipPercentile;
use crate::stage::intensity::contrast::Contrast;
use crate::stage::intensity::gamma::Gamma;
use crate::stage::intensity::gaussian_blur::GaussianBlur;
use crate::stage::intensity::gaussian_noise::GaussianNoise;
use crate::stage::intensity::ghosting::Ghosting;
use crate::stage::intensity::histogram_standardize::HistogramStandardize;
use crate::stage::intensity::local_gamma::LocalGamma;
use crate::stage::intensity::low_resolution::LowResolution;
use crate::stage::intensity::median::Median;
use crate::stage::intensity::motion::Motion;
use crate::stage::intensity::rician_noise::RicianNoise;
use crate::stage::intensity::scale_intensity::ScaleIntensity;
use crate::stage::intensity::sharpen::Sharpen;
use crate::stage::intensity::shift_intensity::ShiftIntensity;
use crate::stage::intensity::spike::Spike;
use crate::stage::intensity::window::Window;
use crate::stage::intensity::zscore::Zscore;
use crate::stage::label::{keep_largest::KeepLargest, merge::Merge, remap::Remap};
use crate::stage::mix::{copy_paste::CopyPaste, cutmix::CutMix, fourier_mix::FourierMix};
use crate::stage::modality::drop_modality::DropModality;
use crate::stage::quality::Quality;
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
    StageEntry::order::<Balance>(),
    StageEntry::stage::<Filter>(),
    StageEntry::stage::<Quality>(),
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
    StageEntry::stage::<Repeat>(),
    StageEntry::augment::<DropModality>(),
    StageEntry::augment::<Flip>(),
    StageEntry::augment::<Rotate90>(),
    StageEntry::augment::<Affine>(),
    StageEntry::augment::<Elastic>(),
    StageEntry::augment::<Misalign>(),
    StageEntry::stage::<Window>(),
    StageEntry::stage::<ClipPercentile>(),
    StageEntry::stage::<HistogramStandardize>(),
    StageEntry::stage::<Zscore>(),
    StageEntry::augment::<Brightness>(),
    StageEntry::augment::<ScaleIntensity>(),
    StageEntry::augment::<ShiftIntensity>(),
    StageEntry::augment::<Contrast>(),
    StageEntry::augment::<Gamma>(),
    StageEntry::augment::<LocalGamma>(),
    StageEntry::augment::<BiasField>(),
    StageEntry::augment::<GaussianNoise>(),
    StageEntry::augment::<RicianNoise>(),
    StageEntry::augment::<GaussianBlur>(),
    StageEntry::augment::<Median>(),
    StageEntry::augment::<Sharpen>(),
    StageEntry::augment::<LowResolution>(),
    StageEntry::augment::<BlankBoxes>(),
    StageEntry::augment::<Ghosting>(),
    StageEntry::augment::<Spike>(),
    StageEntry::augment::<Motion>(),
    StageEntry::mix::<CutMix>(),
    StageEntry::mix::<CopyPaste>(),
    StageEntry::mix::<FourierMix>(),
];

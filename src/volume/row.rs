//! One row of a pipeline: a subject, later one patch of it, later one view of a patch.

use super::deferred::materialise_together;
use super::{Interpolation, Role, Sites, Volume, VolumeError, Warning, WarningKind, Warp};
use glam::DVec3;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which part of a cohort a subject belongs to.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Trained on; labels are used where `labelled`.
    #[default]
    Train,
    /// Chooses the best checkpoint.
    Validation,
    /// Scored once, at the end.
    Test,
}

impl Split {
    /// The name used in tables and YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// A named volume that may be missing for this subject.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Modality name; for labels the modality they belong to, or empty for one label for all.
    pub name: String,
    /// The volume; `None` where this subject has none.
    pub volume: Option<Volume>,
}

/// A draw as it was made, enough to replay it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrawRecord {
    /// Stage path in the pipeline, such as `views.strong[1].gamma`.
    pub stage: String,
    /// The drawn values as JSON.
    pub draw: serde_json::Value,
}

/// A figure measured of an image on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// How many steps the row had gone through before.
    pub step: u32,
    /// The modality.
    pub modality: String,
    /// What was measured.
    pub name: String,
    /// The figure, finite.
    pub value: f64,
}

/// A row between two stages.
///
/// Images and labels keep the order of the source's declaration in every row, present or not.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// The subject's id, unique in the cohort.
    pub subject: String,
    /// Name of the cohort it comes from.
    pub cohort: String,
    /// Part of the cohort.
    pub split: Split,
    /// Pass over the data in which the row was made, from 0.
    pub epoch: u64,
    /// Sample of this subject in this pass, from 0; grows where a stage makes several rows of one.
    pub sample: u32,
    /// View name once views are made (`weak`, `strong`), else empty.
    pub view: String,
    /// One channel a modality.
    pub images: Vec<Channel>,
    /// One channel a label map; empty volumes for unlabelled subjects.
    pub labels: Vec<Channel>,
    /// What was drawn so far.
    pub draws: Vec<DrawRecord>,
    /// Paths of the stages applied so far.
    pub history: Vec<String>,
    /// What was measured so far.
    pub quality: Vec<Measure>,
    /// What was suspicious so far; see [`Row::warn`].
    pub warnings: Vec<Warning>,
    /// Voxels of the classes of the first label map, once they were looked for.
    pub sites: Option<Arc<Sites>>,
    /// Warps of the whole row made since its sites were found, first one first.
    pub warps: Vec<Arc<Warp>>,
}

impl Row {
    /// Adds a warning; whoever runs the stage or reads the source fills in where it arose.
    ///
    /// `modality` is the column it is about, `None` for the whole subject. A run keeps one warning
    /// for each subject, stage, modality and kind, so a stage may warn in every epoch.
    pub fn warn(&mut self, kind: WarningKind, modality: Option<&str>, message: impl Into<String>) {
        self.warnings.push(Warning {
            stage: String::new(),
            modality: modality.map(str::to_owned),
            kind,
            message: message.into(),
        });
    }

    /// Fills `stage` into the warnings that do not name one yet.
    pub fn attribute_warnings(&mut self, stage: &str) {
        let unattributed = self.warnings.iter_mut().filter(|w| w.stage.is_empty());
        unattributed.for_each(|w| stage.clone_into(&mut w.stage));
    }

    /// Bytes of all voxels held (shared buffers count in every row that holds them).
    pub fn bytes(&self) -> usize {
        self.volumes().map(|(_, v)| v.bytes()).sum()
    }

    /// All channels, images first.
    pub fn channels(&self) -> impl Iterator<Item = (Role, &Channel)> {
        let images = self.images.iter().map(|c| (Role::Image, c));
        images.chain(self.labels.iter().map(|c| (Role::Label, c)))
    }

    /// As [`Row::channels`], to change them.
    pub fn channels_mut(&mut self) -> impl Iterator<Item = (Role, &mut Channel)> {
        let images = self.images.iter_mut().map(|c| (Role::Image, c));
        images.chain(self.labels.iter_mut().map(|c| (Role::Label, c)))
    }

    /// All volumes present, images first.
    pub fn volumes(&self) -> impl Iterator<Item = (Role, &Volume)> {
        self.channels()
            .filter_map(|(role, c)| Some((role, c.volume.as_ref()?)))
    }

    /// All volumes present with the names of their columns, images first.
    pub fn columns(&self) -> impl Iterator<Item = (String, Role, &Volume)> {
        self.channels()
            .filter_map(|(role, c)| Some((column_name(role, &c.name), role, c.volume.as_ref()?)))
    }

    /// Compares bytes, shape and type of every volume once more.
    ///
    /// **Errors** as [`Volume::verify`], with the column.
    pub fn verify(&self) -> Result<(), VolumeError> {
        for (column, _, volume) in self.columns() {
            volume.verify().map_err(|e| VolumeError::Column {
                column,
                problem: e.to_string(),
            })?;
        }
        Ok(())
    }

    /// Checks every byte of the volumes that lie in files; the files know what was found.
    pub fn check_bytes(&self) {
        for (_, volume) in self.volumes() {
            volume.buffer();
        }
    }

    /// [`Row::check_bytes`] for the label maps alone.
    pub fn check_label_bytes(&self) {
        for (_, volume) in self.volumes().filter(|(role, _)| *role == Role::Label) {
            volume.buffer();
        }
    }

    /// The first image present, whose grid a stage may take as the row's.
    pub fn first_image(&self) -> Option<(&str, &Volume)> {
        self.images
            .iter()
            .find_map(|c| c.volume.as_ref().map(|v| (c.name.as_str(), v)))
    }

    /// Replaces every volume present.
    ///
    /// **Errors** the first error of `change`, with the column it arose in (`image.ct`, `label`).
    pub fn try_map_volumes<E>(
        mut self,
        mut change: impl FnMut(&str, Role, Volume) -> Result<Volume, E>,
    ) -> Result<Self, (String, E)> {
        for (role, channel) in self.channels_mut() {
            if let Some(volume) = channel.volume.take() {
                let changed = change(&channel.name, role, volume)
                    .map_err(|e| (column_name(role, &channel.name), e))?;
                channel.volume = Some(changed);
            }
        }
        Ok(self)
    }

    /// Changes every image present as f32 values `[z, y, x]`; labels stay.
    #[must_use]
    pub fn map_images(mut self, mut change: impl FnMut(&str, &mut [f32])) -> Self {
        for channel in &mut self.images {
            if let Some(volume) = channel.volume.take() {
                channel.volume = Some(volume.map_f32(|values| change(&channel.name, values)));
            }
        }
        self
    }

    /// Makes every deferred voxel; what the volumes were made from is let go of.
    #[must_use]
    pub fn materialised(mut self) -> Self {
        materialise_together(self.volumes().map(|(_, volume)| volume));
        for channel in self.images.iter_mut().chain(&mut self.labels) {
            channel.volume = channel.volume.take().map(Volume::materialised);
        }
        self
    }

    /// Addresses of the voxels that are computed already, for [`Row::apart_from`].
    pub fn addresses(&self) -> Vec<usize> {
        self.volumes().filter_map(|(_, v)| v.address()).collect()
    }

    /// The row without voxels at these addresses: they are copied, so that whoever writes to them
    /// changes this row alone.
    #[must_use]
    pub fn apart_from(mut self, addresses: &[usize]) -> Self {
        let is_shared = |v: &Volume| v.address().is_some_and(|at| addresses.contains(&at));
        for channel in self.images.iter_mut().chain(&mut self.labels) {
            channel.volume = channel
                .volume
                .take()
                .map(|volume| match is_shared(&volume) {
                    true => volume.copied(),
                    false => volume,
                });
        }
        self
    }

    /// The row with the voxels of its classes found; rows without labels stay as they are.
    #[must_use]
    pub fn with_sites(mut self) -> Self {
        if self.sites.is_none() {
            let labels = self.labels.iter().find_map(|c| c.volume.as_ref());
            self.sites = labels.map(|labels| Arc::new(Sites::of(labels)));
            self.warps.clear();
        }
        self
    }

    /// Forgets where classes were found, as others are there now; the next who asks looks anew.
    pub fn forget_sites(&mut self) {
        self.sites = None;
        // Sites that are found later are found where these warps have put them.
        self.warps.clear();
    }

    /// Voxel x, y, z of the row's grid in which a site is now, after all warps; the nearest one
    /// inside. `None` for a row without volumes.
    pub fn voxel_now(&self, sites: &Sites, site: [usize; 3]) -> Option<[usize; 3]> {
        let (_, volume) = self.volumes().next()?;
        let site = DVec3::from(site.map(|i| i as f64));
        let world = sites.grid().world_from_voxel().transform_point3(site);
        let world = (self.warps.iter()).fold(world, |point, warp| warp.moved_point(point));
        let at = volume.grid().voxel_from_world().transform_point3(world);
        let shape = volume.grid().shape_xyz();
        Some([0, 1, 2].map(|a| (at[a].round().max(0.0) as usize).min(shape[a] - 1)))
    }

    /// Moves the anatomy of every volume by one warp of the world; grids stay.
    #[must_use]
    pub fn warped(self, warp: &Arc<Warp>, reading: Interpolation) -> Self {
        let mut row = self
            .with_sites()
            .warped_channels(warp, reading, |_, _| true);
        row.warps.push(Arc::clone(warp));
        row
    }

    /// Moves the anatomy of the volumes that `pick` names by a warp of the world; grids stay.
    #[must_use]
    pub fn warped_channels(
        mut self,
        warp: &Warp,
        reading: Interpolation,
        pick: impl Fn(Role, &str) -> bool,
    ) -> Self {
        for (role, channel) in self.channels_mut() {
            if pick(role, &channel.name) {
                let warped = |volume: Volume| volume.warped(role, warp, reading);
                channel.volume = channel.volume.take().map(warped);
            }
        }
        self
    }

    /// The label map that belongs to a modality: its own, or the one for all.
    pub fn label_of(&self, modality: &str) -> Option<&Volume> {
        let own = self.labels.iter().find(|c| c.name == modality);
        own.or_else(|| self.labels.iter().find(|c| c.name.is_empty()))
            .and_then(|c| c.volume.as_ref())
    }

    /// Returns `true` if any label map is present.
    pub fn is_labelled(&self) -> bool {
        self.labels.iter().any(|c| c.volume.is_some())
    }
}

/// The column of a channel: `image.ct`, `label.ct`, `label`.
pub fn column_name(role: Role, name: &str) -> String {
    match (role, name) {
        (Role::Image, name) => format!("image.{name}"),
        (Role::Label, "") => "label".to_owned(),
        (Role::Label, name) => format!("label.{name}"),
    }
}

//! What is known of the rows on an edge before anything runs: the plan's schema.

use crate::volume::row::column_name;
use crate::volume::{Dtype, Role};
use serde::Serialize;

/// What is known of one volume column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChannelSchema {
    /// Modality; for labels the modality they belong to, or empty for one label for all.
    pub name: String,
    /// Image or label.
    pub role: Role,
    /// Stored type, where all subjects agree.
    pub dtype: Option<Dtype>,
    /// Voxels along x, y, z, where all subjects agree.
    pub shape_xyz: Option<[usize; 3]>,
    /// Voxel size in mm, where all subjects agree.
    pub spacing_mm: Option<[f64; 3]>,
    /// Orientation letters such as `RAS`, where all subjects agree.
    pub orientation: Option<String>,
}

impl ChannelSchema {
    /// The column's name: `image.ct`, `label`.
    pub fn column(&self) -> String {
        column_name(self.role, &self.name)
    }

    /// Bytes of the column in one row, where shape and type are known.
    pub fn bytes(&self) -> Option<usize> {
        Some(self.shape_xyz?.iter().product::<usize>() * self.dtype?.bytes())
    }
}

/// What is known of the rows on an edge.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EdgeSchema {
    /// Volume columns, images first, in the source's order.
    pub channels: Vec<ChannelSchema>,
    /// Rows made of one subject so far, where it does not depend on the subject.
    pub rows_per_subject: Option<u32>,
}

impl EdgeSchema {
    /// Image columns.
    pub fn images(&self) -> impl Iterator<Item = &ChannelSchema> {
        self.channels.iter().filter(|c| c.role == Role::Image)
    }

    /// Label columns.
    pub fn labels(&self) -> impl Iterator<Item = &ChannelSchema> {
        self.channels.iter().filter(|c| c.role == Role::Label)
    }

    /// The same schema with every column changed.
    #[must_use]
    pub fn map(&self, change: impl FnMut(&mut ChannelSchema)) -> Self {
        let mut next = self.clone();
        next.channels.iter_mut().for_each(change);
        next
    }

    /// The same schema with images as f32, as every intensity stage leaves them.
    #[must_use]
    pub fn with_f32_images(&self) -> Self {
        self.map(|c| {
            if c.role == Role::Image {
                c.dtype = Some(Dtype::F32);
            }
        })
    }

    /// The modalities a stage applies to: all, or those named.
    ///
    /// **Errors** name an unknown modality and the nearest one there is.
    pub fn check_modalities(&self, named: Option<&[String]>) -> Result<(), String> {
        let known: Vec<&str> = self.images().map(|c| c.name.as_str()).collect();
        match named
            .unwrap_or_default()
            .iter()
            .find(|n| !known.contains(&n.as_str()))
        {
            None => Ok(()),
            Some(name) => Err(format!(
                "no modality `{name}` arrives here; there is {}",
                known.join(", ")
            )),
        }
    }

    /// Bytes of one row, where every column's are known.
    pub fn bytes(&self) -> Option<usize> {
        self.channels.iter().map(ChannelSchema::bytes).sum()
    }
}

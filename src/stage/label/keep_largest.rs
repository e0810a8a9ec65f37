//! Keeps the largest piece of each class.

use super::{Classes, NOT_ANNOTATED, check_labels, classes, map_labels};
use crate::kernel::components::Connectivity;
use crate::kernel::largest::keep_largest;
use crate::stage::{EdgeSchema, Stage, StageError};
use crate::volume::{Row, Volume, Voxel};
use arrow::datatypes::ArrowNativeType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keeps the largest connected component of each class; voxels of the others become background.
///
/// **Law** two voxels of a class belong together when a path of neighbours of that class joins
/// them. Of components of one size, the first in memory order is the largest. Sizes are voxels.
/// The truth that predictions are scored against stays as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeepLargest {
    /// Classes to clean, each by itself; all but the background where left out.
    pub classes: Option<Vec<u16>>,
    /// Neighbours of a voxel: 6 share a face, 18 a face or an edge, 26 a face, an edge or a corner.
    pub connectivity: u32,
    /// Also keeps components with at least this share of the largest one's voxels, above 0 to 1; only the largest where left out.
    pub min_share: Option<f64>,
}

impl Default for KeepLargest {
    fn default() -> Self {
        Self {
            classes: None,
            connectivity: 26,
            min_share: None,
        }
    }
}

impl KeepLargest {
    fn is_cleaned(&self, class: u16) -> bool {
        match &self.classes {
            Some(named) => named.contains(&class),
            None => class != 0 && class != NOT_ANNOTATED,
        }
    }

    fn connectivity(&self) -> Result<Connectivity, String> {
        Connectivity::from_neighbours(self.connectivity).ok_or_else(|| {
            format!(
                "`connectivity` is {}; expected 6, 18 or 26 neighbours",
                self.connectivity
            )
        })
    }

    fn cleaned<T>(&self, values: &[T], labels: &Volume) -> Result<Volume, String>
    where
        T: Voxel + ArrowNativeType + Into<u16>,
    {
        let cleaned = keep_largest(
            values,
            labels.grid().shape_xyz(),
            self.connectivity()?,
            self.min_share,
            |class| self.is_cleaned(class.into()),
        );
        let Some(values) = cleaned else {
            return Ok(labels.clone());
        };
        Volume::from_vec(values, *labels.grid()).map_err(|e| e.to_string())
    }
}

impl Stage for KeepLargest {
    const NAME: &'static str = "keep_largest";
    const EXAMPLE: &'static str = "{ classes: [1], connectivity: 26, min_share: 0.1 }";

    fn check(&self, input: &EdgeSchema) -> Result<EdgeSchema, String> {
        self.connectivity()?;
        if let Some(share) = self.min_share
            && !(share > 0.0 && share <= 1.0)
        {
            return Err(format!(
                "`min_share` is {share}; expected a share of the largest component above 0 and up to 1"
            ));
        }
        if let Some(named) = &self.classes {
            if named.is_empty() {
                return Err("`classes` is empty; name at least one or leave it out".into());
            }
            if named.contains(&0) {
                return Err(
                    "`classes` names 0, the background, which removed voxels become; leave it out"
                        .into(),
                );
            }
        }
        check_labels(input)?;
        Ok(input.clone())
    }

    fn map(&self, row: Row) -> Result<Vec<Row>, StageError> {
        map_labels(row, |labels| match classes(&labels)? {
            Classes::Narrow(values) => self.cleaned(values, &labels),
            Classes::Wide(values) => self.cleaned(values, &labels),
        })
    }
}

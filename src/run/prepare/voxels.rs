//! Images whose stored voxels say nothing.

use crate::volume::dtype::Voxel;
use crate::volume::{Row, Volume, WarningKind};
use crate::with_voxel_type;

/// Warns of images without content: all voxels the same, or most of them not finite.
///
/// Integers are read up to the first voxel that differs from the first one; floats once.
pub(super) fn warn_of_images(row: &mut Row) {
    let images = row.images.iter();
    let found = images.filter_map(|image| {
        let (kind, problem) = suspicion(image.volume.as_ref()?)?;
        Some((image.name.clone(), kind, problem))
    });
    let found: Vec<_> = found.collect();
    for (name, kind, problem) in found {
        row.warn(kind, Some(&name), problem);
    }
}

/// What is suspicious about the voxels of an image.
fn suspicion(volume: &Volume) -> Option<(WarningKind, String)> {
    let count = volume.grid().voxel_count();
    if let Some(odd) = not_finite(volume)
        && 2 * odd > count
    {
        let problem = if odd == count {
            format!("all {count} voxels are NaN or infinite; look at the file")
        } else {
            format!(
                "{odd} of {count} voxels ({:.0} %) are NaN or infinite; look at the file",
                100.0 * odd as f64 / count as f64
            )
        };
        return Some((WarningKind::NotFinite, problem));
    }
    let value = constant(volume)?;
    let problem = format!("all {count} voxels are {value}; look at the file");
    Some((WarningKind::ConstantImage, problem))
}

/// Voxels that are NaN or infinite; `None` for integers.
fn not_finite(volume: &Volume) -> Option<usize> {
    if let Some(values) = volume.as_slice::<f32>() {
        return Some(values.iter().filter(|v| !v.is_finite()).count());
    }
    let values = volume.as_slice::<f64>()?;
    Some(values.iter().filter(|v| !v.is_finite()).count())
}

/// The value of all voxels that are finite, slope and intercept applied; `None` if two differ.
fn constant(volume: &Volume) -> Option<f64> {
    let stored = with_voxel_type!(volume.dtype(), T => {
        let mut finite = volume
            .as_slice::<T>()?
            .iter()
            .map(|v| v.to_f64())
            .filter(|v| v.is_finite());
        let first = finite.next()?;
        finite.all(|v| v == first).then_some(first)
    })?;
    let scaling = volume.scaling();
    Some(stored * scaling.slope + scaling.intercept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Dtype, Grid, Scaling};
    use arrow::buffer::Buffer;

    fn grid(n: usize) -> Grid {
        Grid::with_spacing([n, 1, 1], [1.0; 3]).unwrap()
    }

    fn of(values: &[f32]) -> Option<(WarningKind, String)> {
        suspicion(&Volume::from_vec(values.to_vec(), grid(values.len())).unwrap())
    }

    #[test]
    fn images_without_content_are_suspicious() {
        let (kind, problem) = of(&[0.0; 8]).unwrap();
        assert_eq!(kind, WarningKind::ConstantImage);
        assert_eq!(problem, "all 8 voxels are 0; look at the file");
        let (kind, problem) = of(&[f32::NAN; 8]).unwrap();
        assert_eq!(kind, WarningKind::NotFinite);
        assert_eq!(
            problem,
            "all 8 voxels are NaN or infinite; look at the file"
        );
        let (kind, problem) = of(&[f32::NAN, f32::INFINITY, f32::NAN, 1.0]).unwrap();
        assert_eq!(kind, WarningKind::NotFinite);
        assert!(problem.starts_with("3 of 4 voxels (75 %)"), "{problem}");
        // Half is not most; what is finite is constant.
        assert_eq!(of(&[f32::NAN, 1.0]).unwrap().0, WarningKind::ConstantImage);
        assert_eq!(of(&[f32::NAN, 1.0, 2.0, 3.0]), None);
        assert_eq!(of(&[0.0, 0.0, 0.0, 1e-30]), None);
    }

    #[test]
    fn a_constant_is_told_as_its_value() {
        let scaling = Scaling {
            slope: 2.0,
            intercept: -1024.0,
        };
        let stored = Buffer::from_vec(vec![12i16; 6]);
        let volume = Volume::try_new(stored, Dtype::I16, scaling, grid(6)).unwrap();
        let (kind, problem) = suspicion(&volume).unwrap();
        assert_eq!(kind, WarningKind::ConstantImage);
        assert_eq!(problem, "all 6 voxels are -1000; look at the file");
        let mixed = Volume::from_vec(vec![1u8, 1, 2], grid(3)).unwrap();
        assert_eq!(suspicion(&mixed), None);
    }
}

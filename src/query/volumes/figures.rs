//! Figures of volumes, by the kernels that runs use.

use crate::kernel::components::{self, Connectivity};
use crate::kernel::percentile::percentiles;
use crate::metric::confusion;
use crate::view::contour::IGNORED_CLASS;
use crate::volume::grid::SAME_GRID_TOLERANCE_MM;
use crate::volume::{Grid, Volume};

/// 1 where a label map holds a class, else 0.
fn mask(label: &Volume, class: u16) -> Vec<u8> {
    let class = f32::from(class);
    label
        .to_f32()
        .iter()
        .map(|v| u8::from(*v == class))
        .collect()
}

/// Dice of a class; `None` where it is in neither map.
///
/// **Errors** if the maps are on different grids.
pub(super) fn dice(a: &Volume, b: &Volume, class: u16) -> Result<Option<f64>, String> {
    same_grid(a.grid(), b.grid(), ["the first label map", "the second"])?;
    let ignored = f32::from(IGNORED_CLASS);
    let annotated: Vec<bool> = (a.to_f32().iter().zip(b.to_f32().iter()))
        .map(|(a, b)| *a != ignored && *b != ignored)
        .collect();
    let kept = |label: &Volume| -> Vec<u8> {
        let mask = mask(label, class).into_iter().zip(&annotated);
        mask.filter(|(_, kept)| **kept).map(|(v, _)| v).collect()
    };
    let counts = confusion(&kept(a), &kept(b), 2).map_err(|e| e.to_string())?;
    Ok(counts.dice(1))
}

/// Volume of a class, ml.
pub(super) fn volume_ml(label: &Volume, class: u16) -> f64 {
    let voxels = mask(label, class).iter().filter(|v| **v > 0).count();
    voxels as f64 * label.grid().voxel_volume_mm3() / 1000.0
}

/// Connected components of a class.
pub(super) fn components(label: &Volume, class: u16) -> i64 {
    let (mask, shape) = (mask(label, class), label.grid().shape_xyz());
    components::components(&mask, shape, Connectivity::Corners, |v| v > 0)
        .list
        .len() as i64
}

/// Mean of the finite voxels inside a class; `None` where there is none.
///
/// **Errors** if image and label are on different grids.
pub(super) fn mean_in(image: &Volume, label: &Volume, class: u16) -> Result<Option<f64>, String> {
    same_grid(image.grid(), label.grid(), ["the image", "the label map"])?;
    let mask = mask(label, class);
    let (mut sum, mut count) = (0.0, 0u64);
    for (value, inside) in image.to_f32().iter().zip(mask) {
        if inside > 0 && value.is_finite() {
            sum += f64::from(*value);
            count += 1;
        }
    }
    Ok((count > 0).then(|| sum / count as f64))
}

/// A percentile of the finite voxels; `None` where there is none.
///
/// **Errors** if `percent` is not in 0 to 100.
pub(super) fn percentile(image: &Volume, percent: f64) -> Result<Option<f64>, String> {
    if !(0.0..=100.0).contains(&percent) {
        return Err(format!("found {percent} per cent, expected 0 to 100"));
    }
    Ok(percentiles(&image.to_f32(), f32::is_finite, &[percent]).map(|values| values[0]))
}

fn same_grid(a: &Grid, b: &Grid, names: [&str; 2]) -> Result<(), String> {
    if a.is_same(b, SAME_GRID_TOLERANCE_MM) {
        return Ok(());
    }
    let [first, second] = names;
    let line = crate::view::panel::grid_line;
    Err(format!(
        "{first} has {}, {second} {}; they are on different grids",
        line(a),
        line(b)
    ))
}

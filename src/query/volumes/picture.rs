//! A slice as a picture.

use crate::view::panel::{letters, slice};
use crate::view::plane::{Plane, Section, Values};
use crate::view::window::Window;
use crate::volume::Volume;

/// Pixels of the longer side.
const SIDE: f64 = 512.0;

/// Draws a slice of an image with the contours of a label map as PNG: the patient's right on the left.
///
/// **Errors** if the axis or the index does not exist.
pub(super) fn slice_png(
    image: &Volume,
    label: Option<&Volume>,
    axis: &str,
    index: i64,
) -> Result<Vec<u8>, String> {
    let section = match axis {
        "axial" | "z" => Section::Axial,
        "coronal" | "y" => Section::Coronal,
        "sagittal" | "x" => Section::Sagittal,
        other => {
            return Err(format!(
                "found axis `{other}`, expected axial (z), coronal (y) or sagittal (x)"
            ));
        }
    };
    let (grid, world) = (image.grid(), section.across_world());
    let array = grid
        .axes()
        .iter()
        .position(|(w, _)| *w == world)
        .unwrap_or(world);
    let slices = grid.shape_xyz()[array];
    let at = usize::try_from(index).ok().filter(|at| *at < slices);
    let at = at.ok_or_else(|| {
        format!(
            "found slice {index}, expected 0 to {} ({} slices)",
            slices - 1,
            section.name()
        )
    })?;
    let mut through = [0; 3];
    through[array] = at;
    let plane = Plane::new(grid, &grid.axes(), section, through);
    let values = Values::of(image);
    let label = label.map(Values::of);
    let extent = plane.extent_mm();
    let scale = SIDE / extent[0].max(extent[1]);
    let labels: Vec<_> = label.iter().map(|label| (label, None)).collect();
    let window = Window::of(&values.values);
    let mut picture = slice(&plane, scale, (&values, &window), &labels).canvas;
    let size = [picture.width(), picture.height()];
    letters(&mut picture, &plane, [0, 0], size);
    let mut png = Vec::new();
    picture.write_png(&mut png).map_err(|e| e.to_string())?;
    Ok(png)
}

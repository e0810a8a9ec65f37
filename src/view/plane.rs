//! Which voxels a picture shows, and how they lie on the screen.

use crate::volume::{Grid, Volume};
use std::borrow::Cow;

/// How the axes of an array are oriented on the screen: for each array axis the world axis (0 = x) it is
/// for, and whether it grows with it. See [`Grid::axes`].
pub type Orientation = [(usize, bool); 3];

/// The anatomical planes, in the order in which they are shown; the world axis across each.
pub const PLANES: [Section; 3] = [Section::Axial, Section::Coronal, Section::Sagittal];

/// An anatomical plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// From the feet: x and y.
    Axial,
    /// From the front: x and z.
    Coronal,
    /// From the left side: y and z.
    Sagittal,
}

impl Section {
    /// The plane's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Axial => "axial",
            Self::Coronal => "coronal",
            Self::Sagittal => "sagittal",
        }
    }

    /// The world axis (0 = x) across the plane.
    pub fn across_world(self) -> usize {
        self.world_axes()[2]
    }

    /// World axes (0 = x) from left to right, from top to bottom, and across the plane.
    fn world_axes(self) -> [usize; 3] {
        match self {
            Self::Axial => [0, 1, 2],
            Self::Coronal => [0, 2, 1],
            Self::Sagittal => [1, 2, 0],
        }
    }

    fn across(axis: usize) -> Self {
        [Self::Sagittal, Self::Coronal, Self::Axial][axis]
    }
}

/// Values of a volume, read once for all its pictures.
pub struct Values<'a> {
    /// The values, x fastest.
    pub values: Cow<'a, [f32]>,
    /// Where they stand.
    pub grid: Grid,
}

impl<'a> Values<'a> {
    /// The values of a volume.
    pub fn of(volume: &'a Volume) -> Self {
        Self {
            values: volume.to_f32(),
            grid: *volume.grid(),
        }
    }
}

/// One slice of a grid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plane {
    /// What the slice shows of the patient.
    pub section: Section,
    /// Directions at the left, right, top and bottom edge, such as `R`, `L`, `A`, `P`.
    pub letters: [char; 4],
    /// Voxels from left to right and from top to bottom.
    pub size: [usize; 2],
    /// Voxel size from left to right and from top to bottom, mm.
    pub spacing_mm: [f64; 2],
    /// Position of the slice along its axis, from 0, and slices there are.
    pub slice: [usize; 2],
    grid: Grid,
    /// Array axes from left to right, from top to bottom and across, each with whether it is
    /// passed backwards.
    axes: [(usize, bool); 3],
}

impl Plane {
    /// The slice of a grid through a voxel.
    ///
    /// **Law** the axes are laid out by `orientation`, as radiologists do: the patient's right on the
    /// left, front at the top of axial and on the left of sagittal planes, head at the top. With
    /// [`Grid::axes`] of the grid itself the patient always is so. With those of an earlier grid
    /// the array is oriented as it would be there, so that mirrored and turned arrays look so; the letters
    /// tell the true directions either way.
    pub fn new(
        grid: &Grid,
        orientation: &Orientation,
        section: Section,
        through: [usize; 3],
    ) -> Self {
        // Every screen direction is one in which the world coordinate falls.
        let axes = section.world_axes().map(|world| {
            let axis = orientation.iter().position(|(w, _)| *w == world);
            let axis = axis.unwrap_or(world);
            (axis, orientation[axis].1)
        });
        let (shape, spacing, own) = (grid.shape_xyz(), grid.spacing_mm(), grid.axes());
        let ends = |(axis, backwards): (usize, bool)| -> [char; 2] {
            const LETTERS: [[char; 2]; 3] = [['L', 'R'], ['P', 'A'], ['I', 'S']];
            let (world, grows) = own[axis];
            let [low, high] = LETTERS[world];
            // Passed backwards, an axis that grows with the world begins at the world's high end.
            if grows == backwards {
                [high, low]
            } else {
                [low, high]
            }
        };
        let ([left, right], [top, bottom]) = (ends(axes[0]), ends(axes[1]));
        let across = axes[2].0;
        Self {
            section: Section::across(own[across].0),
            letters: [left, right, top, bottom],
            size: [shape[axes[0].0], shape[axes[1].0]],
            spacing_mm: [spacing[axes[0].0], spacing[axes[1].0]],
            slice: [through[across].min(shape[across] - 1), shape[across]],
            grid: *grid,
            axes,
        }
    }

    /// Width and height in mm.
    pub fn extent_mm(&self) -> [f64; 2] {
        [0, 1].map(|a| self.size[a] as f64 * self.spacing_mm[a])
    }

    /// Voxel x, y, z at a column and row of the slice.
    pub fn voxel(&self, column: usize, row: usize) -> [usize; 3] {
        let mut voxel = [0; 3];
        for (at, (axis, backwards)) in [column, row].into_iter().zip(self.axes) {
            let last = self.grid.shape_xyz()[axis] - 1;
            voxel[axis] = if backwards { last - at } else { at };
        }
        voxel[self.axes[2].0] = self.slice[0];
        voxel
    }

    /// Column and row of a voxel; `None` if the voxel is in another slice.
    pub fn place(&self, voxel: [usize; 3]) -> Option<[usize; 2]> {
        let at = |(axis, backwards): (usize, bool)| {
            let last = self.grid.shape_xyz()[axis] - 1;
            if backwards {
                last - voxel[axis]
            } else {
                voxel[axis]
            }
        };
        let is_here = voxel[self.axes[2].0] == self.slice[0];
        is_here.then(|| [at(self.axes[0]), at(self.axes[1])])
    }

    /// The slice's values row by row, from a volume on any grid: the nearest voxel of each position,
    /// NaN outside of it.
    pub fn read(&self, from: &Values<'_>) -> Vec<f32> {
        let shape = from.grid.shape_xyz();
        let value = |[x, y, z]: [usize; 3]| from.values[(z * shape[1] + y) * shape[0] + x];
        let places = (0..self.size[1]).flat_map(|row| (0..self.size[0]).map(move |c| (c, row)));
        if from.grid == self.grid {
            return places.map(|(c, row)| value(self.voxel(c, row))).collect();
        }
        let map = from.grid.voxel_from_world() * self.grid.world_from_voxel();
        let nearest = |at: f64, n: usize| {
            let at = at.round();
            (at >= 0.0 && at < n as f64).then_some(at as usize)
        };
        places
            .map(|(column, row)| {
                let here = self.voxel(column, row).map(|i| i as f64);
                let there = map.transform_point3(here.into()).to_array();
                let [x, y, z] = [0, 1, 2].map(|a| nearest(there[a], shape[a]));
                match (x, y, z) {
                    (Some(x), Some(y), Some(z)) => value([x, y, z]),
                    _ => f32::NAN,
                }
            })
            .collect()
    }
}

/// Which voxels of a slice each pixel of a picture covers.
///
/// Where a voxel covers several pixels it is drawn as a rectangle; where a pixel covers several
/// voxels it shows their mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    columns: Vec<[usize; 2]>,
    rows: Vec<[usize; 2]>,
    stride: usize,
}

impl Raster {
    /// A picture of a slice at `scale` pixels per mm, at least one pixel a side.
    pub fn new(plane: &Plane, scale: f64) -> Self {
        let [columns, rows] = [0, 1].map(|a| {
            let voxels = plane.size[a];
            let pixels = ((plane.extent_mm()[a] * scale).round() as usize).max(1);
            let first = |pixel: usize| pixel * voxels / pixels;
            let covered = |p| [first(p), first(p + 1).clamp(first(p) + 1, voxels)];
            (0..pixels).map(covered).collect::<Vec<[usize; 2]>>()
        });
        Self {
            columns,
            rows,
            stride: plane.size[0],
        }
    }

    /// Pixels from left to right and from top to bottom.
    pub fn size(&self) -> [usize; 2] {
        [self.columns.len(), self.rows.len()]
    }

    fn pixels<T>(&self, pixel: impl Fn(&mut dyn Iterator<Item = usize>) -> T) -> Vec<T> {
        let places = self
            .rows
            .iter()
            .flat_map(|row| self.columns.iter().map(move |c| (row, c)));
        places
            .map(|([top, bottom], [left, right])| {
                let mut voxels = (*top..*bottom)
                    .flat_map(|row| (*left..*right).map(move |column| row * self.stride + column));
                pixel(&mut voxels)
            })
            .collect()
    }

    /// Means of the finite voxels that each pixel covers; NaN where there is none.
    pub fn means(&self, values: &[f32]) -> Vec<f32> {
        self.pixels(|voxels| {
            let finite = voxels.map(|i| values[i]).filter(|v| v.is_finite());
            let (sum, n) = finite.fold((0.0, 0), |(sum, n), v| (sum + f64::from(v), n + 1));
            if n == 0 {
                f32::NAN
            } else {
                (sum / f64::from(n)) as f32
            }
        })
    }

    /// Class of each pixel: that of its first voxel that is no background, so that nothing small
    /// disappears; 0 where there is none.
    pub fn classes(&self, labels: &[f32]) -> Vec<u16> {
        self.pixels(|voxels| {
            let classes = voxels.map(|i| if labels[i] > 0.0 { labels[i] as u16 } else { 0 });
            let mut foreground = classes.filter(|c| *c > 0);
            foreground.next().unwrap_or(0)
        })
    }
}

#[cfg(test)]
mod tests;

//! The point through which planes are laid.

use crate::volume::{Grid, Row, Volume};
use glam::DVec3;
use std::collections::BTreeMap;

/// A point of the world in mm, and the class it is in; no class where there is no label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Focus {
    /// The point, mm.
    pub world: DVec3,
    /// The class at that point.
    pub class: Option<u16>,
}

impl Focus {
    /// The point for a row: in its largest class, or the centre of its first image. `None` for a row
    /// without volumes.
    pub fn of(row: &Row) -> Option<Self> {
        let labels = row.labels.iter().filter_map(|c| c.volume.as_ref());
        let inside = labels
            .filter_map(|label| Self::in_class(label, None))
            .next();
        inside.or_else(|| {
            let (_, volume) = row.volumes().next()?;
            let centre = volume.grid().shape_xyz().map(|n| (n - 1) as f64 / 2.0);
            let world = volume.grid().world_from_voxel();
            Some(Self {
                world: world.transform_point3(centre.into()),
                class: None,
            })
        })
    }

    /// The point for a row that was made of another one with this point: the same one while it is
    /// in the row and in a class as before, else one in the same class, else [`Focus::of`].
    pub fn kept(self, row: &Row) -> Option<Self> {
        let inside = row.volumes().any(|(_, v)| is_inside(v.grid(), self.world));
        let label = row.labels.iter().find_map(|c| c.volume.as_ref());
        let here = label.and_then(|label| class_at(label, self.world));
        match (self.class, label) {
            (None, _) | (_, None) if inside => Some(self),
            (Some(_), Some(_)) if inside && here.is_some() => Some(self),
            (class, Some(label)) => Self::in_class(label, class).or_else(|| Self::of(row)),
            (_, None) => Self::of(row),
        }
    }

    /// The voxel of a class nearest to the class's centre of mass; of the largest foreground class
    /// where `class` is `None` or has no voxel. `None` for a label map without foreground.
    pub fn in_class(label: &Volume, class: Option<u16>) -> Option<Self> {
        let values = label.to_f32();
        let shape = label.grid().shape_xyz();
        let voxel = |i: usize| {
            [
                i % shape[0],
                i / shape[0] % shape[1],
                i / (shape[0] * shape[1]),
            ]
        };
        let place = |i: usize| DVec3::from(voxel(i).map(|v| v as f64));
        let mut sums: BTreeMap<u16, (usize, DVec3)> = BTreeMap::new();
        for (i, class) in values
            .iter()
            .enumerate()
            .filter_map(|(i, v)| Some((i, foreground(*v)?)))
        {
            let (count, sum) = sums.entry(class).or_default();
            (*count, *sum) = (*count + 1, *sum + place(i));
        }
        let largest = sums
            .iter()
            .max_by_key(|(class, (n, _))| (*n, std::cmp::Reverse(**class)));
        let wanted = class.filter(|c| sums.contains_key(c));
        let class = wanted.or(largest.map(|(class, _)| *class))?;
        let (count, sum) = sums.get(&class)?;
        let centre = *sum / *count as f64;
        let spacing = DVec3::from(label.grid().spacing_mm());
        let members = (0..values.len()).filter(|i| foreground(values[*i]) == Some(class));
        let distance = |i: &usize| ((place(*i) - centre) * spacing).length_squared();
        let nearest = members.min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        let world = label.grid().world_from_voxel();
        Some(Self {
            world: world.transform_point3(place(nearest)),
            class: Some(class),
        })
    }

    /// The voxel of a grid nearest to the point, and inside.
    pub fn voxel(&self, grid: &Grid) -> [usize; 3] {
        let at = grid.voxel_from_world().transform_point3(self.world);
        let shape = grid.shape_xyz();
        [0, 1, 2].map(|a| (at[a].round().max(0.0) as usize).min(shape[a] - 1))
    }
}

/// The class of a stored value; `None` for background and for unannotated voxels.
fn foreground(value: f32) -> Option<u16> {
    let class = if value > 0.0 { value as u16 } else { 0 };
    (class > 0 && class != super::contour::IGNORED_CLASS).then_some(class)
}

fn is_inside(grid: &Grid, world: DVec3) -> bool {
    let at = grid.voxel_from_world().transform_point3(world);
    (0..3).all(|a| at[a] > -0.5 && at[a] < grid.shape_xyz()[a] as f64 - 0.5)
}

fn class_at(label: &Volume, world: DVec3) -> Option<u16> {
    if !is_inside(label.grid(), world) {
        return None;
    }
    let focus = Focus { world, class: None };
    let ([x, y, z], [nx, ny, _]) = (focus.voxel(label.grid()), label.grid().shape_xyz());
    foreground(label.to_f32()[(z * ny + y) * nx + x])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Channel;

    fn row(label: Option<Vec<u8>>) -> Row {
        let grid = Grid::with_spacing([5, 1, 2], [2.0, 1.0, 1.0]).unwrap();
        let channel = |volume| Channel {
            name: String::new(),
            volume,
        };
        Row {
            images: vec![channel(Some(
                Volume::from_vec(vec![0.0f32; 10], grid).unwrap(),
            ))],
            labels: vec![channel(label.map(|l| Volume::from_vec(l, grid).unwrap()))],
            ..Row::default()
        }
    }

    #[test]
    fn the_point_lies_in_the_largest_class() {
        // Class 3 has its centre of mass between its voxels; 255 is no class.
        let focus = Focus::of(&row(Some(vec![3, 3, 0, 3, 3, 1, 1, 255, 255, 255]))).unwrap();
        assert_eq!(
            (focus.world, focus.class),
            (DVec3::new(2.0, 0.0, 0.0), Some(3))
        );
        let unlabelled = Focus::of(&row(None)).unwrap();
        assert_eq!(
            (unlabelled.world, unlabelled.class),
            (DVec3::new(4.0, 0.0, 0.5), None)
        );
        assert_eq!(Focus::of(&Row::default()), None);
    }

    #[test]
    fn the_point_stays_while_it_can() {
        let first = Focus::of(&row(Some(vec![1, 1, 1, 2, 0, 0, 0, 0, 0, 0]))).unwrap();
        assert_eq!(first.world.x, 2.0);
        let still = first
            .kept(&row(Some(vec![0, 2, 2, 2, 1, 0, 0, 0, 0, 0])))
            .unwrap();
        assert_eq!(still, first);
        let moved = first
            .kept(&row(Some(vec![0, 0, 2, 2, 1, 0, 0, 0, 0, 0])))
            .unwrap();
        assert_eq!((moved.world.x, moved.class), (8.0, Some(1)));
        assert_eq!(first.kept(&row(None)).unwrap(), first);
        let outside = Focus {
            world: DVec3::new(90.0, 0.0, 0.0),
            class: None,
        };
        assert_eq!(outside.kept(&row(None)), Focus::of(&row(None)));
    }
}

//! Boxes of a volume, drawn as shares of its edges.

use crate::draw::SampleRng;

/// A box of voxels: first voxel and voxels along each axis, in whatever order the volume's axes
/// were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoxelBox {
    /// First voxel along each axis.
    pub first: [usize; 3],
    /// Voxels along each axis.
    pub size: [usize; 3],
}

impl VoxelBox {
    /// A box wholly inside a volume of `shape`.
    ///
    /// **Law** axis by axis, in the order of `shape`: `m = clamp(round(e n), 1, n)` voxels with `e`
    /// uniform between the two ends of `edge`, then the first voxel uniform over the `n - m + 1`
    /// places there are. An axis without voxels has none.
    pub fn draw(rng: &mut SampleRng, edge: [f64; 2], shape: [usize; 3]) -> Self {
        let mut drawn = Self {
            first: [0; 3],
            size: [0; 3],
        };
        for (axis, n) in shape.into_iter().enumerate() {
            let size = (rng.uniform(edge[0], edge[1]) * n as f64).round() as usize;
            drawn.size[axis] = size.clamp(n.min(1), n);
            drawn.first[axis] = rng.below(n - drawn.size[axis] + 1);
        }
        drawn
    }

    /// Calls `each` with the range of every line of the box along the last axis of `shape`, in
    /// ascending order; the box must lie inside.
    pub fn lines(&self, shape: [usize; 3], mut each: impl FnMut(std::ops::Range<usize>)) {
        let ([a, b, c], [na, nb, nc]) = (self.first, self.size);
        for i in a..a + na {
            for j in b..b + nb {
                let line = (i * shape[1] + j) * shape[2] + c;
                each(line..line + nc);
            }
        }
    }

    /// Returns `true` if the box is inside a volume of `shape`.
    pub fn fits(&self, shape: [usize; 3]) -> bool {
        (0..3).all(|a| {
            let end = self.first[a].checked_add(self.size[a]);
            end.is_some_and(|end| end <= shape[a])
        })
    }
}

/// Refuses edges that are no two shares above 0 and up to 1, the smaller first.
///
/// **Errors** name what was found, without the parameter's name.
pub fn check_edges([low, high]: [f64; 2]) -> Result<(), String> {
    if 0.0 < low && low <= high && high <= 1.0 {
        return Ok(());
    }
    Err(format!(
        "is [{low}, {high}], expected two shares above 0 and up to 1, the smaller first"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::DrawKey;

    #[test]
    fn boxes_lie_inside_and_reach_every_place() {
        let mut rng = DrawKey {
            seed: 1,
            epoch: 0,
            subject: "a",
            sample: 0,
        }
        .rng("box");
        let shape = [4, 6, 9];
        let mut covered = vec![0usize; 4 * 6 * 9];
        for _ in 0..400 {
            let drawn = VoxelBox::draw(&mut rng, [0.25, 0.75], shape);
            assert!(drawn.fits(shape));
            for (size, (least, most)) in drawn.size.iter().zip([(1, 3), (2, 5), (2, 7)]) {
                assert!((least..=most).contains(size), "{drawn:?}");
            }
            let mut voxels = 0;
            drawn.lines(shape, |line| {
                voxels += line.len();
                line.for_each(|i| covered[i] += 1);
            });
            assert_eq!(voxels, drawn.size.iter().product::<usize>());
        }
        assert!(covered.iter().all(|n| *n > 0));
        assert!(check_edges([0.5, 0.2]).is_err() && check_edges([0.0, 0.2]).is_err());
    }
}

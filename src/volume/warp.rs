//! Movements of anatomy in the world, in mm, independent of any grid.

use crate::kernel::warp::Bend;
use glam::{DAffine3, DVec3};

/// Rounds after which the search for a moved point is given up.
const MOST_ROUNDS: usize = 200;
/// Distance in mm below which the search for a moved point has ended.
const CLOSE_MM: f64 = 1e-6;

/// Where the anatomy of a volume comes from: a world point after the step to the one before it.
///
/// **Units** mm, RAS+, both sides.
#[derive(Debug, Clone, PartialEq)]
pub enum Warp {
    /// An invertible affine map.
    Affine(DAffine3),
    /// A displacement: its input coordinates are world points, its vectors are in mm.
    Elastic(Bend),
}

impl Warp {
    /// The world point before the step that moves to `world`.
    pub fn source_point(&self, world: DVec3) -> DVec3 {
        match self {
            Self::Affine(map) => map.transform_point3(world),
            Self::Elastic(bend) => world + bend.displacement_at(world),
        }
    }

    /// The world point after the step at which `source` is: the inverse of [`Warp::source_point`].
    ///
    /// **Law** affine maps are inverted exactly. A displacement `u` is inverted by repeating
    /// `p = source - u(p)`, which nears the point while `u` stretches nothing to twice its length;
    /// it ends when a round moves by less than 1e-6 mm. Where rounds do not come closer (stretched
    /// further, or folded), the point whose source was nearest is taken.
    pub fn moved_point(&self, source: DVec3) -> DVec3 {
        match self {
            Self::Affine(map) => map.inverse().transform_point3(source),
            Self::Elastic(bend) => {
                let (mut best, mut least) = (source, f64::INFINITY);
                let mut point = source;
                for _ in 0..MOST_ROUNDS {
                    let next = source - bend.displacement_at(point);
                    // The distance by which the source of `point` is missed.
                    let missed = next.distance(point);
                    if missed < least {
                        (best, least) = (point, missed);
                    }
                    if missed < CLOSE_MM {
                        break;
                    }
                    // Half steps also come closer where whole ones would swing.
                    point = if missed <= least {
                        next
                    } else {
                        0.5 * (point + next)
                    };
                }
                best
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::warp::random_vectors;
    use proptest::prelude::*;

    /// Control points 20 mm apart that move by up to `size_mm` along each axis.
    fn elastic(size_mm: f32, seed: u64) -> Warp {
        let shape_xyz = [7, 8, 6];
        let vectors = random_vectors(shape_xyz.iter().product(), seed);
        Warp::Elastic(Bend {
            control_from_input: DAffine3::from_scale(DVec3::splat(0.05))
                * DAffine3::from_rotation_z(0.3)
                * DAffine3::from_translation(DVec3::splat(25.0)),
            shape_xyz,
            displacement: vectors.iter().map(|v| v.map(|c| c * size_mm)).collect(),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn moved_points_come_from_their_source(
            seed in 0u64..50,
            point in prop::array::uniform3(-60.0..160.0f64),
        ) {
            let point = DVec3::from(point);
            let turn = Warp::Affine(DAffine3::from_rotation_x(0.4) * DAffine3::from_scale(DVec3::splat(1.3)));
            // 8 mm of 20 is the most that certainly folds nothing.
            for warp in [turn, elastic(3.0, seed), elastic(8.0, seed)] {
                let missed = warp.source_point(warp.moved_point(point)).distance(point);
                prop_assert!(missed < 2e-6, "{missed} mm");
            }
        }
    }

    #[test]
    fn a_displacement_is_where_anatomy_comes_from() {
        let Warp::Elastic(mut bend) = elastic(0.0, 1) else {
            unreachable!()
        };
        bend.displacement = vec![[1.0, -2.0, 0.5]; 7 * 8 * 6].into();
        let warp = Warp::Elastic(bend);
        let found = warp.source_point(DVec3::new(30.0, 40.0, 50.0));
        assert!(found.distance(DVec3::new(31.0, 38.0, 50.5)) < 1e-12);
        assert!(
            warp.moved_point(found)
                .distance(DVec3::new(30.0, 40.0, 50.0))
                < 2e-6
        );
    }
}

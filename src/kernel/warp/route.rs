//! Chains of maps brought into the form that rows are walked by.

use super::bend::{Bend, Step};
use super::spline::Control;
use glam::{DAffine3, DMat3, DVec3};

/// Off-axis share of a step that still counts as along one axis: a thousand voxels drift 1e-6.
const ALIGNED: f64 = 1e-9;

/// From output voxel to source voxel: affines and bends in their order, prepared for walking.
///
/// Neighbouring affines are one, and an affine after a bend is worked into the bend's vectors, so
/// that each bend costs one sum of taps a voxel and an affine costs nothing beside it. A bend
/// without any displacement is left out.
#[derive(Debug, Clone)]
pub struct Route {
    steps: Vec<Step>,
    /// All affines of the route together, bends left out: the scale of the border law.
    pub(super) affine: DAffine3,
    pub(super) legs: Vec<Leg>,
}

/// A bend and the affines around it: `next = next_from_here(p) + sum of taps at control_from_here(p)`.
///
/// For the first leg `p` is the output voxel's index, after the last leg it is the source's.
#[derive(Debug, Clone)]
pub(super) struct Leg {
    pub(super) next_from_here: DAffine3,
    pub(super) control_from_here: DAffine3,
    pub(super) control: Control,
    /// Whether each control axis follows the axis of the same place.
    pub(super) aligned: bool,
}

impl Leg {
    fn new(before: &DAffine3, bend: &Bend, after: &DAffine3) -> Self {
        let control = bend.control_from_input * *before;
        let axes = followed_axes(&control.matrix3);
        // Rows of the map in the order in which the control points will be stored.
        let order = axes.unwrap_or([0, 1, 2]);
        let mut control_from_here = control;
        for (place, axis) in order.into_iter().enumerate() {
            control_from_here.translation[place] = control.translation[axis];
            for column in 0..3 {
                control_from_here.matrix3.col_mut(column)[place] =
                    control.matrix3.col(column)[axis];
            }
        }
        Self {
            next_from_here: *after * *before,
            control_from_here,
            control: Control::new(bend, &after.matrix3, order),
            aligned: axes.is_some(),
        }
    }
}

/// For x, y, z the control axis each moves along, where each moves along just one.
fn followed_axes(map: &DMat3) -> Option<[usize; 3]> {
    let mut axes = [0; 3];
    for (place, axis) in axes.iter_mut().enumerate() {
        let column = map.col(place).abs();
        *axis = column.max_position();
        let off = (0..3).filter(|a| a != axis).map(|a| column[a]);
        if off.fold(0.0, f64::max) > ALIGNED * column[*axis] {
            return None;
        }
    }
    let mut sorted = axes;
    sorted.sort_unstable();
    (sorted == [0, 1, 2]).then_some(axes)
}

impl Route {
    /// A route of the steps, the first applied to the output voxel's index x, y, z.
    ///
    /// **Panics** when a bend has an empty axis or fewer displacements than its shape says.
    pub fn new(steps: Vec<Step>) -> Self {
        // Alternating: affine, bend, affine, ..., affine.
        let mut affines = vec![DAffine3::IDENTITY];
        let mut bends: Vec<Bend> = Vec::new();
        for step in steps {
            match step {
                Step::Affine(map) => {
                    let last = affines.last_mut().expect("there is one from the start");
                    *last = map * *last;
                }
                Step::Bend(bend) if bend.displacement.iter().all(|v| *v == [0.0; 3]) => {}
                Step::Bend(bend) => {
                    bends.push(bend);
                    affines.push(DAffine3::IDENTITY);
                }
            }
        }
        let identity = DAffine3::IDENTITY;
        let legs = bends.iter().enumerate().map(|(i, bend)| {
            // Later bends begin where the leg before ended.
            let before = if i == 0 { &affines[0] } else { &identity };
            Leg::new(before, bend, &affines[i + 1])
        });
        let legs = legs.collect();
        let affine = affines.iter().fold(identity, |map, next| *next * map);
        let mut steps = vec![Step::Affine(affines[0])];
        for (bend, after) in bends.into_iter().zip(&affines[1..]) {
            steps.push(Step::Bend(bend));
            steps.push(Step::Affine(*after));
        }
        Self {
            steps,
            affine,
            legs,
        }
    }

    /// The route as one affine, where it has no bend.
    pub fn as_affine(&self) -> Option<DAffine3> {
        self.legs.is_empty().then_some(self.affine)
    }

    /// The source position of an output position, step by step in f64.
    pub fn point(&self, point: DVec3) -> DVec3 {
        self.steps.iter().fold(point, |p, step| match step {
            Step::Affine(map) => map.transform_point3(p),
            Step::Bend(bend) => p + bend.displacement_at(p),
        })
    }
}

/// The source voxels that an output of `shape_xyz` reads along these steps, and two more on every side: first
/// voxel and number along x, y, z.
///
/// **Law** the box of the output's corners, through affines by their corners; a bend widens it by
/// its control points' largest displacement, which a B-spline never leaves.
pub fn source_box(
    steps: &[Step],
    source_shape_xyz: [usize; 3],
    shape_xyz: [usize; 3],
) -> ([usize; 3], [usize; 3]) {
    let last = shape_xyz.map(|n| n as f64 - 1.0);
    let (mut low, mut high) = (DVec3::ZERO, DVec3::from(last));
    for step in steps {
        match step {
            Step::Affine(map) => {
                let corner = |i: usize| {
                    let pick = |a: usize| if i >> a & 1 == 1 { high[a] } else { low[a] };
                    map.transform_point3(DVec3::new(pick(0), pick(1), pick(2)))
                };
                let corners = [0, 1, 2, 3, 4, 5, 6, 7].map(corner);
                low = corners.into_iter().fold(corners[0], DVec3::min);
                high = corners.into_iter().fold(corners[0], DVec3::max);
            }
            Step::Bend(bend) => {
                let most = (bend.displacement.iter()).fold(DVec3::ZERO, |most, d| {
                    most.max(DVec3::from(d.map(|c| f64::from(c.abs()))))
                });
                (low, high) = (low - most, high + most);
            }
        }
    }
    let mut first = [0; 3];
    let mut count = [0; 3];
    for a in 0..3 {
        let end = source_shape_xyz[a] as f64;
        // Of a box beside the source its nearest layer is left.
        let from = (low[a].floor() - 2.0).clamp(0.0, end - 1.0);
        let to = (high[a].ceil() + 3.0).clamp(from + 1.0, end);
        (first[a], count[a]) = (from as usize, (to - from) as usize);
    }
    (first, count)
}

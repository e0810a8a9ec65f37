//! Sampling voxel by voxel, where source axes follow no output axis.

use super::super::super::gaussian::smooth;
use super::super::tap::reach;
use super::filter::{CUT, Filter};
use super::planes::Vote;
use super::stencil::{Stencil, base};
use glam::{DAffine3, DVec3};

/// Edge of the output blocks that are voted on together, in voxels.
const BLOCK: usize = 32;
/// Voxels that an interpolation reaches beyond its position, at most.
const REACH: f64 = 2.0;

fn stencils(
    at: DVec3,
    shape: [usize; 3],
    reach: [f64; 3],
    filter: &Filter,
) -> Option<[Stencil; 3]> {
    let along = |axis: usize| base(at[axis], shape[axis], reach[axis], filter, axis);
    Some([along(0)?, along(1)?, along(2)?])
}

/// The weighted sum over a part of the source that begins at `origin`, of differences from the voxel of the largest
/// weight: voxels of one value keep it to the last bit.
fn sum(values: &[f32], [nx, ny, _]: [usize; 3], origin: [usize; 3], at: &[Stencil; 3]) -> f32 {
    let [x, y, z] = at;
    let value = |i: usize, j: usize, k: usize| {
        values[((k - origin[2]) * ny + j - origin[1]) * nx + i - origin[0]]
    };
    let centre = value(x.centre, y.centre, z.centre);
    let mut sum = 0.0;
    for (k, wz) in z.within(0, usize::MAX) {
        for (j, wy) in y.within(0, usize::MAX) {
            for (i, wx) in x.within(0, usize::MAX) {
                sum += wz * wy * wx * (value(i, j, k) - centre);
            }
        }
    }
    centre + sum
}

/// Values by interpolation alone.
pub(super) fn interpolate(
    source: &[f32],
    source_shape: [usize; 3],
    map: &DAffine3,
    shape: [usize; 3],
    filter: &Filter,
    out: &mut [f32],
) {
    let reach = reach(map);
    for (i, out) in out.iter_mut().enumerate() {
        let at = [
            i % shape[0],
            i / shape[0] % shape[1],
            i / shape[0] / shape[1],
        ];
        let at = map.transform_point3(DVec3::from(at.map(|i| i as f64)));
        if let Some(at) = stencils(at, source_shape, reach, filter) {
            *out = sum(source, source_shape, [0; 3], &at);
        }
    }
}

/// Class numbers, block by block: the indicator of one class at a time is smoothed over the part
/// of the source that the block reads.
pub(super) fn vote<T: bytemuck::Pod + PartialOrd>(
    source: &[T],
    source_shape: [usize; 3],
    map: &DAffine3,
    shape: [usize; 3],
    filter: &Filter,
    out: &mut [T],
) {
    let blocks = shape.map(|n| (0..n).step_by(BLOCK));
    for z in blocks[2].clone() {
        for y in blocks[1].clone() {
            for x in blocks[0].clone() {
                let first = [x, y, z];
                let end = [0, 1, 2].map(|a| (first[a] + BLOCK).min(shape[a]));
                vote_block(source, source_shape, map, shape, filter, [first, end], out);
            }
        }
    }
}

/// The part of the source that a block of the output reads, from a first voxel to before an end.
fn part(
    map: &DAffine3,
    source_shape: [usize; 3],
    sigma_xyz: [f64; 3],
    [first, end]: [[usize; 3]; 2],
) -> [[usize; 3]; 2] {
    let (mut least, mut most) = (DVec3::INFINITY, DVec3::NEG_INFINITY);
    for corner in 0..8 {
        let at = [0, 1, 2].map(|a| match corner >> a & 1 {
            0 => first[a] as f64,
            _ => end[a] as f64 - 1.0,
        });
        let at = map.transform_point3(DVec3::from(at));
        (least, most) = (least.min(at), most.max(at));
    }
    let margin = sigma_xyz.map(|sigma| (CUT * sigma).ceil() + REACH);
    let last = source_shape.map(|n| n as f64 - 1.0);
    [
        [0, 1, 2].map(|a| (least[a].floor() - margin[a]).clamp(0.0, last[a]) as usize),
        [0, 1, 2].map(|a| (most[a].ceil() + margin[a]).clamp(0.0, last[a]) as usize + 1),
    ]
}

fn vote_block<T: bytemuck::Pod + PartialOrd>(
    source: &[T],
    source_shape: [usize; 3],
    map: &DAffine3,
    shape: [usize; 3],
    filter: &Filter,
    block: [[usize; 3]; 2],
    out: &mut [T],
) {
    let reach = reach(map);
    let [origin, part_end] = part(map, source_shape, filter.sigma_xyz, block);
    let part_shape = [0, 1, 2].map(|a| part_end[a] - origin[a]);
    let mut stored = Vec::with_capacity(part_shape.iter().product());
    for z in origin[2]..part_end[2] {
        for y in origin[1]..part_end[1] {
            let row = (z * source_shape[1] + y) * source_shape[0];
            stored.extend_from_slice(&source[row + origin[0]..row + part_end[0]]);
        }
    }
    let mut classes: Vec<T> = Vec::new();
    for run in stored.chunk_by(|a, b| a == b) {
        if !classes.contains(&run[0]) {
            classes.push(run[0]);
        }
    }
    classes.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let mut positions: Vec<(usize, DVec3, Vote<T>)> = Vec::new();
    let ([first, end], nearest) = (block, filter.nearest());
    for z in first[2]..end[2] {
        for y in first[1]..end[1] {
            for x in first[0]..end[0] {
                let at = map.transform_point3(DVec3::from([x, y, z].map(|i| i as f64)));
                let near = stencils(at, source_shape, reach, &nearest);
                if let Some(near) = near.map(|near| near.map(|stencil| stencil.low)) {
                    let class =
                        source[(near[2] * source_shape[1] + near[1]) * source_shape[0] + near[0]];
                    let to = (z * shape[1] + y) * shape[0] + x;
                    positions.push((to, at, Vote::new(class)));
                }
            }
        }
    }
    for class in classes.iter().filter(|_| classes.len() > 1) {
        let mut shares: Vec<f32> = stored.iter().map(|v| f32::from(v == class)).collect();
        smooth(&mut shares, part_shape, filter.sigma_xyz, CUT);
        for (_, at, vote) in &mut positions {
            if let Some(at) = stencils(*at, source_shape, reach, filter) {
                vote.count(*class, sum(&shares, part_shape, origin, &at));
            }
        }
    }
    for (to, _, vote) in positions {
        out[to] = vote.winner();
    }
}

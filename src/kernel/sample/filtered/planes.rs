//! Sampling plane by plane, where every source axis follows one output axis.

use super::super::super::simd::vectorised;
use super::stencil::Stencil;

/// Shares this close are equal.
pub(super) const TIE: f32 = 1e-6;

type Stencils = [Vec<Option<Stencil>>; 3];

#[inline(always)]
fn add(sum: &mut [f32], values: &[f32], weight: f32) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += weight * value;
    }
}

/// Values: planes are summed along z, their rows along y, and those along x. What is summed are differences from
/// the voxel of the largest weight, so that voxels of one value keep it to the last bit.
pub(super) fn sum_planes(
    source: &[f32],
    [nx, ny, _]: [usize; 3],
    [along_x, along_y, along_z]: &Stencils,
    shape: [usize; 3],
    out: &mut [f32],
) {
    let (mut plane, mut row) = (vec![0f32; nx * ny], vec![0f32; nx]);
    vectorised(
        #[inline(always)]
        || {
            for (z, stencil) in along_z.iter().enumerate() {
                let Some(stencil) = stencil else { continue };
                let of = |i: usize| &source[i * nx * ny..(i + 1) * nx * ny];
                sum_differences(&mut plane, stencil, of);
                for (y, stencil) in along_y.iter().enumerate() {
                    let Some(stencil) = stencil else { continue };
                    sum_differences(&mut row, stencil, |i| &plane[i * nx..(i + 1) * nx]);
                    let first = (z * shape[1] + y) * shape[0];
                    let out = &mut out[first..first + shape[0]];
                    for (out, stencil) in out.iter_mut().zip(along_x) {
                        if let Some(stencil) = stencil {
                            *out = dot(stencil, &row);
                        }
                    }
                }
            }
        },
    );
}

#[inline(always)]
fn sum_differences<'a>(sum: &mut [f32], stencil: &Stencil, of: impl Fn(usize) -> &'a [f32]) {
    let centre = of(stencil.centre);
    sum.copy_from_slice(centre);
    for (i, weight) in stencil.within(0, usize::MAX) {
        // A weight of 0 must not count, not even as 0 · infinity; the centre's difference is 0.
        if weight != 0.0 && i != stencil.centre {
            for ((sum, value), centre) in sum.iter_mut().zip(of(i)).zip(centre) {
                *sum += weight * (value - centre);
            }
        }
    }
}

#[inline(always)]
fn dot(stencil: &Stencil, row: &[f32]) -> f32 {
    let centre = row[stencil.centre];
    let weights = stencil.within(0, usize::MAX);
    weights.fold(centre, |sum, (i, weight)| {
        if weight == 0.0 || i == stencil.centre {
            sum
        } else {
            sum + weight * (row[i] - centre)
        }
    })
}

/// A class of a plane, and the box of x and y that holds its voxels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen<T> {
    class: T,
    x: [usize; 2],
    y: [usize; 2],
}

impl<T: Copy + PartialOrd> Seen<T> {
    fn join(classes: &mut Vec<Self>, other: Self) {
        let wider = |a: [usize; 2], b: [usize; 2]| [a[0].min(b[0]), a[1].max(b[1])];
        match classes.iter_mut().find(|seen| seen.class == other.class) {
            Some(seen) => (seen.x, seen.y) = (wider(seen.x, other.x), wider(seen.y, other.y)),
            None => classes.push(other),
        }
    }

    /// The classes of a plane of rows of `nx` voxels.
    fn of(plane: &[T], nx: usize) -> Vec<Self> {
        let mut classes: Vec<Self> = Vec::new();
        for (y, row) in plane.chunks_exact(nx).enumerate() {
            let mut begin = 0;
            for run in row.chunk_by(|a, b| a == b) {
                let x = [begin, begin + run.len()];
                begin = x[1];
                let seen = Self {
                    class: run[0],
                    x,
                    y: [y, y + 1],
                };
                Self::join(&mut classes, seen);
            }
        }
        classes
    }
}

/// The class with the largest share so far, and the share of the nearest voxel's class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vote<T> {
    nearest: T,
    nearest_share: f32,
    best: T,
    best_share: f32,
}

impl<T: Copy + PartialOrd> Vote<T> {
    pub(super) fn new(nearest: T) -> Self {
        Self {
            nearest,
            nearest_share: 0.0,
            best: nearest,
            best_share: 0.0,
        }
    }

    /// Counts the share of a class; classes arrive in ascending order.
    #[inline(always)]
    pub(super) fn count(&mut self, class: T, share: f32) {
        if class == self.nearest {
            self.nearest_share = share;
        }
        if share > self.best_share + TIE {
            (self.best, self.best_share) = (class, share);
        }
    }

    #[inline(always)]
    pub(super) fn winner(&self) -> T {
        match self.nearest_share >= self.best_share - TIE {
            true => self.nearest,
            false => self.best,
        }
    }
}

/// Class numbers: the share of each class that a plane can contain, one class at a time.
pub(super) fn vote_planes<T: bytemuck::Pod + PartialOrd>(
    source: &[T],
    [nx, ny, _]: [usize; 3],
    [along_x, along_y, along_z]: &Stencils,
    nearest: &Stencils,
    shape: [usize; 3],
    out: &mut [T],
) {
    let planes: Vec<Vec<Seen<T>>> = source
        .chunks_exact(nx * ny)
        .map(|plane| Seen::of(plane, nx))
        .collect();
    let index = |stencils: &[Option<Stencil>], i: usize| stencils[i].as_ref().map(|s| s.low);
    let (mut plane, mut row) = (vec![0f32; nx * ny], vec![0f32; nx]);
    let mut votes: Vec<Option<Vote<T>>> = vec![None; shape[0] * shape[1]];
    for (z, stencil) in along_z.iter().enumerate() {
        let (Some(stencil), Some(near_z)) = (stencil, index(&nearest[2], z)) else {
            continue;
        };
        for (i, vote) in votes.iter_mut().enumerate() {
            let at = index(&nearest[1], i / shape[0]).zip(index(&nearest[0], i % shape[0]));
            *vote = at.map(|(y, x)| Vote::new(source[(near_z * ny + y) * nx + x]));
        }
        let mut classes = Vec::new();
        for (i, _) in stencil.within(0, usize::MAX) {
            planes[i]
                .iter()
                .for_each(|seen| Seen::join(&mut classes, *seen));
        }
        classes.sort_by(|a, b| {
            a.class
                .partial_cmp(&b.class)
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        // One class alone is the nearest voxel's everywhere.
        for Seen { class, x, y } in classes.iter().filter(|_| classes.len() > 1) {
            let ([x0, x1], [y0, y1]) = (*x, *y);
            vectorised(
                #[inline(always)]
                || {
                    (y0..y1).for_each(|y| plane[y * nx + x0..y * nx + x1].fill(0.0));
                    for (i, weight) in stencil.within(0, usize::MAX) {
                        if planes[i].iter().all(|seen| seen.class != *class) {
                            continue;
                        }
                        for y in y0..y1 {
                            let stored = &source[(i * ny + y) * nx..][x0..x1];
                            let sums = &mut plane[y * nx + x0..y * nx + x1];
                            for (sum, stored) in sums.iter_mut().zip(stored) {
                                *sum += if stored == class { weight } else { 0.0 };
                            }
                        }
                    }
                    for (y, stencil) in along_y.iter().enumerate() {
                        let Some(stencil) = stencil else { continue };
                        if stencil.low >= y1 || stencil.end() <= y0 {
                            continue;
                        }
                        row[x0..x1].fill(0.0);
                        for (i, weight) in stencil.within(y0, y1) {
                            add(&mut row[x0..x1], &plane[i * nx + x0..i * nx + x1], weight);
                        }
                        let votes = &mut votes[y * shape[0]..(y + 1) * shape[0]];
                        for (vote, stencil) in votes.iter_mut().zip(along_x) {
                            if let (Some(vote), Some(stencil)) = (vote, stencil) {
                                let taps = stencil.within(x0, x1);
                                let share = taps.fold(0.0, |sum, (i, w)| sum + w * row[i]);
                                vote.count(*class, share);
                            }
                        }
                    }
                },
            );
        }
        let out = &mut out[z * votes.len()..(z + 1) * votes.len()];
        for (out, vote) in out.iter_mut().zip(&votes) {
            if let Some(vote) = vote {
                *out = vote.winner();
            }
        }
    }
}

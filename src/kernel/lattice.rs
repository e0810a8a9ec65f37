//! Voxels moved to other places of the same lattice: turned, reversed, cut and padded in one copy.
//!
//! Every chain of quarter turns, flips, crops and pads is one [`Lattice`], however long it is.

use super::region::Region;
use super::simd::{CACHE_LINE, prefetch};
use super::transpose::transpose;
use bytemuck::Pod;
use glam::DAffine3;
use std::sync::atomic::{Ordering, fence};

/// Lines between the one that is copied and the one that is asked for.
const AHEAD: i64 = 2;

/// Bytes from which on a copy is written past the cache.
const PAST_CACHE: usize = 1 << 20;

/// Where each output voxel of a copy comes from.
///
/// **Law** output index `i` along axis `a` reads source axis `source_axis[a]` at
/// `start[source_axis[a]] + i`, or `- i` where `reversed[a]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lattice {
    /// For output x, y, z the source axis (0 = x).
    pub source_axis: [usize; 3],
    /// For output x, y, z whether the source axis is read backwards.
    pub reversed: [bool; 3],
    /// Source voxel x, y, z of the output's first voxel; may lie outside.
    pub start: [i64; 3],
}

impl Lattice {
    /// The lattice map that an affine is; `None` where a voxel would fall between voxels.
    ///
    /// Products of such maps hold whole numbers only, which f64 keeps exactly.
    pub fn from_affine(source_from_output: &DAffine3) -> Option<Self> {
        let (mut source_axis, mut reversed, mut used) = ([0; 3], [false; 3], [false; 3]);
        for output in 0..3 {
            let column = source_from_output.matrix3.col(output).to_array();
            let axis = column.iter().position(|v| v.abs() == 1.0)?;
            if used[axis] || column.iter().filter(|v| **v != 0.0).count() != 1 {
                return None;
            }
            used[axis] = true;
            source_axis[output] = axis;
            reversed[output] = column[axis] < 0.0;
        }
        let start = source_from_output.translation.to_array();
        let is_whole = |v: &f64| v.fract() == 0.0 && v.abs() < 1e15;
        start.iter().all(is_whole).then(|| Self {
            source_axis,
            reversed,
            start: start.map(|v| v as i64),
        })
    }

    /// Half-open range of output indices that have a source voxel, x, y, z.
    fn inside(&self, source_shape: [usize; 3], shape: [usize; 3]) -> [[usize; 2]; 3] {
        [0, 1, 2].map(|a| {
            let (n, count) = (source_shape[self.source_axis[a]] as i64, shape[a] as i64);
            let start = self.start[self.source_axis[a]];
            let [begin, end] = if self.reversed[a] {
                [start.saturating_sub(n - 1), start.saturating_add(1)]
            } else {
                [start.saturating_neg(), n.saturating_sub(start)]
            };
            let begin = begin.clamp(0, count);
            [begin as usize, end.clamp(begin, count) as usize]
        })
    }

    /// The box of source voxels that a copy reads: the first one and the number along x, y, z, 0 where
    /// none is read.
    pub fn read_box(
        &self,
        source_shape: [usize; 3],
        shape: [usize; 3],
    ) -> ([usize; 3], [usize; 3]) {
        let inside = self.inside(source_shape, shape);
        let (mut first, mut count) = ([0; 3], [0; 3]);
        if inside.iter().any(|[begin, end]| begin == end) {
            return (first, count);
        }
        for (a, [begin, end]) in inside.into_iter().enumerate() {
            let (axis, start) = (self.source_axis[a], self.start[self.source_axis[a]]);
            let low = match self.reversed[a] {
                true => start - end as i64 + 1,
                false => start + begin as i64,
            };
            (first[axis], count[axis]) = (low as usize, end - begin);
        }
        (first, count)
    }

    /// Returns `true` if some output voxel has no source voxel.
    pub fn reaches_out(&self, source_shape: [usize; 3], shape: [usize; 3]) -> bool {
        self.inside(source_shape, shape) != shape.map(|n| [0, n])
    }
}

/// A box of voxels, half-open along x, y, z; may be empty or lie outside.
pub type Inside = [[i64; 2]; 3];

impl Lattice {
    /// The output voxels that read source voxels of a box.
    pub fn seen(&self, source: &Inside) -> Inside {
        [0, 1, 2].map(|a| {
            let axis = self.source_axis[a];
            let ([low, high], start) = (source[axis], self.start[axis]);
            if self.reversed[a] {
                [start - high + 1, start - low + 1]
            } else {
                [low - start, high - start]
            }
        })
    }
}

/// The part of a box that is in a volume of `shape_xyz`; `None` if it is empty.
pub fn within(inside: &Inside, shape_xyz: [usize; 3]) -> Option<Region> {
    let clamped = [0, 1, 2].map(|a| inside[a].map(|v| v.clamp(0, shape_xyz[a] as i64) as usize));
    (clamped.iter().all(|[begin, end]| begin < end)).then(|| Region {
        offset_xyz: clamped.map(|[begin, _]| begin),
        shape_xyz: clamped.map(|[begin, end]| end - begin),
    })
}

/// Sets every voxel outside a box to one value.
///
/// **Shape** `voxels` `[z, y, x]` of `shape_xyz`.
pub fn fill_outside<T: Copy>(voxels: &mut [T], shape_xyz: [usize; 3], inside: &Inside, fill: T) {
    let Some(region) = within(inside, shape_xyz) else {
        return voxels.fill(fill);
    };
    let [x, y, z] = region.ranges();
    for (row, values) in voxels.chunks_exact_mut(shape_xyz[0]).enumerate() {
        if z.contains(&(row / shape_xyz[1])) && y.contains(&(row % shape_xyz[1])) {
            values[..x.start].fill(fill);
            values[x.end..].fill(fill);
        } else {
            values.fill(fill);
        }
    }
}

/// Copies voxels to their new places; outside the source `fill`.
///
/// **Shape** source `[z, y, x]` of `source_shape_xyz`, result of `shape_xyz`.
/// **Law** runs along x are copied whole where x stays x; otherwise square tiles keep reads and
/// writes in the cache. Only the source voxels that are needed are touched.
pub fn copy_lattice<T: Pod>(
    source: &[T],
    source_shape_xyz: [usize; 3],
    map: &Lattice,
    shape_xyz: [usize; 3],
    fill: T,
) -> Vec<T> {
    let [nx, ny, _] = source_shape_xyz;
    let stride = [1, nx as i64, (nx * ny) as i64];
    let inside = map.inside(source_shape_xyz, shape_xyz);
    let step = [0, 1, 2].map(|a| {
        let stride = stride[map.source_axis[a]];
        if map.reversed[a] { -stride } else { stride }
    });
    let start = (0..3).map(|axis| map.start[axis] * stride[axis]).sum();
    if map.source_axis[0] == 0 {
        copy_runs(source, shape_xyz, &inside, start, step, fill)
    } else {
        copy_tiles(source, shape_xyz, &inside, start, step, fill)
    }
}

/// Prefetches a line that is read soon, wherever `first` is.
///
/// A line of a patch is too short for the processor to guess the next, which is on another page.
fn prefetch_line<T>(source: &[T], first: i64, count: usize) {
    for voxel in (0..count).step_by((CACHE_LINE / size_of::<T>()).max(1)) {
        prefetch(source, (first as usize).wrapping_add(voxel));
    }
}

/// Appends a line; with `past` its bytes go to memory past the cache, which would first read there
/// what is about to be overwritten.
fn append<T: Pod>(out: &mut Vec<T>, line: &[T], past: bool) {
    #[cfg(target_arch = "x86_64")]
    if past {
        use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};
        out.reserve(line.len());
        let length = out.len();
        let bytes = size_of_val(line);
        #[expect(unsafe_code, reason = "streaming stores take addresses")]
        // SAFETY: `line.len()` values are reserved behind `out`'s last; every byte of them is
        // written, from a line of as many bytes, which `out`, borrowed mutably, cannot overlap.
        unsafe {
            let to = out.as_mut_ptr().add(length).cast::<u8>();
            let from = line.as_ptr().cast::<u8>();
            let head = to.align_offset(16).min(bytes);
            std::ptr::copy_nonoverlapping(from, to, head);
            let whole = (bytes - head) / 16;
            for i in 0..whole {
                let at = head + 16 * i;
                let value = _mm_loadu_si128(from.add(at).cast::<__m128i>());
                _mm_stream_si128(to.add(at).cast::<__m128i>(), value);
            }
            let done = head + 16 * whole;
            std::ptr::copy_nonoverlapping(from.add(done), to.add(done), bytes - done);
            out.set_len(length + line.len());
        }
        return;
    }
    out.extend_from_slice(line);
}

fn copy_runs<T: Pod>(
    source: &[T],
    shape: [usize; 3],
    inside: &[[usize; 2]; 3],
    start: i64,
    step: [i64; 3],
    fill: T,
) -> Vec<T> {
    let mut out = Vec::with_capacity(shape.iter().product());
    let [begin, end] = inside[0];
    let past = size_of::<T>() * out.capacity() >= PAST_CACHE;
    let is_inside = |axis: usize, i: usize| (inside[axis][0]..inside[axis][1]).contains(&i);
    for z in 0..shape[2] {
        for y in 0..shape[1] {
            if begin == end || !is_inside(2, z) || !is_inside(1, y) {
                out.resize(out.len() + shape[0], fill);
                continue;
            }
            out.resize(out.len() + begin, fill);
            let from = start + z as i64 * step[2] + y as i64 * step[1];
            let nearest = if step[0] > 0 {
                begin as i64
            } else {
                1 - end as i64
            };
            let ahead = from + AHEAD * step[1] + nearest;
            prefetch_line(source, ahead, end - begin);
            if step[0] > 0 {
                let first = (from + begin as i64) as usize;
                append(&mut out, &source[first..first + end - begin], past);
            } else {
                let (first, at) = ((from - (end as i64 - 1)) as usize, out.len());
                out.extend_from_slice(&source[first..first + end - begin]);
                out[at..].reverse();
            }
            out.resize(out.len() + shape[0] - end, fill);
        }
    }
    // Stores past the cache are ordered by a fence alone.
    fence(Ordering::SeqCst);
    out
}

/// One of output y, z walks the source's x, which changes places with output x slice by slice.
///
/// Lines are read whole and written whole: in between, a slice is turned in the cache. Reading or
/// writing the pieces of a tile straight from and to memory waits for each of them.
fn copy_tiles<T: Pod>(
    source: &[T],
    shape: [usize; 3],
    inside: &[[usize; 2]; 3],
    start: i64,
    step: [i64; 3],
    fill: T,
) -> Vec<T> {
    let along = if step[1].abs() == 1 { 1 } else { 2 };
    let other = 3 - along;
    let mut turn = Turn {
        x: inside[0],
        along: inside[along],
        step_x: step[0],
        backwards: step[along] < 0,
        lines: Vec::new(),
    };
    let first = |o: usize| start + o as i64 * step[other];
    let [begin, end] = inside[other];
    let (row, slice) = (shape[0], shape[0] * shape[1]);
    if along == 2 {
        let mut out = vec![fill; slice * shape[2]];
        for y in begin..end {
            turn.copy(source, first(y), &mut out[y * row..], slice);
        }
        return out;
    }
    let mut out = Vec::with_capacity(slice * shape[2]);
    let past = size_of::<T>() * out.capacity() >= PAST_CACHE;
    let mut made = vec![fill; slice];
    out.resize(begin * slice, fill);
    for z in begin..end {
        turn.copy(source, first(z), &mut made, row);
        append(&mut out, &made, past);
    }
    out.resize(slice * shape[2], fill);
    fence(Ordering::SeqCst);
    out
}

/// A slice whose x and another axis change places.
struct Turn<T> {
    /// Half-open range of output x that has a source.
    x: [usize; 2],
    /// Half-open range along the output axis that walks the source's x.
    along: [usize; 2],
    /// Source voxels from one output x to the next.
    step_x: i64,
    /// Whether the source's x is walked from its end.
    backwards: bool,
    /// The source's lines, one after the other.
    lines: Vec<T>,
}

impl<T: Pod> Turn<T> {
    /// Fills one slice; its lines of x lie `stride` voxels apart.
    fn copy(&mut self, source: &[T], start: i64, out: &mut [T], stride: usize) {
        let ([x, end_x], [begin, end]) = (self.x, self.along);
        let (columns, count) = (end_x - x, end - begin);
        if columns == 0 || count == 0 {
            return;
        }
        let line = match self.backwards {
            true => start - (end as i64 - 1),
            false => start + begin as i64,
        };
        self.lines.clear();
        for x in x..end_x {
            let first = line + x as i64 * self.step_x;
            prefetch_line(source, first + AHEAD * self.step_x, count);
            let first = first as usize;
            self.lines.extend_from_slice(&source[first..first + count]);
        }
        let backwards = self.backwards;
        transpose(&self.lines, [columns, count], out, |at| {
            let a = if backwards { count - 1 - at } else { at };
            (begin + a) * stride + x
        });
    }
}

#[cfg(test)]
mod tests;

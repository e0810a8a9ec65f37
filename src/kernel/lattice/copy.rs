//! Copies along a lattice map: lines are read whole, turned and converted in the cache, and written past it.

use super::super::simd::{CACHE_LINE, prefetch};
use super::super::transpose::transpose;
use super::Lattice;
use bytemuck::Pod;
use std::sync::atomic::{Ordering, fence};

/// Lines between the one that is copied and the one that is asked for.
const AHEAD: i64 = 2;

/// Bytes from which on a copy is written past the cache.
const PAST_CACHE: usize = 1 << 20;

/// What becomes of the lines of a source on their way.
pub trait CopiedLines<T> {
    /// An element of the copy.
    type Out: Pod;

    /// The line as it is written.
    fn read<'a>(&'a mut self, line: &'a [T]) -> &'a [Self::Out];

    /// Is called whenever more of the copy is written, with all of it so far, if [`CopiedLines::LOOKS_BACK`].
    fn written(&mut self, _copy: &mut [Self::Out]) {}

    /// Whether `written` reads the copy, so that it is better kept in the cache.
    const LOOKS_BACK: bool = false;
}

/// Lines that stay as they are.
pub struct AsStored;

impl<T: Pod> CopiedLines<T> for AsStored {
    type Out = T;

    fn read<'a>(&'a mut self, line: &'a [T]) -> &'a [T] {
        line
    }
}

/// Lines of which `append` makes other elements, as many as there were.
pub struct Converted<U, F> {
    append: F,
    line: Vec<U>,
}

impl<U, F> Converted<U, F> {
    /// `append` adds what becomes of a line to a vector.
    pub fn by(append: F) -> Self {
        Self {
            append,
            line: Vec::new(),
        }
    }
}

impl<T, U: Pod, F: FnMut(&[T], &mut Vec<U>)> CopiedLines<T> for Converted<U, F> {
    type Out = U;

    fn read<'a>(&'a mut self, line: &'a [T]) -> &'a [U] {
        self.line.clear();
        (self.append)(line, &mut self.line);
        &self.line
    }
}

/// Copies voxels to their new places; outside the source `fill`. See [`append_lattice`].
pub fn copy_lattice<T: Pod>(
    source: &[T],
    source_shape_xyz: [usize; 3],
    map: &Lattice,
    shape_xyz: [usize; 3],
    fill: T,
) -> Vec<T> {
    let mut out = Vec::with_capacity(shape_xyz.iter().product());
    let source = (source, source_shape_xyz);
    append_lattice(source, map, (shape_xyz, fill), &mut AsStored, &mut out);
    out
}

/// Appends voxels at their new places; outside the source `fill`.
///
/// **Shape** source `[z, y, x]` of the shape beside it, the copy of `shape_xyz`.
/// **Law** runs along x are copied whole where x stays x; otherwise slices are turned in the cache.
/// Only the source voxels that are needed are touched.
pub fn append_lattice<T: Pod, L: CopiedLines<T>>(
    (source, source_shape_xyz): (&[T], [usize; 3]),
    map: &Lattice,
    (shape_xyz, fill): ([usize; 3], L::Out),
    lines: &mut L,
    out: &mut Vec<L::Out>,
) {
    let [nx, ny, _] = source_shape_xyz;
    let stride = [1, nx as i64, (nx * ny) as i64];
    let inside = map.inside(source_shape_xyz, shape_xyz);
    let step = [0, 1, 2].map(|a| {
        let stride = stride[map.source_axis[a]];
        if map.reversed[a] { -stride } else { stride }
    });
    let start = (0..3).map(|axis| map.start[axis] * stride[axis]).sum();
    let voxels: usize = shape_xyz.iter().product();
    out.reserve(voxels);
    let copy = Copy {
        source,
        shape: shape_xyz,
        inside,
        start,
        step,
        fill,
        past: !L::LOOKS_BACK && size_of::<L::Out>() * voxels >= PAST_CACHE,
        first: out.len(),
    };
    match map.source_axis[0] {
        0 => copy.runs(lines, out),
        _ if step[1].abs() == 1 => copy.slices(lines, out),
        _ => copy.planes(lines, out),
    }
    // Stores past the cache are ordered by a fence alone.
    fence(Ordering::SeqCst);
    lines.written(&mut out[copy.first..]);
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

/// One copy.
struct Copy<'a, T, U> {
    source: &'a [T],
    shape: [usize; 3],
    /// Half-open ranges of output x, y, z that have a source.
    inside: [[usize; 2]; 3],
    /// Index of the source voxel of the output's first one; may lie outside.
    start: i64,
    /// Source voxels from one output x, y, z to the next.
    step: [i64; 3],
    fill: U,
    /// Whether the copy is written past the cache.
    past: bool,
    /// Elements that `out` had before.
    first: usize,
}

impl<T: Pod, U: Pod> Copy<'_, T, U> {
    /// Output x walks the source's x.
    fn runs<L: CopiedLines<T, Out = U>>(&self, lines: &mut L, out: &mut Vec<U>) {
        let ([begin, end], step, fill) = (self.inside[0], self.step, self.fill);
        let is_inside =
            |axis: usize, i: usize| (self.inside[axis][0]..self.inside[axis][1]).contains(&i);
        let nearest = match step[0] > 0 {
            true => begin as i64,
            false => 1 - end as i64,
        };
        let mut turned = Vec::new();
        for z in 0..self.shape[2] {
            for y in 0..self.shape[1] {
                if begin == end || !is_inside(2, z) || !is_inside(1, y) {
                    out.resize(out.len() + self.shape[0], fill);
                    continue;
                }
                out.resize(out.len() + begin, fill);
                let line = self.start + z as i64 * step[2] + y as i64 * step[1] + nearest;
                prefetch_line(self.source, line + AHEAD * step[1], end - begin);
                let line = lines.read(&self.source[line as usize..][..end - begin]);
                if step[0] > 0 {
                    append(out, line, self.past);
                } else {
                    turned.clear();
                    turned.extend_from_slice(line);
                    turned.reverse();
                    append(out, &turned, self.past);
                }
                out.resize(out.len() + self.shape[0] - end, fill);
            }
            if L::LOOKS_BACK {
                lines.written(&mut out[self.first..]);
            }
        }
    }

    /// Output y walks the source's x, which changes places with output x slice by slice.
    ///
    /// Lines are read whole and written whole: in between, a slice is turned in the cache. Reading or
    /// writing the pieces of a tile straight from and to memory waits for each of them.
    fn slices<L: CopiedLines<T, Out = U>>(&self, lines: &mut L, out: &mut Vec<U>) {
        let (row, slice) = (self.shape[0], self.shape[0] * self.shape[1]);
        let [begin, end] = self.inside[2];
        let mut turn = self.turn(1);
        let mut made = vec![self.fill; slice];
        out.resize(self.first + begin * slice, self.fill);
        for z in begin..end {
            let start = self.start + z as i64 * self.step[2];
            turn.copy(self.source, start, lines, (&mut made, row));
            append(out, &made, self.past);
            if L::LOOKS_BACK {
                lines.written(&mut out[self.first..]);
            }
        }
        out.resize(self.first + self.shape[2] * slice, self.fill);
    }

    /// Output z walks the source's x, which changes places with output x plane by plane; see [`Copy::slices`].
    fn planes<L: CopiedLines<T, Out = U>>(&self, lines: &mut L, out: &mut Vec<U>) {
        let (row, slice) = (self.shape[0], self.shape[0] * self.shape[1]);
        let mut turn = self.turn(2);
        out.resize(self.first + slice * self.shape[2], self.fill);
        for y in self.inside[1][0]..self.inside[1][1] {
            let start = self.start + y as i64 * self.step[1];
            let plane = &mut out[self.first + y * row..];
            turn.copy(self.source, start, lines, (plane, slice));
        }
    }

    /// How slices are turned whose output axis `along` walks the source's x.
    fn turn(&self, along: usize) -> Turn<U> {
        Turn {
            x: self.inside[0],
            along: self.inside[along],
            step_x: self.step[0],
            backwards: self.step[along] < 0,
            lines: Vec::new(),
        }
    }
}

/// A slice whose x and another axis change places.
struct Turn<U> {
    /// Half-open range of output x that has a source.
    x: [usize; 2],
    /// Half-open range along the output axis that walks the source's x.
    along: [usize; 2],
    /// Source voxels from one output x to the next.
    step_x: i64,
    /// Whether the source's x is walked from its end.
    backwards: bool,
    /// The source's lines, one after the other.
    lines: Vec<U>,
}

impl<U: Pod> Turn<U> {
    /// Fills one slice; its lines of x lie `stride` elements apart.
    fn copy<T: Pod>(
        &mut self,
        source: &[T],
        start: i64,
        lines: &mut impl CopiedLines<T, Out = U>,
        (out, stride): (&mut [U], usize),
    ) {
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
            let line = lines.read(&source[first..first + count]);
            self.lines.extend_from_slice(line);
        }
        let backwards = self.backwards;
        transpose(&self.lines, [columns, count], out, |at| {
            let a = if backwards { count - 1 - at } else { at };
            (begin + a) * stride + x
        });
    }
}

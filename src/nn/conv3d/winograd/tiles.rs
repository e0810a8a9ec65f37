//! Tiles of a volume on their way into the transformed domain and back.

use super::transform::{Lanes, PerLanes, input, output, output_gradient, over_channels};

/// Products of a plane's tile.
pub(super) const POINTS: usize = 36;

/// Outputs along an edge of a tile.
pub(super) const EDGE: usize = 4;

/// No voxel there: zero padding.
pub(super) const OUTSIDE: usize = usize::MAX;

/// Returns `true` if a convolution is computed here: enough voxels that transforming the kernel pays, channels
/// that fill a vector, and a plane that tiles cover without much waste.
pub(in crate::nn::conv3d) fn fits(
    size: [usize; 3],
    kernel: [usize; 3],
    lines: usize,
    channels: [usize; 2],
) -> bool {
    let [_, h, w] = size;
    let covered = h.next_multiple_of(EDGE) * w.next_multiple_of(EDGE);
    kernel == [3; 3]
        && channels.iter().all(|&c| c >= 8)
        && covered * 2 <= h * w * 3
        && lines / h * covered / EDGE / EDGE >= 64
}

/// Channels from `first` on of the voxel at `at`.
///
/// Loops here and below are plain: `array::map` is not inlined, and would not be vectorised.
#[inline(always)]
fn voxel<const W: usize>(values: &[f32], at: usize, first: usize) -> Lanes<W> {
    match at {
        OUTSIDE => Lanes::ZERO,
        at => Lanes::load(values, at + first),
    }
}

/// Transforms the 6 x 6 voxels at `voxels` (first values in `x`, or [`OUTSIDE`]) to row `row` of
/// each of the 36 matrices in `v`, `stride` values apart.
#[inline(always)]
pub(super) fn load_input(
    x: &[f32],
    voxels: &[[usize; 6]; 6],
    channels: usize,
    v: &mut [f32],
    (row, stride): (usize, usize),
) {
    struct Work<'a> {
        x: &'a [f32],
        voxels: &'a [[usize; 6]; 6],
        v: &'a mut [f32],
        at: usize,
        stride: usize,
    }
    impl PerLanes for Work<'_> {
        #[inline(always)]
        fn lanes<const W: usize>(&mut self, first: usize) {
            let mut half = [[Lanes::<W>::ZERO; 6]; 6];
            for column in 0..6 {
                let mut values = [Lanes::ZERO; 6];
                for (value, row) in values.iter_mut().zip(self.voxels) {
                    *value = voxel(self.x, row[column], first);
                }
                let down = input(values);
                for (half, value) in half.iter_mut().zip(down) {
                    half[column] = value;
                }
            }
            for (i, half) in half.into_iter().enumerate() {
                for (j, value) in input(half).into_iter().enumerate() {
                    value.store(self.v, (i * 6 + j) * self.stride + self.at + first);
                }
            }
        }
    }
    let at = row * channels;
    let mut work = Work {
        x,
        voxels,
        v,
        at,
        stride,
    };
    over_channels(channels, &mut work);
}

/// Transforms the 4 x 4 gradients at `voxels` as [`load_input`] does the input.
#[inline(always)]
pub(super) fn load_gradient(
    dy: &[f32],
    voxels: &[[usize; EDGE]; EDGE],
    channels: usize,
    v: &mut [f32],
    (row, stride): (usize, usize),
) {
    struct Work<'a> {
        dy: &'a [f32],
        voxels: &'a [[usize; EDGE]; EDGE],
        v: &'a mut [f32],
        at: usize,
        stride: usize,
    }
    impl PerLanes for Work<'_> {
        #[inline(always)]
        fn lanes<const W: usize>(&mut self, first: usize) {
            let mut half = [[Lanes::<W>::ZERO; EDGE]; 6];
            for column in 0..EDGE {
                let mut values = [Lanes::ZERO; EDGE];
                for (value, row) in values.iter_mut().zip(self.voxels) {
                    *value = voxel(self.dy, row[column], first);
                }
                let down = output_gradient(values);
                for (half, value) in half.iter_mut().zip(down) {
                    half[column] = value;
                }
            }
            for (i, half) in half.into_iter().enumerate() {
                for (j, value) in output_gradient(half).into_iter().enumerate() {
                    value.store(self.v, (i * 6 + j) * self.stride + self.at + first);
                }
            }
        }
    }
    let at = row * channels;
    let mut work = Work {
        dy,
        voxels,
        v,
        at,
        stride,
    };
    over_channels(channels, &mut work);
}

/// Transforms row `row` of each of the 36 products in `m`, `stride` values apart, to the lines of a
/// tile; a line that is shorter than the tile, or empty, is at the volume's border.
#[inline(always)]
pub(super) fn store_output(
    m: &[f32],
    (row, stride): (usize, usize),
    channels: usize,
    lines: &mut [&mut [f32]],
) {
    struct Work<'a, 'b> {
        m: &'a [f32],
        at: usize,
        stride: usize,
        channels: usize,
        lines: &'a mut [&'b mut [f32]],
    }
    impl PerLanes for Work<'_, '_> {
        #[inline(always)]
        fn lanes<const W: usize>(&mut self, first: usize) {
            let mut half = [[Lanes::<W>::ZERO; 6]; EDGE];
            for column in 0..6 {
                let mut values = [Lanes::ZERO; 6];
                for (row, value) in values.iter_mut().enumerate() {
                    let at = (row * 6 + column) * self.stride + self.at + first;
                    *value = Lanes::load(self.m, at);
                }
                let down = output(values);
                for (half, value) in half.iter_mut().zip(down) {
                    half[column] = value;
                }
            }
            for (line, half) in self.lines.iter_mut().zip(half) {
                let values = output(half);
                let voxels = line.chunks_exact_mut(self.channels);
                for (voxel, value) in voxels.zip(values) {
                    value.store(voxel, first);
                }
            }
        }
    }
    let at = row * channels;
    let mut work = Work {
        m,
        at,
        stride,
        channels,
        lines,
    };
    over_channels(channels, &mut work);
}

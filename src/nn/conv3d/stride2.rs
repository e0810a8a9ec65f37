//! The data gradient of a convolution of every second voxel.
//!
//! Forward and filter gradient are the gathered path with a stride. The data gradient falls apart
//! into eight products, one for each parity of the input voxel: a voxel at an even place meets
//! other kernel entries than one at an odd place, and none is multiplied by a zero that a stride
//! would have put between the gradients.

use super::super::cpu::{Matrix, fill_pieces, matmul};

/// Values of gathered gradients at once.
const GATHERED: usize = 1 << 16;

/// Kernel entries that reach inputs `2 j + parity`, each with its shift of `j` towards the output:
/// output `j + shift` meets the input through entry `k` where `2 shift = parity + pad - k`.
fn entries(kernel: usize, parity: usize) -> Vec<(usize, isize)> {
    let reach = (parity + kernel / 2) as isize;
    (0..kernel)
        .filter(|&k| (reach - k as isize) % 2 == 0)
        .map(|k| (k, (reach - k as isize) / 2))
        .collect()
}

/// `j + shift` where it is inside.
fn shifted(j: usize, shift: isize, size: usize) -> Option<usize> {
    j.checked_add_signed(shift).filter(|&at| at < size)
}

/// dx `x` from (dy, weights) of a convolution with stride 2.
pub(super) fn data_gradient(
    [n, d, h, w, ci]: [usize; 5],
    [_, yd, yh, yw, co]: [usize; 5],
    kernel: [usize; 3],
    dy: &[f32],
    weights: &[f32],
) -> Vec<f32> {
    let volume: usize = kernel.iter().product();
    let [_, kh, kw] = kernel;
    let length = w * ci;
    fill_pieces(
        std::iter::repeat_n(h * length, n * d),
        || [Vec::new(), Vec::new(), Vec::new()],
        |[gathered, packed, product], plane, out| {
            let (sample, z) = (plane / d, plane % d);
            for parity in [[0, 0], [0, 1], [1, 0], [1, 1]] {
                // Lines and voxels of a line at this parity.
                let (lines, width) = ((h + 1 - parity[0]) / 2, (w + 1 - parity[1]) / 2);
                let (rows, mut accumulate) = (lines * width, false);
                if rows == 0 {
                    continue;
                }
                let taps: Vec<_> = entries(kernel[0], z % 2)
                    .into_iter()
                    .filter_map(|(kz, sz)| Some((kz, shifted(z / 2, sz, yd)?)))
                    .flat_map(|(kz, source)| {
                        entries(kh, parity[0])
                            .into_iter()
                            .map(move |(ky, sy)| (kz, source, ky, sy))
                    })
                    .flat_map(|(kz, source, ky, sy)| {
                        entries(kw, parity[1])
                            .into_iter()
                            .map(move |(kx, sx)| ((kz * kh + ky) * kw + kx, source, sy, sx))
                    })
                    .collect();
                product.clear();
                product.resize(rows * ci, 0.0);
                for taps in taps.chunks((GATHERED / (rows * co)).max(1)) {
                    let depth = taps.len() * co;
                    gathered.clear();
                    gathered.resize(rows * depth, 0.0);
                    packed.resize(depth * ci, 0.0);
                    for (t, &(k, source_z, sy, sx)) in taps.iter().enumerate() {
                        for (o, row) in packed[t * co * ci..][..co * ci]
                            .chunks_exact_mut(ci)
                            .enumerate()
                        {
                            row.copy_from_slice(&weights[(o * volume + k) * ci..][..ci]);
                        }
                        for line in 0..lines {
                            let Some(source_y) = shifted(line, sy, yh) else {
                                continue;
                            };
                            let source = ((sample * yd + source_z) * yh + source_y) * yw;
                            for x in 0..width {
                                if let Some(source_x) = shifted(x, sx, yw) {
                                    gathered[(line * width + x) * depth + t * co..][..co]
                                        .copy_from_slice(&dy[(source + source_x) * co..][..co]);
                                }
                            }
                        }
                    }
                    matmul(
                        [rows, depth, ci],
                        Matrix::rows(gathered, depth),
                        Matrix::rows(packed, ci),
                        product,
                        ci,
                        accumulate,
                    );
                    accumulate = true;
                }
                for line in 0..lines {
                    let out = &mut out[(2 * line + parity[0]) * length..][..length];
                    for x in 0..width {
                        out[(2 * x + parity[1]) * ci..][..ci]
                            .copy_from_slice(&product[(line * width + x) * ci..][..ci]);
                    }
                }
            }
        },
    )
}

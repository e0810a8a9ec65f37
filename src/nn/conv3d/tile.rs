//! How a convolution is cut into tiles, and how a tile's operand is brought into cache.

use super::winograd::fits;
use std::ops::Range;

/// Pieces of work aimed at: enough for 16 threads to finish together.
pub(super) const TASKS: usize = 32;

/// Values a gathered operand may hold, so that it stays in the second-level cache.
const GATHERED: usize = 1 << 16;

/// The way a tile's operand reaches the matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// 1x1x1 kernel: the input itself.
    Point,
    /// Few input channels: columns gathered tap by tap from planar lines.
    Planar,
    /// Long lines: views of padded lines, rows overlapping.
    View,
    /// Short lines: rows gathered.
    Gather,
    /// 3x3x3 kernel over enough voxels and channels: minimal filtering.
    Winograd,
}

/// One convolution's sizes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Problem {
    /// Depth, height and width of the result.
    pub(super) size: [usize; 3],
    /// Depth, height and width of the input: those of the result, unless there is a stride.
    input: [usize; 3],
    /// Input voxels between neighbours of the result.
    stride: usize,
    /// Kernel sizes, odd.
    pub(super) kernel: [usize; 3],
    pub(super) ci: usize,
    pub(super) co: usize,
    /// Lines of the result in the batch: n d h.
    pub(super) lines: usize,
    pub(super) path: Path,
}

/// Consecutive image lines that are computed together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile {
    pub(super) first: usize,
    pub(super) lines: usize,
}

/// What is gathered at once: `length` values from `start` on of each of `taps` kernel lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) first: usize,
    pub(super) taps: usize,
    pub(super) start: usize,
    pub(super) length: usize,
}

impl Piece {
    /// Values of a gathered row.
    pub(super) fn depth(&self) -> usize {
        self.taps * self.length
    }
}

impl Problem {
    pub(super) fn new([n, d, h, w, ci]: [usize; 5], kernel: [usize; 3], co: usize) -> Self {
        let path = if kernel == [1; 3] {
            Path::Point
        } else if fits([d, h, w], kernel, n * d * h, [ci, co]) {
            Path::Winograd
        } else if kernel[2] * ci < 16 {
            Path::Planar
        } else if (kernel[2] - 1) * co > 12 * w || w < 8 {
            // Of a view's rows, (kw - 1) / w lie in the padding; a gather costs about 12 / co.
            Path::Gather
        } else {
            Path::View
        };
        Self {
            size: [d, h, w],
            input: [d, h, w],
            stride: 1,
            kernel,
            ci,
            co,
            lines: n * d * h,
            path,
        }
    }

    /// As [`Problem::new`] for every second voxel of each axis, the first included.
    pub(super) fn stride2([n, d, h, w, ci]: [usize; 5], kernel: [usize; 3], co: usize) -> Self {
        let size = [d, h, w].map(|s| s.div_ceil(2));
        Self {
            size,
            input: [d, h, w],
            stride: 2,
            kernel,
            ci,
            co,
            lines: n * size[0] * size[1],
            path: Path::Gather,
        }
    }

    /// Kernel lines: positions in z and y.
    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Values a kernel line reads: positions in x times channels.
    pub(super) fn span(&self) -> usize {
        self.kernel[2] * self.ci
    }

    /// Values of a padded input line.
    pub(super) fn padded(&self) -> usize {
        (self.input[2] + self.kernel[2] - 1) * self.ci
    }

    /// Returns `true` if tiles must end with their plane.
    fn planewise(&self) -> bool {
        matches!(self.path, Path::View | Path::Planar)
    }

    /// The tiles, by shape alone.
    pub(super) fn tiles(&self) -> Vec<Tile> {
        let (h, w) = (self.size[1], self.size[2]);
        let rows = (self.lines * w / TASKS).clamp(256, 512);
        let most = rows.div_ceil(w);
        let blocks = if self.planewise() { self.lines / h } else { 1 };
        let block = self.lines / blocks;
        // Tiles of a block differ by one line at most.
        let pieces = block.div_ceil(most);
        (0..blocks * pieces)
            .map(|i| {
                let (b, p) = (i / pieces, i % pieces);
                let (start, end) = (block * p / pieces, block * (p + 1) / pieces);
                Tile {
                    first: b * block + start,
                    lines: end - start,
                }
            })
            .collect()
    }

    /// Cuts the kernel into pieces whose gathered rows fit the cache: several whole lines,
    /// or a part of the `span` values of one.
    pub(super) fn pieces(&self, tile: Tile) -> Vec<Piece> {
        let span = self.span();
        let values = (GATHERED / (tile.lines * self.size[2])).max(64);
        let once = (values / span).max(1);
        let part = if values < span {
            // Equal parts, in whole vectors.
            span.div_ceil(span.div_ceil(values)).next_multiple_of(16)
        } else {
            span
        };
        let mut pieces = Vec::new();
        for tap in (0..self.taps()).step_by(once) {
            for start in (0..span).step_by(part) {
                pieces.push(Piece {
                    first: tap,
                    taps: once.min(self.taps() - tap),
                    start,
                    length: part.min(span - start),
                });
            }
        }
        pieces
    }

    /// The input line that kernel line `tap` reads for output line `line`; none in the padding.
    fn source(&self, line: usize, tap: usize) -> Option<usize> {
        let ([d, h, _], [source_d, source_h, _]) = (self.size, self.input);
        let (volume, z, y) = (line / h / d, line / h % d, line % h);
        let (dz, dy) = (tap / self.kernel[1], tap % self.kernel[1]);
        let source_z = (z * self.stride + dz)
            .checked_sub(self.kernel[0] / 2)
            .filter(|&z| z < source_d)?;
        let source_y = (y * self.stride + dy)
            .checked_sub(self.kernel[1] / 2)
            .filter(|&y| y < source_h)?;
        Some((volume * source_d + source_z) * source_h + source_y)
    }

    /// Writes the padded input lines that kernel plane `dz` reads for `tile` between kernel rows
    /// `rows`, which is `tile.lines + rows.len() - 1` lines. False where that plane is padding.
    pub(super) fn load_lines(
        &self,
        x: &[f32],
        tile: Tile,
        dz: usize,
        rows: &Range<usize>,
        lines: &mut Vec<f32>,
    ) -> bool {
        let [d, h, _] = self.size;
        let (z, y) = (tile.first / h % d, tile.first % h);
        let Some(source_z) = (z + dz).checked_sub(self.kernel[0] / 2).filter(|&z| z < d) else {
            return false;
        };
        let plane = tile.first / h - z + source_z;
        let padded = self.padded();
        lines.resize((tile.lines + rows.len() - 1) * padded, 0.0);
        for (i, line) in lines.chunks_exact_mut(padded).enumerate() {
            let source = (y + rows.start + i)
                .checked_sub(self.kernel[1] / 2)
                .filter(|&y| y < h);
            self.load_line(x, source.map(|y| plane * h + y), line);
        }
        true
    }

    fn load_line(&self, x: &[f32], source: Option<usize>, line: &mut [f32]) {
        let (length, pad) = (self.input[2] * self.ci, self.kernel[2] / 2 * self.ci);
        match source {
            Some(source) => {
                line[..pad].fill(0.0);
                line[pad..pad + length].copy_from_slice(&x[source * length..][..length]);
                line[pad + length..].fill(0.0);
            }
            None => line.fill(0.0),
        }
    }

    /// Writes the rows of the column matrix for `piece` of the kernel: one row a voxel of `tile`.
    pub(super) fn gather(
        &self,
        x: &[f32],
        tile: Tile,
        piece: Piece,
        line: &mut Vec<f32>,
        out: &mut Vec<f32>,
    ) {
        let (w, length, width) = (self.size[2], piece.length, piece.depth());
        let step = self.stride * self.ci;
        line.resize(self.padded(), 0.0);
        out.resize(tile.lines * w * width, 0.0);
        for (i, rows) in out.chunks_exact_mut(w * width).enumerate() {
            for t in 0..piece.taps {
                self.load_line(x, self.source(tile.first + i, piece.first + t), line);
                let line = &line[piece.start..];
                for (position, row) in rows.chunks_exact_mut(width).enumerate() {
                    row[t * length..][..length].copy_from_slice(&line[position * step..][..length]);
                }
            }
        }
    }

    /// Writes the column matrix of `tile` transposed: one row a (tap, x, channel), one column a voxel.
    ///
    /// With few channels this copies whole lines where `gather` would copy a few values at a time.
    pub(super) fn gather_planar(
        &self,
        x: &[f32],
        tile: Tile,
        line: &mut Vec<f32>,
        out: &mut Vec<f32>,
    ) {
        let [_, _, w] = self.size;
        let (ci, kw, pad) = (self.ci, self.kernel[2], self.kernel[2] / 2);
        let (padded, voxels) = (w + kw - 1, tile.lines * w);
        out.resize(self.taps() * self.span() * voxels, 0.0);
        line.clear();
        line.resize(ci * padded, 0.0);
        for i in 0..tile.lines {
            for tap in 0..self.taps() {
                match self.source(tile.first + i, tap) {
                    Some(source) => {
                        let values = &x[source * w * ci..][..w * ci];
                        for (c, plane) in line.chunks_exact_mut(padded).enumerate() {
                            let inner = &mut plane[pad..pad + w];
                            if ci == 1 {
                                inner.copy_from_slice(values);
                            } else {
                                inner
                                    .iter_mut()
                                    .zip(values[c..].iter().step_by(ci))
                                    .for_each(|(o, v)| *o = *v);
                            }
                        }
                    }
                    None => line.fill(0.0),
                }
                for dx in 0..kw {
                    for c in 0..ci {
                        let row = (tap * kw + dx) * ci + c;
                        out[row * voxels + i * w..][..w]
                            .copy_from_slice(&line[c * padded + dx..][..w]);
                    }
                }
            }
        }
    }
}

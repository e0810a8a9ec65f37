//! Exact Euclidean distances to the nearest feature voxel, with a voxel size along each axis.
//!
//! **Law** `d(p) = min over features q of |s (p - q)|`, voxel centres, `s` the voxel size in mm.
//! Squares separate: along x the nearest feature of a row is found directly; along y and z a line's
//! squares are replaced by the lower envelope of the parabolas that stand on them.
//! **Source** Felzenszwalb and Huttenlocher, Theory of Computing 8 (2012), algorithm 1; the
//! separation is that of Maurer, Qi and Raghavan, IEEE Trans. PAMI 25 (2003).
//!
//! Squares are f32 (relative error below 3e-7), crossings of parabolas f64. Lines along y and z
//! are taken `LINES` at a time, so that memory is read in whole cache lines.

/// Lines whose squares are gathered together: 32 f32 are two cache lines.
const LINES: usize = 32;

/// Distance in mm of every voxel centre to the nearest feature's; infinite without any.
///
/// **Shape** `features` `[z, y, x]` of `shape_xyz`, not 0 where a feature is; the result likewise.
/// **Units** `spacing_mm` along x, y, z, greater than 0.
pub fn distances(features: &[u8], shape_xyz: [usize; 3], spacing_mm: [f64; 3]) -> Vec<f32> {
    let [nx, ny, nz] = shape_xyz;
    let mut squares = row_squares(features, nx, spacing_mm[0]);
    slice_pass(&mut squares, shape_xyz, spacing_mm);
    let mut envelope = Envelope::new(nz, spacing_mm[2]);
    // All rows of one y, slice by slice: lines along z are a whole slice apart.
    for y in 0..ny {
        envelope.pass(
            &mut squares[(y * nx).min(features.len())..],
            nx,
            nx * ny,
            nz,
        );
    }
    for v in &mut squares {
        *v = v.sqrt();
    }
    squares
}

/// Distances as [`distances`], at the voxels with these buffer indices alone.
///
/// Costs one of the three passes, and for each query as many voxels as its nearest feature is rows
/// and slices away. Where that is more than a second pass would be, the pass is made.
pub fn distances_at(
    features: &[u8],
    shape_xyz: [usize; 3],
    spacing_mm: [f64; 3],
    queries: impl IntoIterator<Item = usize>,
) -> Vec<f32> {
    let mut near = Near::new(features, shape_xyz, spacing_mm);
    let mut out = Vec::new();
    for at in queries {
        if near.left == 0 {
            slice_pass(&mut near.squares, shape_xyz, spacing_mm);
            // The nearest feature of the slice is in the row itself now.
            near.rows = 1;
            near.left = u64::MAX;
        }
        out.push(near.square_at(at).sqrt());
    }
    out
}

/// Looks for the nearest feature around a voxel, in squares of distances within rows or slices.
struct Near {
    squares: Vec<f32>,
    shape_xyz: [usize; 3],
    /// Squares of so many rows and slices, in mm².
    steps: [Vec<f32>; 2],
    /// Rows that may have to be looked at in either direction, the own one included.
    rows: usize,
    /// Voxels that may still be looked at before a pass is cheaper.
    left: u64,
}

impl Near {
    fn new(features: &[u8], shape_xyz: [usize; 3], spacing_mm: [f64; 3]) -> Self {
        let steps = [1, 2].map(|a| {
            let square = |k| square_mm(k, spacing_mm[a]);
            (0..shape_xyz[a]).map(square).collect()
        });
        Self {
            squares: row_squares(features, shape_xyz[0], spacing_mm[0]),
            shape_xyz,
            steps,
            rows: shape_xyz[1],
            left: 4 * features.len() as u64,
        }
    }

    /// Square of the distance to the nearest feature, in mm².
    fn square_at(&mut self, at: usize) -> f32 {
        let [nx, ny, nz] = self.shape_xyz;
        let (y, z) = (at / nx % ny, at / (nx * ny));
        let mut best = f32::INFINITY;
        let mut looked = 0;
        for (k, &far) in self.steps[1].iter().enumerate() {
            // Slices further away cannot be nearer; the same holds for rows below.
            if far >= best {
                break;
            }
            let mut slice = |at: usize| {
                for (j, &step) in self.steps[0][..self.rows].iter().enumerate() {
                    let step = step + far;
                    if step >= best {
                        break;
                    }
                    looked += 1;
                    if j <= y {
                        best = best.min(self.squares[at - j * nx] + step);
                    }
                    if y + j < ny {
                        best = best.min(self.squares[at + j * nx] + step);
                    }
                }
            };
            if k <= z {
                slice(at - k * nx * ny);
            }
            if k > 0 && z + k < nz {
                slice(at + k * nx * ny);
            }
        }
        self.left = self.left.saturating_sub(looked);
        best
    }
}

/// Square in mm² of so many voxels.
fn square_mm(voxels: usize, spacing_mm: f64) -> f32 {
    (voxels as f64 * spacing_mm).powi(2) as f32
}

/// From squares of the distances to the nearest feature of the row to those of the slice, in mm².
fn slice_pass(squares: &mut [f32], shape_xyz: [usize; 3], spacing_mm: [f64; 3]) {
    let [nx, ny, _] = shape_xyz;
    let mut envelope = Envelope::new(ny, spacing_mm[1]);
    for slice in squares.chunks_exact_mut((nx * ny).max(1)) {
        envelope.pass(slice, nx, nx, ny);
    }
}

/// Squares of the distances to the nearest feature of the same row, in mm².
fn row_squares(features: &[u8], nx: usize, spacing_mm: f64) -> Vec<f32> {
    let rising: Vec<f32> = (0..=nx).map(|k| square_mm(k, spacing_mm)).collect();
    let falling: Vec<f32> = rising.iter().rev().copied().collect();
    let mut squares = vec![f32::INFINITY; features.len()];
    for (row, out) in features
        .chunks_exact(nx.max(1))
        .zip(squares.chunks_exact_mut(nx.max(1)))
    {
        let mut last: Option<usize> = None;
        let mut from = 0;
        while let Some(at) = next_feature(row, from) {
            match last {
                // Before the first feature distances fall towards it.
                None => out[..at].copy_from_slice(&falling[nx - at..nx]),
                Some(last) => {
                    let middle = last + (at - last) / 2 + 1;
                    out[last + 1..middle].copy_from_slice(&rising[1..middle - last]);
                    out[middle..at].copy_from_slice(&falling[nx - (at - middle)..nx]);
                }
            }
            out[at] = 0.0;
            (last, from) = (Some(at), at + 1);
        }
        if let Some(last) = last {
            out[last..].copy_from_slice(&rising[..nx - last]);
        }
    }
    squares
}

/// Position of the first feature from `from` on.
pub(crate) fn next_feature(row: &[u8], from: usize) -> Option<usize> {
    const WORD: usize = 8;
    let mut at = from;
    while let Some(word) = row.get(at..at + WORD) {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        if word != 0 {
            return Some(at + word.trailing_zeros() as usize / 8);
        }
        at += WORD;
    }
    (at..row.len()).find(|&i| row[i] != 0)
}

/// Replaces squares along a line by the lower envelope of the parabolas on them.
struct Envelope {
    count: usize,
    /// Gathered lines, one after the other.
    gathered: Vec<f32>,
    /// Square of a position along the line, in mm².
    squares: Vec<f64>,
    /// Half the inverse of the distance of two positions, over the scale.
    inverse: Vec<f64>,
    /// Square of so many steps, in mm².
    steps: Vec<f32>,
    /// Parabolas of the envelope.
    parts: Vec<Part>,
}

/// A parabola of the envelope.
#[derive(Clone, Copy)]
struct Part {
    /// Position of its vertex.
    at: usize,
    /// Value at its vertex.
    value: f32,
    /// Value plus the square of the position.
    height: f64,
    /// Position from which it is the lowest.
    begin: f64,
}

impl Envelope {
    fn new(count: usize, spacing_mm: f64) -> Self {
        let scale = spacing_mm * spacing_mm;
        Self {
            count,
            gathered: vec![0.0; count * LINES],
            squares: (0..count).map(|i| scale * (i * i) as f64).collect(),
            inverse: (0..count).map(|i| 0.5 / (scale * i as f64)).collect(),
            steps: (0..count).map(|k| square_mm(k, spacing_mm)).collect(),
            parts: Vec::with_capacity(count),
        }
    }

    /// Replaces `lines` neighbouring lines of `count` values that lie `stride` apart.
    fn pass(&mut self, values: &mut [f32], lines: usize, stride: usize, count: usize) {
        if count < 2 {
            return;
        }
        let mut gathered = std::mem::take(&mut self.gathered);
        for first in (0..lines).step_by(LINES) {
            let width = LINES.min(lines - first);
            for i in 0..count {
                let from = &values[i * stride + first..][..width];
                for (lane, v) in from.iter().enumerate() {
                    gathered[lane * count + i] = *v;
                }
            }
            for line in gathered.chunks_exact_mut(count).take(width) {
                self.replace(line);
            }
            for i in 0..count {
                let to = &mut values[i * stride + first..][..width];
                for (lane, v) in to.iter_mut().enumerate() {
                    *v = gathered[lane * count + i];
                }
            }
        }
        self.gathered = gathered;
    }

    /// Replaces one line.
    fn replace(&mut self, line: &mut [f32]) {
        self.parts.clear();
        for (at, &value) in line.iter().enumerate() {
            if value == f32::INFINITY {
                continue;
            }
            let height = f64::from(value) + self.squares[at];
            let mut begin = f64::NEG_INFINITY;
            while let Some(last) = self.parts.last() {
                begin = (height - last.height) * self.inverse[at - last.at];
                if begin > last.begin {
                    break;
                }
                self.parts.pop();
                begin = f64::NEG_INFINITY;
            }
            self.parts.push(Part {
                at,
                value,
                height,
                begin,
            });
        }
        let mut from = 0;
        for (i, part) in self.parts.iter().enumerate() {
            // The last position at which the part is not above its successor.
            let next = self.parts.get(i + 1).map_or(f64::INFINITY, |n| n.begin);
            let end = (next.max(-1.0) + 1.0).min(self.count as f64) as usize;
            for (to, v) in line.iter_mut().enumerate().take(end).skip(from) {
                *v = part.value + self.steps[to.abs_diff(part.at)];
            }
            from = from.max(end);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! Filters that weigh the spatial frequencies along one axis: what happens to k-space lines.
//!
//! An artefact that treats whole k-space planes across an axis alike needs the Fourier transform
//! along that axis alone: the transforms along the other two would be undone unchanged. Thirty-two
//! lines are transformed side by side, so that every step is one of vectors, and nothing is fused
//! or reordered: the bits are the same on every machine.

pub mod spectrum;

use super::math::sin_cos_of_turn;
use super::simd::vectorised;

/// Complex lines that are transformed side by side; each carries two real ones.
const LANES: usize = 16;
type Lanes = [f32; LANES];

/// The frequency of each of `count` k-space lines in periods a field of view, from
/// `-(count / 2)` upwards, in the order of the transform: 0 first, negative ones last.
pub fn frequencies(count: usize) -> impl Iterator<Item = i64> {
    let n = count as i64;
    (0..n).map(move |i| if i < n - n / 2 { i } else { i - n })
}

/// Adds to `out` the lines of `source` along one axis, each frequency weighed by `response`.
///
/// **Law** `out += F^-1(response * F(source))` with `F` the discrete Fourier transform along `axis`
/// (0 = x). `response` has one weight a line of k-space, in the order of [`frequencies`]; with any
/// other number of weights nothing is added. Weights of opposite frequencies are averaged first,
/// which is the same as taking the real part of the result.
/// **Shape** both `[z, y, x]` of `shape_xyz`; a voxel that is not finite spoils its line and one
/// other. **Cost** for `n` voxels along the axis the sum of `n`'s prime factors a voxel.
pub fn add_filtered(
    out: &mut [f32],
    source: &[f32],
    shape_xyz: [usize; 3],
    axis: usize,
    response: &[f32],
) {
    let n = shape_xyz[axis];
    if out.is_empty() || response.len() != n {
        return;
    }
    let stride: usize = shape_xyz[..axis].iter().product();
    let weights: Vec<f32> = (0..n)
        .map(|i| 0.5 * (response[i] + response[(n - i) % n]) / n as f32)
        .collect();
    // Lines that start side by side: `stride` of them in a block, or along x all, `n` apart.
    let (lines, step, block) = if axis == 0 {
        (out.len() / n, n, out.len())
    } else {
        (stride, 1, stride * n)
    };
    let plan = Plan::new(n);
    let mut batch = Batch::new(n);
    vectorised(
        #[inline(always)]
        || {
            for start in (0..out.len()).step_by(block) {
                for begin in (0..lines).step_by(2 * LANES) {
                    let count = (lines - begin).min(2 * LANES);
                    let first = start + begin * step;
                    batch.fill(source, first, count, step, stride);
                    plan.transform(&mut batch, false);
                    batch.weigh(&weights);
                    plan.transform(&mut batch, true);
                    batch.add_to(out, first, count, step, stride);
                }
            }
        },
    );
}

/// Lines side by side: line `l` is the real part of lane `l`, line `l + 16` its imaginary part.
struct Batch {
    re: Vec<Lanes>,
    im: Vec<Lanes>,
    next_re: Vec<Lanes>,
    next_im: Vec<Lanes>,
}

impl Batch {
    fn new(n: usize) -> Self {
        let zeros = || vec![[0f32; LANES]; n];
        Self {
            re: zeros(),
            im: zeros(),
            next_re: zeros(),
            next_im: zeros(),
        }
    }

    /// Reads `count` lines that start `step` apart, their voxels `stride` apart.
    #[inline(always)]
    fn fill(&mut self, source: &[f32], first: usize, count: usize, step: usize, stride: usize) {
        for (i, (re, im)) in self.re.iter_mut().zip(&mut self.im).enumerate() {
            let at = first + i * stride;
            for (lane, (re, im)) in re.iter_mut().zip(im).enumerate() {
                let read = |line: usize| {
                    if line < count {
                        source[at + line * step]
                    } else {
                        0.0
                    }
                };
                (*re, *im) = (read(lane), read(lane + LANES));
            }
        }
    }

    #[inline(always)]
    fn weigh(&mut self, weights: &[f32]) {
        for ((re, im), w) in self.re.iter_mut().zip(&mut self.im).zip(weights) {
            for (re, im) in re.iter_mut().zip(im) {
                *re *= w;
                *im *= w;
            }
        }
    }

    #[inline(always)]
    fn add_to(&self, out: &mut [f32], first: usize, count: usize, step: usize, stride: usize) {
        for (i, (re, im)) in self.re.iter().zip(&self.im).enumerate() {
            let at = first + i * stride;
            for (line, value) in re.iter().chain(im).take(count).enumerate() {
                out[at + line * step] += value;
            }
        }
    }
}

/// How a length is transformed: its factors, and the roots of unity.
struct Plan {
    /// Radices, whose product is the length.
    factors: Vec<usize>,
    /// Cosine and sine of `-2 pi k / n`.
    roots: Vec<[f32; 2]>,
}

impl Plan {
    fn new(n: usize) -> Self {
        let (mut rest, mut factors) = (n, Vec::new());
        // Fours first: they cost least; what is left is prime.
        for radix in std::iter::once(4).chain(2..) {
            while rest.is_multiple_of(radix) && rest > 1 {
                factors.push(radix);
                rest /= radix;
            }
            if rest <= 1 {
                break;
            }
        }
        let root = |k: usize| {
            let (sine, cosine) = sin_cos(steps(k as f64 / n as f64));
            [cosine, -sine]
        };
        Self {
            factors,
            roots: (0..n).map(root).collect(),
        }
    }

    /// The discrete Fourier transform of every lane, without the factor `1 / n` of the inverse.
    ///
    /// **Source** the autosorting form of Cooley and Tukey's algorithm (Stockham 1966) with mixed
    /// radices: a step of radix `r` takes `x[q + s (p + m j)]`, `j < r`, to `y[q + s (r p + k)]`, `k < r`,
    /// with `y = root(p k) * sum over j of root_r(j k) x`.
    #[inline(always)]
    fn transform(&self, batch: &mut Batch, inverse: bool) {
        let n = self.roots.len();
        if inverse {
            // The inverse is the transform with real and imaginary parts exchanged.
            std::mem::swap(&mut batch.re, &mut batch.im);
        }
        let mut s = 1;
        for &radix in &self.factors {
            let m = n / s / radix;
            for p in 0..m {
                for q in 0..s {
                    let place = Place {
                        from: q + s * p,
                        from_step: s * m,
                        to: q + s * radix * p,
                        to_step: s,
                        // root(p k) of length n / s is root s p k of length n.
                        turn: s * p,
                    };
                    match radix {
                        2 => self.two(batch, place),
                        4 => self.four(batch, place),
                        _ => self.any(batch, place, radix),
                    }
                }
            }
            std::mem::swap(&mut batch.re, &mut batch.next_re);
            std::mem::swap(&mut batch.im, &mut batch.next_im);
            s *= radix;
        }
        if inverse {
            std::mem::swap(&mut batch.re, &mut batch.im);
        }
    }

    #[inline(always)]
    fn two(&self, batch: &mut Batch, at: Place) {
        let [c, d] = self.roots[at.turn];
        let (a_re, a_im) = batch.read(at.from);
        let (b_re, b_im) = batch.read(at.from + at.from_step);
        for l in 0..LANES {
            let (x, y) = (a_re[l] - b_re[l], a_im[l] - b_im[l]);
            batch.next_re[at.to][l] = a_re[l] + b_re[l];
            batch.next_im[at.to][l] = a_im[l] + b_im[l];
            batch.next_re[at.to + at.to_step][l] = x * c - y * d;
            batch.next_im[at.to + at.to_step][l] = x * d + y * c;
        }
    }

    #[inline(always)]
    fn four(&self, batch: &mut Batch, at: Place) {
        let n = self.roots.len();
        let [one, two, three] = [1, 2, 3].map(|k| self.roots[k * at.turn % n]);
        let (a_re, a_im) = batch.read(at.from);
        let (b_re, b_im) = batch.read(at.from + at.from_step);
        let (c_re, c_im) = batch.read(at.from + 2 * at.from_step);
        let (d_re, d_im) = batch.read(at.from + 3 * at.from_step);
        let mut out = [([0f32; LANES], [0f32; LANES]); 4];
        for l in 0..LANES {
            let (e_re, e_im) = (a_re[l] + c_re[l], a_im[l] + c_im[l]);
            let (f_re, f_im) = (a_re[l] - c_re[l], a_im[l] - c_im[l]);
            let (g_re, g_im) = (b_re[l] + d_re[l], b_im[l] + d_im[l]);
            // (b - d) times -i.
            let (h_re, h_im) = (b_im[l] - d_im[l], d_re[l] - b_re[l]);
            let turned = |x: f32, y: f32, [c, s]: [f32; 2]| (x * c - y * s, x * s + y * c);
            (out[0].0[l], out[0].1[l]) = (e_re + g_re, e_im + g_im);
            (out[1].0[l], out[1].1[l]) = turned(f_re + h_re, f_im + h_im, one);
            (out[2].0[l], out[2].1[l]) = turned(e_re - g_re, e_im - g_im, two);
            (out[3].0[l], out[3].1[l]) = turned(f_re - h_re, f_im - h_im, three);
        }
        for (k, (re, im)) in out.into_iter().enumerate() {
            batch.next_re[at.to + k * at.to_step] = re;
            batch.next_im[at.to + k * at.to_step] = im;
        }
    }

    #[inline(always)]
    fn any(&self, batch: &mut Batch, at: Place, radix: usize) {
        let n = self.roots.len();
        for k in 0..radix {
            let (mut re, mut im) = batch.read(at.from);
            for j in 1..radix {
                let [c, d] = self.roots[j * k % radix * (n / radix)];
                let (x, y) = batch.read(at.from + j * at.from_step);
                for l in 0..LANES {
                    re[l] += x[l] * c - y[l] * d;
                    im[l] += x[l] * d + y[l] * c;
                }
            }
            let [c, d] = self.roots[k * at.turn % n];
            let to = at.to + k * at.to_step;
            for l in 0..LANES {
                batch.next_re[to][l] = re[l] * c - im[l] * d;
                batch.next_im[to][l] = re[l] * d + im[l] * c;
            }
        }
    }
}

/// Which numbers one butterfly takes and produces.
#[derive(Clone, Copy)]
struct Place {
    from: usize,
    from_step: usize,
    to: usize,
    to_step: usize,
    turn: usize,
}

impl Batch {
    #[inline(always)]
    fn read(&self, at: usize) -> (Lanes, Lanes) {
        (self.re[at], self.im[at])
    }
}

/// Adds a plane wave: what one wrong coefficient of the three-dimensional k-space does.
///
/// **Law** `v' = v + amplitude * cos(2 pi (f_x x / n_x + f_y y / n_y + f_z z / n_z + phase))` with
/// whole numbers `f` of periods a field of view. Phases are whole steps of 2^-32 turns, so
/// that every machine makes the same wave.
pub fn add_wave(
    values: &mut [f32],
    shape_xyz: [usize; 3],
    periods_xyz: [i64; 3],
    phase_turns: f64,
    amplitude: f32,
) {
    let [nx, ny, _] = shape_xyz;
    let turn = |axis: usize, i: usize| {
        let n = shape_xyz[axis] as i64;
        let share = (periods_xyz[axis] * i as i64).rem_euclid(n) as f64 / n as f64;
        steps(share)
    };
    let along_x: Vec<[f32; 2]> = (0..nx).map(|x| sin_cos(turn(0, x)).into()).collect();
    for (row, voxels) in values.chunks_exact_mut(nx.max(1)).enumerate() {
        let angle = steps(phase_turns)
            .wrapping_add(turn(1, row % ny))
            .wrapping_add(turn(2, row / ny));
        let (sine, cosine) = sin_cos(angle);
        let (sine, cosine) = (amplitude * sine, amplitude * cosine);
        for (v, [s, c]) in voxels.iter_mut().zip(&along_x) {
            *v += cosine * c - sine * s;
        }
    }
}

/// Sine and cosine of an angle in steps of 2^-32 turns.
#[inline(always)]
fn sin_cos(step: u32) -> (f32, f32) {
    // Step 0 of `sin_cos_of_turn` is at -45 degrees.
    sin_cos_of_turn(step.wrapping_add(1 << 29))
}

/// A share of a turn in steps of 2^-32 turns.
fn steps(turns: f64) -> u32 {
    (turns.rem_euclid(1.0) * 4_294_967_296.0) as u64 as u32
}

#[cfg(test)]
mod tests;

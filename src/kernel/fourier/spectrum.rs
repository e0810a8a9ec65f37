//! The Fourier transform of whole volumes of any size, axis by axis.

use super::super::simd::vectorised;
use super::{Batch, LANES, Plan, frequencies};

/// A complex volume `[z, y, x]`: real and imaginary parts.
#[derive(Debug, Clone)]
pub struct Spectrum {
    /// Real parts.
    pub re: Vec<f32>,
    /// Imaginary parts.
    pub im: Vec<f32>,
    shape_xyz: [usize; 3],
}

impl Spectrum {
    /// A complex volume; `None` when a part has not as many numbers as `shape_xyz` has voxels.
    pub fn new(re: Vec<f32>, im: Vec<f32>, shape_xyz: [usize; 3]) -> Option<Self> {
        let voxels = shape_xyz.iter().product::<usize>();
        (re.len() == voxels && im.len() == voxels).then_some(Self { re, im, shape_xyz })
    }

    /// The discrete Fourier transform along all three axes, in place.
    ///
    /// **Law** `F(f) = sum over x of v(x) exp(-2 pi i sum over axes of f_a x_a / n_a)`; the inverse with the
    /// other sign and without the factor `1 / (n_x n_y n_z)`. Frequencies stand in the order of
    /// [`frequencies`]. **Cost** a voxel the sum of the sizes' prime factors.
    pub fn transform(&mut self, inverse: bool) {
        if self.re.is_empty() {
            return;
        }
        for axis in 0..3 {
            self.transform_axis(axis, inverse);
        }
    }

    fn transform_axis(&mut self, axis: usize, inverse: bool) {
        let n = self.shape_xyz[axis];
        let stride: usize = self.shape_xyz[..axis].iter().product();
        // As in `add_filtered`: lines that start side by side, or along x all, `n` apart.
        let voxels = self.re.len();
        let (lines, step, block) = if axis == 0 {
            (voxels / n, n, voxels)
        } else {
            (stride, 1, stride * n)
        };
        let (plan, mut batch) = (Plan::new(n), Batch::new(n));
        vectorised(
            #[inline(always)]
            || {
                for start in (0..voxels).step_by(block) {
                    for begin in (0..lines).step_by(LANES) {
                        let count = (lines - begin).min(LANES);
                        let first = start + begin * step;
                        for i in 0..n {
                            for lane in 0..count {
                                let at = first + i * stride + lane * step;
                                batch.re[i][lane] = self.re[at];
                                batch.im[i][lane] = self.im[at];
                            }
                        }
                        plan.transform(&mut batch, inverse);
                        for i in 0..n {
                            for lane in 0..count {
                                let at = first + i * stride + lane * step;
                                self.re[at] = batch.re[i][lane];
                                self.im[at] = batch.im[i][lane];
                            }
                        }
                    }
                }
            },
        );
    }
}

/// Blends the low-frequency amplitudes of `partner` into `own`, whose phases stay.
///
/// **Law** where `|f_a| <= band_a` along every axis `F' = F + lambda (|P| - |F|) F / |F|`, with `F` and `P` the
/// spectra of `own` and `partner` and `F / |F|` 1 where `F` is 0; elsewhere `F' = F`. Only the difference is
/// transformed back and added, so `lambda` 0 changes no bit. **Shape** both `[z, y, x]` of `shape_xyz`;
/// with other numbers of voxels nothing changes. Both must be finite.
/// **Numerics** the two real volumes are transformed as one complex one and distinguished by symmetry.
pub fn blend_amplitude(
    own: &mut [f32],
    partner: &[f32],
    shape_xyz: [usize; 3],
    band: [usize; 3],
    lambda: f32,
) {
    let Some(mut both) = Spectrum::new(own.to_vec(), partner.to_vec(), shape_xyz) else {
        return;
    };
    if lambda == 0.0 {
        return;
    }
    both.transform(false);
    let [nx, ny, nz] = shape_xyz;
    let within = |axis: usize| -> Vec<usize> {
        let low = frequencies(shape_xyz[axis]).enumerate();
        let low = low.filter(|(_, f)| f.unsigned_abs() as usize <= band[axis]);
        low.map(|(i, _)| i).collect()
    };
    let zeros = || vec![0f32; own.len()];
    let mut difference = Spectrum {
        re: zeros(),
        im: zeros(),
        shape_xyz,
    };
    let [xs, ys, zs] = [within(0), within(1), within(2)];
    let scale = f64::from(lambda) / own.len() as f64;
    for &z in &zs {
        for &y in &ys {
            for &x in &xs {
                let at = (z * ny + y) * nx + x;
                let mirrored = ((nz - z) % nz * ny + (ny - y) % ny) * nx + (nx - x) % nx;
                let [a, b] = [at, mirrored].map(|i| [both.re[i], both.im[i]].map(f64::from));
                // Of z = own + i partner: F = (Z(f) + conj Z(-f)) / 2, P = (Z(f) - conj Z(-f)) / 2i.
                let (f_re, f_im) = (0.5 * (a[0] + b[0]), 0.5 * (a[1] - b[1]));
                let (p_re, p_im) = (0.5 * (a[1] + b[1]), 0.5 * (b[0] - a[0]));
                let amplitude = (f_re * f_re + f_im * f_im).sqrt();
                let more = scale * ((p_re * p_re + p_im * p_im).sqrt() - amplitude);
                let (re, im) = match amplitude > 0.0 {
                    true => (more * f_re / amplitude, more * f_im / amplitude),
                    false => (more, 0.0),
                };
                (difference.re[at], difference.im[at]) = (re as f32, im as f32);
            }
        }
    }
    difference.transform(true);
    own.iter_mut()
        .zip(&difference.re)
        .for_each(|(v, d)| *v += d);
}

#[cfg(test)]
mod tests;

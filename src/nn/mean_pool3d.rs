//! Means over boxes of voxels, in candle's own operations.

use candle_core::{Result, Tensor, bail};

/// The mean of each box of voxels, as many boxes along depth, height and width as `to` says.
///
/// **Shape** `[n, d, h, w, c]` to `[n, to[0], to[1], to[2], c]`; every edge must be a multiple of its
/// count of boxes.
///
/// **Errors** where an edge is none, or there are not five axes.
pub fn mean_pool3d(x: &Tensor, to: [usize; 3]) -> Result<Tensor> {
    let (n, d, h, w, c) = x.dims5()?;
    let edges = [d, h, w];
    if edges
        .iter()
        .zip(to)
        .any(|(edge, to)| to == 0 || edge % to != 0)
    {
        bail!("mean_pool3d: expected edges that divide by {to:?}, found {edges:?} (z, y, x)");
    }
    let (mut y, mut outer) = (x.contiguous()?, n);
    for (axis, inner) in [h * w * c, w * c, c].into_iter().enumerate() {
        outer *= to[axis];
        if edges[axis] != to[axis] {
            y = y.reshape((outer, edges[axis] / to[axis], inner))?.mean(1)?;
        }
    }
    y.reshape((n, to[0], to[1], to[2], c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::check::{check_op, normals};
    use candle_core::{DType, Device};

    /// Every voxel adds its share to its box.
    fn direct(x: &[f64], [n, d, h, w, c]: [usize; 5], [td, th, tw]: [usize; 3]) -> Vec<f64> {
        let mut y = vec![0.0; n * td * th * tw * c];
        let share = (td * th * tw) as f64 / (d * h * w) as f64;
        for (i, x) in x.iter().enumerate() {
            let (ch, px, py) = (i % c, i / c % w, i / (c * w) % h);
            let (pz, b) = (i / (c * w * h) % d, i / (c * w * h * d));
            let (z, y_, x_) = (pz * td / d, py * th / h, px * tw / w);
            y[(((b * td + z) * th + y_) * tw + x_) * c + ch] += share * x;
        }
        y
    }

    #[test]
    fn agrees_with_the_definition_and_its_differences() {
        for (shape, to) in [
            ([1, 2, 4, 6, 3], [1, 2, 3]),
            ([2, 4, 3, 2, 2], [1, 3, 1]),
            ([1, 3, 2, 5, 1], [3, 2, 5]),
        ] {
            check_op(
                &format!("mean_pool3d {shape:?} to {to:?}"),
                &[(&shape, normals("x", shape.iter().product()))],
                1e-5,
                |t| mean_pool3d(&t[0], to),
                |v| direct(&v[0], shape, to),
            );
        }
    }

    #[test]
    fn edges_that_do_not_divide_are_refused() {
        let x = Tensor::zeros((1, 4, 4, 5, 1), DType::F32, &Device::Cpu).unwrap();
        let text = mean_pool3d(&x, [2, 2, 2]).unwrap_err().to_string();
        assert!(text.contains("[4, 4, 5]"), "{text}");
    }
}

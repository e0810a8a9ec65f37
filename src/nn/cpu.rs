//! The CPU side every operator shares: slices out of storages, matrix products, parallel output.
//!
//! The `unsafe` of this folder is here, behind bounds that are checked.

use candle_core::{CpuStorage, Layout, Result, bail};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Work of one parallel task for elementwise passes, in values.
pub(super) const CHUNK: usize = 1 << 15;

/// Columns of one product. gemm 0.19's AVX-512 kernels run at 100 GFLOP/s with one vector of
/// columns, at 75 with two or three and at 30 with four (their accumulators leave the registers).
const COLUMNS: usize = 16;

/// The five sizes of a layout. **Errors** name the operator and the shape found.
pub(super) fn dims5(op: &str, layout: &Layout) -> Result<[usize; 5]> {
    match *layout.dims() {
        [a, b, c, d, e] => Ok([a, b, c, d, e]),
        ref found => {
            bail!(
                "{op}: expected five axes [n, d, h, w, c] or [co, kd, kh, kw, ci], found {found:?}"
            )
        }
    }
}

/// The values of a contiguous f32 storage. **Errors** name the operator and what was found.
pub(super) fn f32s<'a>(op: &str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!(
            "{op}: expected a contiguous tensor, found strides {:?}",
            layout.stride()
        );
    };
    match storage {
        CpuStorage::F32(values) => Ok(&values[start..end]),
        _ => bail!("{op}: expected f32 values; convert with `to_dtype`"),
    }
}

/// A read-only matrix inside a slice: element (i, j) is at `i * strides[0] + j * strides[1]`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) data: &'a [f32],
    pub(super) strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// Rows of `stride` values, one after another.
    pub(super) fn rows(data: &'a [f32], stride: usize) -> Self {
        Self {
            data,
            strides: [stride, 1],
        }
    }

    /// The transpose, without copying.
    pub(super) fn t(self) -> Self {
        Self {
            data: self.data,
            strides: [self.strides[1], self.strides[0]],
        }
    }

    fn holds(&self, rows: usize, cols: usize) -> bool {
        (rows - 1) * self.strides[0] + (cols - 1) * self.strides[1] < self.data.len()
    }
}

/// `dst = a b`, or `dst += a b`, with `a` m x k, `b` k x n and rows of `dst` `stride` apart.
///
/// Runs on the calling thread: parallelism is over tiles, where the partition is ours.
/// **Panics** when a matrix does not fit its slice.
pub(super) fn matmul(
    [m, k, n]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    dst: &mut [f32],
    stride: usize,
    accumulate: bool,
) {
    if m == 0 || n == 0 || k == 0 {
        assert!(k > 0 || accumulate, "an empty product must accumulate");
        return;
    }
    assert!(
        a.holds(m, k) && b.holds(k, n),
        "operands lie inside their slices"
    );
    assert!(
        n <= stride && (m - 1) * stride + n <= dst.len(),
        "rows of the product are disjoint and lie inside their slice"
    );
    for first in (0..n).step_by(COLUMNS) {
        #[expect(
            unsafe_code,
            reason = "gemm takes pointers and strides; bounds are asserted above"
        )]
        // SAFETY: every element that gemm reads or writes is inside the three slices by the
        // assertions above; `dst` is borrowed mutably, so it overlaps neither operand.
        unsafe {
            gemm::gemm(
                m,
                COLUMNS.min(n - first),
                k,
                dst.as_mut_ptr().add(first),
                1,
                stride as isize,
                accumulate,
                a.data.as_ptr(),
                a.strides[1] as isize,
                a.strides[0] as isize,
                b.data.as_ptr().add(first * b.strides[1]),
                b.strides[1] as isize,
                b.strides[0] as isize,
                1.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}

/// Makes a vector out of consecutive pieces of the given lengths, each filled by one parallel task.
///
/// A piece is zero when its task starts; it is zeroed there, in cache, rather than for the whole
/// vector beforehand. `init` makes a scratch value that a thread keeps between pieces.
pub(super) fn fill_pieces<S>(
    lengths: impl IntoIterator<Item = usize>,
    init: impl Fn() -> S + Sync + Send,
    fill: impl Fn(&mut S, usize, &mut [f32]) + Sync + Send,
) -> Vec<f32> {
    let lengths: Vec<usize> = lengths.into_iter().collect();
    let total = lengths.iter().sum();
    let mut out: Vec<f32> = Vec::with_capacity(total);
    let mut rest = &mut out.spare_capacity_mut()[..total];
    let mut pieces = Vec::with_capacity(lengths.len());
    for length in lengths {
        let (piece, tail) = rest.split_at_mut(length);
        pieces.push(piece);
        rest = tail;
    }
    pieces
        .into_par_iter()
        .enumerate()
        .for_each_init(init, |scratch, (index, piece)| {
            piece.fill(MaybeUninit::new(0.0));
            #[expect(unsafe_code, reason = "the piece was just written in full")]
            // SAFETY: `MaybeUninit<f32>` has the layout of `f32` and every element was written.
            let piece = unsafe { &mut *(std::ptr::from_mut(piece) as *mut [f32]) };
            fill(scratch, index, piece);
        });
    #[expect(unsafe_code, reason = "all pieces together are the whole vector")]
    // SAFETY: the pieces cover the first `total` elements and each was written in full.
    unsafe {
        out.set_len(total);
    }
    out
}

/// Adds `values` to `sums`, element by element.
pub(super) fn add(sums: &mut [f32], values: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}

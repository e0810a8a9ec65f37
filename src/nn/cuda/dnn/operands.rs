//! What every interface of cuDNN is told of a convolution.

use super::super::super::conv3d::{Pass, Sizes};
use super::super::launch::Value;
use candle_core::Error;
use candle_core::cuda_backend::cudarc::cudnn::result::CudnnError;
use std::ffi::c_void;

/// Largest workspace of one convolution, in bytes. In f32 the engines worth having convert a whole volume
/// of 128³ to another layout; without room for it 96 channels took 1.4 s on an H200.
pub(super) fn most_workspace<T: Value>() -> usize {
    match T::SUFFIX {
        "f32" => 4 << 30,
        _ => 1 << 30,
    }
}

/// Device addresses of a convolution's two inputs, its result and its workspace.
#[derive(Clone, Copy)]
pub(super) struct Operands {
    pub(super) a: *mut c_void,
    pub(super) b: *mut c_void,
    pub(super) out: *mut c_void,
    pub(super) work: *mut c_void,
}

/// Strides of a channels-last volume `[n, d, h, w, c]`, in cuDNN's order of axes.
pub(super) fn strides([_, d, h, w, c]: [usize; 5]) -> [usize; 5] {
    [d * h * w * c, 1, h * w * c, w * c, c]
}

/// Values that a pass produces.
pub(super) fn results(pass: Pass, sizes: Sizes) -> usize {
    match pass {
        Pass::Forward => sizes.output().iter().product(),
        Pass::Data => sizes.x.iter().product(),
        Pass::Filter => sizes.co * sizes.kernel.iter().product::<usize>() * sizes.x[4],
    }
}

/// The error of a call that failed, and what may be missing.
pub(super) fn failed(what: &str) -> impl Fn(CudnnError) -> Error + '_ {
    move |e| {
        Error::msg(format!(
            "cuDNN: {what} failed ({e:?}); is libcudnn.so.9 on this machine, and its folder in LD_LIBRARY_PATH?"
        ))
    }
}

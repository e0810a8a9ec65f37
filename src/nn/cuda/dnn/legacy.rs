//! Convolutions through cuDNN's first interface, which takes one convolution at a time.
#![expect(unsafe_code, reason = "cuDNN's C interface")]

use super::super::super::conv3d::{Pass, Sizes};
use super::super::launch::Value;
use super::operands::{Operands, failed, most_workspace, strides};
use candle_core::Result;
use candle_core::cuda_backend::cudarc::cudnn::result::{self, CudnnError};
use candle_core::cuda_backend::cudarc::cudnn::sys;

/// How one shape is convolved.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    x: sys::cudnnTensorDescriptor_t,
    y: sys::cudnnTensorDescriptor_t,
    w: sys::cudnnFilterDescriptor_t,
    conv: sys::cudnnConvolutionDescriptor_t,
    algorithm: Algorithm,
    /// Bytes it needs beside its operands.
    pub(super) workspace: usize,
}

#[derive(Debug, Clone, Copy)]
enum Algorithm {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    Data(sys::cudnnConvolutionBwdDataAlgo_t),
    Filter(sys::cudnnConvolutionBwdFilterAlgo_t),
}

impl Algorithm {
    /// cuDNN's number, which differs in meaning from pass to pass.
    fn number(self) -> i64 {
        match self {
            Self::Forward(algorithm) => algorithm as i64,
            Self::Data(algorithm) => algorithm as i64,
            Self::Filter(algorithm) => algorithm as i64,
        }
    }
}

/// The algorithms of one direction, best first, that succeeded, are deterministic and fit.
macro_rules! candidates {
    ($get:ident, $perf:ty, $kind:expr; $($arg:expr),*) => {{
        // SAFETY: a structure of numbers; cuDNN says how many of them it filled.
        let mut found: [$perf; 16] = unsafe { std::mem::zeroed() };
        let mut count = 0;
        // SAFETY: the descriptors are alive and the array has room for 16.
        let status = unsafe { sys::$get($($arg),*, 16, &raw mut count, found.as_mut_ptr()) };
        let found = match status.result() {
            Ok(()) => &found[..count.clamp(0, 16) as usize],
            Err(_) => &[],
        };
        found
            .iter()
            .filter(|p| {
                p.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS
                    && p.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC
                    && p.memory <= most_workspace::<T>()
            })
            .map(|p| ($kind(p.algo), p.mathType))
            .next()
    }};
}

/// The best algorithm for a shape; `None` where there is none that is deterministic and fits.
///
/// **Errors** where cuDNN cannot describe the convolution.
pub(super) fn plan<T: Value>(
    handle: sys::cudnnHandle_t,
    pass: Pass,
    sizes: Sizes,
) -> Result<Option<Plan>> {
    let Sizes {
        x,
        kernel,
        co,
        stride,
    } = sizes;
    let ci = x[4];
    let ints = |of: [usize; 5]| of.map(|size| size as i32);
    let describe = |size: [usize; 5]| -> std::result::Result<_, CudnnError> {
        let tensor = result::create_tensor_descriptor()?;
        // SAFETY: the descriptor was just made, and both arrays hold five numbers.
        unsafe {
            let [n, d, h, w, c] = size;
            let (dims, strides) = (ints([n, c, d, h, w]), ints(strides(size)));
            result::set_tensornd_descriptor(tensor, T::DNN, 5, dims.as_ptr(), strides.as_ptr())?;
        }
        Ok(tensor)
    };
    let build = || -> std::result::Result<_, CudnnError> {
        let (x, y) = (describe(x)?, describe(sizes.output())?);
        let (w, conv) = (
            result::create_filter_descriptor()?,
            result::create_convolution_descriptor()?,
        );
        let [kd, kh, kw] = kernel;
        let dims = ints([co, ci, kd, kh, kw]);
        let (pads, ones) = (kernel.map(|k| (k / 2) as i32), [1i32; 3]);
        let strides = [stride as i32; 3];
        // SAFETY: the descriptors were just made; the arrays hold five and three numbers.
        unsafe {
            let layout = sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;
            result::set_filternd_descriptor(w, T::DNN, layout, 5, dims.as_ptr())?;
            result::set_convolutionnd_descriptor(
                conv,
                3,
                pads.as_ptr(),
                strides.as_ptr(),
                ones.as_ptr(),
                sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION,
                sys::cudnnDataType_t::CUDNN_DATA_FLOAT,
            )?;
            result::set_convolution_math_type(conv, math::<T>())?;
        }
        Ok((x, y, w, conv))
    };
    let (x, y, w, conv) = build().map_err(failed("describing a convolution"))?;
    let chosen = match pass {
        Pass::Forward => candidates!(
            cudnnGetConvolutionForwardAlgorithm_v7,
            sys::cudnnConvolutionFwdAlgoPerf_t, Algorithm::Forward; handle, x, w, conv, y
        ),
        Pass::Data => candidates!(
            cudnnGetConvolutionBackwardDataAlgorithm_v7,
            sys::cudnnConvolutionBwdDataAlgoPerf_t, Algorithm::Data; handle, w, y, conv, x
        ),
        Pass::Filter => candidates!(
            cudnnGetConvolutionBackwardFilterAlgorithm_v7,
            sys::cudnnConvolutionBwdFilterAlgoPerf_t, Algorithm::Filter; handle, x, y, conv, w
        ),
    };
    let Some((algorithm, math)) = chosen else {
        return Ok(None);
    };
    // SAFETY: the descriptors and the handle are alive.
    let workspace = unsafe {
        // f32 stays f32: no algorithm may round to TF32, whatever it proposes.
        if T::SUFFIX != "f32" {
            result::set_convolution_math_type(conv, math).map_err(failed("its arithmetic"))?;
        }
        match algorithm {
            Algorithm::Forward(algo) => {
                result::get_convolution_forward_workspace_size(handle, x, w, conv, y, algo)
            }
            Algorithm::Data(algo) => {
                result::get_convolution_backward_data_workspace_size(handle, w, y, conv, x, algo)
            }
            Algorithm::Filter(algo) => {
                result::get_convolution_backward_filter_workspace_size(handle, x, y, conv, w, algo)
            }
        }
    }
    .map_err(failed("sizing a workspace"))?;
    Ok(Some(Plan {
        x,
        y,
        w,
        conv,
        algorithm,
        workspace,
    }))
}

fn math<T: Value>() -> sys::cudnnMathType_t {
    match T::SUFFIX {
        "f32" => sys::cudnnMathType_t::CUDNN_FMA_MATH,
        _ => sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
    }
}

impl Plan {
    /// cuDNN's number of the algorithm.
    pub(super) fn algorithm(&self) -> i64 {
        self.algorithm.number()
    }

    /// Launches it on the handle's stream.
    ///
    /// **Errors** what cuDNN answers.
    pub(super) fn launch(
        &self,
        handle: sys::cudnnHandle_t,
        Operands { a, b, out, work }: Operands,
    ) -> Result<()> {
        // The scalars are f32 for both types of values.
        let (one, zero) = (1f32, 0f32);
        let (one, zero) = ((&raw const one).cast(), (&raw const zero).cast());
        let &Self {
            x,
            y,
            w,
            conv,
            algorithm,
            workspace: bytes,
        } = self;
        // SAFETY: the buffers have the descriptors' sizes, and the handle works on the stream that all
        // of them belong to: the caller saw to both.
        unsafe {
            match algorithm {
                Algorithm::Forward(algo) => result::convolution_forward(
                    handle, one, x, a, w, b, conv, algo, work, bytes, zero, y, out,
                ),
                Algorithm::Data(algo) => result::convolution_backward_data(
                    handle, one, w, b, y, a, conv, algo, work, bytes, zero, x, out,
                ),
                Algorithm::Filter(algo) => result::convolution_backward_filter(
                    handle, one, x, a, y, b, conv, algo, work, bytes, zero, w, out,
                ),
            }
        }
        .map_err(failed("a convolution"))
    }
}

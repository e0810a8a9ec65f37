//! Convolutions through cuDNN: channels last, f32 without TF32, or bf16 with sums in f32.
//!
//! cuDNN speaks of `[n, c, d, h, w]` whatever the memory looks like: channels last are strides, and a
//! kernel `[co, kd, kh, kw, ci]` is its `NHWC` filter. An algorithm is chosen once for a shape, among
//! those that give the same bits every time.
#![expect(unsafe_code, reason = "cuDNN's C interface")]

use super::super::conv3d::{Pass, Sizes};
use super::volume::plain_conv3d;
use super::{Arg, Value, by_type, room, view};
use candle_core::cuda_backend::cudarc::cudnn::result::{self, CudnnError};
use candle_core::cuda_backend::cudarc::cudnn::sys;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, DevicePtr as _};
use candle_core::cuda_backend::{CudaDevice, DeviceId, WrapErr as _};
use candle_core::{CudaStorage, Error, Result};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;

/// Largest workspace of one convolution, in bytes.
const WORKSPACE: usize = 4 << 30;

/// Asks cuDNN to measure its algorithms instead of believing its model of them.
///
/// Faster at times; but a second run may choose otherwise, so its bits may differ from the first's.
const SEARCH: &str = "VOXSTREAM_CUDNN_SEARCH";

type Key = (Pass, Sizes, sys::cudnnDataType_t);

/// A handle and the plans made with it; both live as long as the thread, which is the program's.
struct Dnn {
    handle: sys::cudnnHandle_t,
    /// `None` where cuDNN has no algorithm.
    plans: HashMap<Key, Option<Plan>>,
}

/// How one shape is convolved.
#[derive(Clone, Copy)]
struct Plan {
    x: sys::cudnnTensorDescriptor_t,
    y: sys::cudnnTensorDescriptor_t,
    w: sys::cudnnFilterDescriptor_t,
    conv: sys::cudnnConvolutionDescriptor_t,
    algorithm: Algorithm,
    workspace: usize,
}

#[derive(Clone, Copy)]
enum Algorithm {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    Data(sys::cudnnConvolutionBwdDataAlgo_t),
    Filter(sys::cudnnConvolutionBwdFilterAlgo_t),
}

thread_local! {
    static DNN: RefCell<HashMap<DeviceId, Dnn>> = RefCell::default();
}

fn failed(what: &str) -> impl Fn(CudnnError) -> Error + '_ {
    move |e| {
        Error::msg(format!(
            "cuDNN: {what} failed ({e:?}); is libcudnn.so.9 on this machine, and its folder in LD_LIBRARY_PATH?"
        ))
    }
}

/// The algorithms of one direction, best first, that succeeded, are deterministic and fit.
macro_rules! candidates {
    ($get:ident, $find:ident, $perf:ty, $kind:expr; $($arg:expr),*) => {{
        // SAFETY: a structure of numbers; cuDNN says how many of them it filled.
        let mut found: [$perf; 16] = unsafe { std::mem::zeroed() };
        let mut count = 0;
        let ask = if std::env::var_os(SEARCH).is_some() { sys::$find } else { sys::$get };
        // SAFETY: the descriptors are alive and the array has room for 16.
        let status = unsafe { ask($($arg),*, 16, &raw mut count, found.as_mut_ptr()) };
        let found = match status.result() {
            Ok(()) => &found[..count.clamp(0, 16) as usize],
            Err(_) => &[],
        };
        found
            .iter()
            .filter(|p| {
                p.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS
                    && p.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC
                    && p.memory <= WORKSPACE
            })
            .map(|p| ($kind(p.algo), p.mathType))
            .next()
    }};
}

impl Dnn {
    fn new(device: &CudaDevice) -> Result<Self> {
        let stream = device.cuda_stream();
        stream.context().bind_to_thread().w()?;
        let handle = result::create_handle().map_err(failed("opening it"))?;
        // SAFETY: both are alive; the stream lives as long as the device that keys this handle.
        unsafe { result::set_stream(handle, stream.cu_stream() as *mut _) }
            .map_err(failed("taking the stream"))?;
        Ok(Self {
            handle,
            plans: HashMap::new(),
        })
    }

    /// The plan for a shape; made, and told about if there is none, at its first use.
    fn plan<T: Value>(&mut self, pass: Pass, sizes: Sizes) -> Result<Option<Plan>> {
        let key = (pass, sizes, T::DNN);
        if let Some(plan) = self.plans.get(&key) {
            return Ok(*plan);
        }
        let plan = self.make::<T>(pass, sizes)?;
        if plan.is_none() {
            tracing::warn!(
                ?pass,
                ?sizes,
                values = T::SUFFIX,
                "cuDNN has no deterministic algorithm for this convolution; a plain, slow kernel does it"
            );
        }
        self.plans.insert(key, plan);
        Ok(plan)
    }

    fn make<T: Value>(&self, pass: Pass, sizes: Sizes) -> Result<Option<Plan>> {
        let Sizes {
            x,
            kernel,
            co,
            stride,
        } = sizes;
        let ci = x[4];
        // cuDNN counts in 32 bits.
        let large = |size: [usize; 5]| i32::try_from(size.iter().product::<usize>()).is_err();
        if large(x) || large(sizes.output()) {
            return Ok(None);
        }
        let ints = |of: [usize; 5]| of.map(|size| size as i32);
        let describe = |[n, d, h, w, c]: [usize; 5]| -> std::result::Result<_, CudnnError> {
            let strides = [d * h * w * c, 1, h * w * c, w * c, c];
            let tensor = result::create_tensor_descriptor()?;
            // SAFETY: the descriptor was just made, and both arrays hold five numbers.
            unsafe {
                let (dims, strides) = (ints([n, c, d, h, w]), ints(strides));
                result::set_tensornd_descriptor(
                    tensor,
                    T::DNN,
                    5,
                    dims.as_ptr(),
                    strides.as_ptr(),
                )?;
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
        let handle = self.handle;
        let chosen = match pass {
            Pass::Forward => candidates!(
                cudnnGetConvolutionForwardAlgorithm_v7, cudnnFindConvolutionForwardAlgorithm,
                sys::cudnnConvolutionFwdAlgoPerf_t, Algorithm::Forward; handle, x, w, conv, y
            ),
            Pass::Data => candidates!(
                cudnnGetConvolutionBackwardDataAlgorithm_v7, cudnnFindConvolutionBackwardDataAlgorithm,
                sys::cudnnConvolutionBwdDataAlgoPerf_t, Algorithm::Data; handle, w, y, conv, x
            ),
            Pass::Filter => candidates!(
                cudnnGetConvolutionBackwardFilterAlgorithm_v7, cudnnFindConvolutionBackwardFilterAlgorithm,
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
                Algorithm::Data(algo) => result::get_convolution_backward_data_workspace_size(
                    handle, w, y, conv, x, algo,
                ),
                Algorithm::Filter(algo) => result::get_convolution_backward_filter_workspace_size(
                    handle, x, y, conv, w, algo,
                ),
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
}

fn math<T: Value>() -> sys::cudnnMathType_t {
    match T::SUFFIX {
        "f32" => sys::cudnnMathType_t::CUDNN_FMA_MATH,
        _ => sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
    }
}

/// One of a convolution's three passes; the operands are (x, w), (dy, w) or (x, dy).
pub(in crate::nn) fn conv3d(
    op: &str,
    pass: Pass,
    sizes: Sizes,
    a: Arg<'_>,
    b: Arg<'_>,
) -> Result<CudaStorage> {
    fn go<T: Value>(
        op: &str,
        pass: Pass,
        sizes: Sizes,
        a: Arg<'_>,
        b: Arg<'_>,
    ) -> Result<CudaStorage> {
        let device = a.0.device.clone();
        let (a, b) = (view::<T>(op, a)?, view::<T>(op, b)?);
        let plan = DNN.with_borrow_mut(|all| -> Result<_> {
            let dnn = match all.entry(device.id()) {
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert(Dnn::new(&device)?)
                }
            };
            Ok(dnn.plan::<T>(pass, sizes)?.map(|plan| (dnn.handle, plan)))
        })?;
        let out = match plan {
            Some((handle, plan)) => carry_out(handle, &plan, sizes, &device, (&a, &b))?,
            None if sizes.stride > 1 => candle_core::bail!(
                "{op}: cuDNN has no deterministic algorithm for {sizes:?} in {}, and no kernel of ours has a stride; train this network on the CPU, or one without stride",
                T::SUFFIX
            ),
            None => plain_conv3d(&device, pass, sizes.x, sizes.kernel, sizes.co, (&a, &b))?,
        };
        Ok(CudaStorage::wrap_cuda_slice(out, device.clone()))
    }
    by_type!(op, a, go(op, pass, sizes, a, b))
}

fn carry_out<T: Value>(
    handle: sys::cudnnHandle_t,
    plan: &Plan,
    sizes: Sizes,
    device: &CudaDevice,
    (a, b): (&CudaView<'_, T>, &CudaView<'_, T>),
) -> Result<CudaSlice<T>> {
    let stream = device.cuda_stream();
    let count = match plan.algorithm {
        Algorithm::Forward(_) => sizes.output().iter().product(),
        Algorithm::Data(_) => sizes.x.iter().product(),
        Algorithm::Filter(_) => sizes.co * sizes.kernel.iter().product::<usize>() * sizes.x[4],
    };
    let (out, workspace) = (
        room::<T>(device, count)?,
        room::<u8>(device, plan.workspace.max(1))?,
    );
    let at = |pointer: u64| pointer as *mut c_void;
    // The scalars are f32 for both types of values.
    let (one, zero) = (1f32, 0f32);
    let (one, zero) = ((&raw const one).cast(), (&raw const zero).cast());
    let (a, _a) = a.device_ptr(&stream);
    let (b, _b) = b.device_ptr(&stream);
    let (y, _y) = out.device_ptr(&stream);
    let (work, _work) = workspace.device_ptr(&stream);
    let (a, b, y, work, bytes) = (at(a), at(b), at(y), at(work), plan.workspace);
    let &Plan {
        x: dx,
        y: dy,
        w,
        conv,
        algorithm,
        ..
    } = plan;
    // SAFETY: the buffers have the descriptors' sizes: `view` and the operators' checks saw to the
    // operands, `count` to the result. The handle works on the stream that all of them belong to.
    unsafe {
        match algorithm {
            Algorithm::Forward(algo) => result::convolution_forward(
                handle, one, dx, a, w, b, conv, algo, work, bytes, zero, dy, y,
            ),
            Algorithm::Data(algo) => result::convolution_backward_data(
                handle, one, w, b, dy, a, conv, algo, work, bytes, zero, dx, y,
            ),
            Algorithm::Filter(algo) => result::convolution_backward_filter(
                handle, one, dx, a, dy, b, conv, algo, work, bytes, zero, w, y,
            ),
        }
    }
    .map_err(failed("a convolution"))?;
    drop((_a, _b, _y, _work));
    Ok(out)
}

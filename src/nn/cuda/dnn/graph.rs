//! Convolutions through cuDNN's graph interface (`cudnnBackend…`), which newer engines need.
//!
//! Checked call by call against cuDNN 9's reference of the backend interface:
//!
//! | descriptor | attributes set, in this order |
//! | --- | --- |
//! | tensor | data type, dimensions and strides as `[n, c, d, h, w]`, number, alignment |
//! | convolution | computing type f32, cross-correlation, 3 axes, dilations, strides, padding before and after |
//! | operation | the convolution, x, w and y (or dx and dy, or dw), alpha 1 and beta 0 as f32 |
//! | operation graph | handle, one operation |
//! | heuristics | the graph, mode; `RESULTS` fills engine configurations that the caller made |
//! | execution plan | handle, engine configuration; then reports its workspace |
//! | variant pack | numbers, pointers, workspace |
#![expect(unsafe_code, reason = "cuDNN's C interface")]

use super::super::super::conv3d::{Pass, Sizes};
use super::super::launch::Value;
use super::descriptor::{Descriptor, Status, succeeded};
use super::operands::{Operands, most_workspace, strides};
use candle_core::cuda_backend::cudarc::cudnn::sys::{
    self, cudnnBackendAttributeName_t as Name, cudnnBackendAttributeType_t as Type,
    cudnnBackendDescriptorType_t as Kind, cudnnBackendHeurMode_t as Mode,
};
use std::ffi::c_void;
use std::rc::Rc;

/// Engine configurations that are asked for in one mode.
const CONFIGS: usize = 64;

/// Numbers by which the variant pack names the three tensors.
const IDS: [i64; 3] = [1, 2, 3];

/// One engine's way to convolve one shape.
pub(super) struct Plan {
    plan: Rc<Descriptor>,
    /// Number of cuDNN's engine.
    pub(super) engine: i64,
    /// Bytes it needs beside its operands.
    pub(super) workspace: usize,
}

fn tensor<T: Value>(id: i64, dims: [usize; 5]) -> Status<Rc<Descriptor>> {
    let made = Descriptor::new(Kind::CUDNN_BACKEND_TENSOR_DESCRIPTOR)?;
    let [n, d, h, w, c] = dims;
    let sizes = [n, c, d, h, w].map(|size| size as i64);
    made.set(
        Name::CUDNN_ATTR_TENSOR_DATA_TYPE,
        Type::CUDNN_TYPE_DATA_TYPE,
        &[T::DNN],
    )?;
    let int = Type::CUDNN_TYPE_INT64;
    made.set(Name::CUDNN_ATTR_TENSOR_DIMENSIONS, int, &sizes)?;
    let strides = strides(dims).map(|stride| stride as i64);
    made.set(Name::CUDNN_ATTR_TENSOR_STRIDES, int, &strides)?;
    made.set(Name::CUDNN_ATTR_TENSOR_UNIQUE_ID, int, &[id])?;
    made.set(Name::CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, int, &[16i64])?;
    made.finalised()
}

fn convolution(sizes: Sizes) -> Status<Rc<Descriptor>> {
    let made = Descriptor::new(Kind::CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR)?;
    let int = Type::CUDNN_TYPE_INT64;
    made.set(
        Name::CUDNN_ATTR_CONVOLUTION_COMP_TYPE,
        Type::CUDNN_TYPE_DATA_TYPE,
        &[sys::cudnnDataType_t::CUDNN_DATA_FLOAT],
    )?;
    made.set(
        Name::CUDNN_ATTR_CONVOLUTION_CONV_MODE,
        Type::CUDNN_TYPE_CONVOLUTION_MODE,
        &[sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION],
    )?;
    made.set(Name::CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, int, &[3i64])?;
    let pads = sizes.kernel.map(|k| (k / 2) as i64);
    made.set(Name::CUDNN_ATTR_CONVOLUTION_DILATIONS, int, &[1i64; 3])?;
    let strides = [sizes.stride as i64; 3];
    made.set(Name::CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, int, &strides)?;
    made.set(Name::CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, int, &pads)?;
    made.set(Name::CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, int, &pads)?;
    made.finalised()
}

/// The operation of one pass, whose tensors are numbered x 1, w 2, y 3.
fn operation<T: Value>(pass: Pass, sizes: Sizes) -> Status<Rc<Descriptor>> {
    let [kd, kh, kw] = sizes.kernel;
    let x = tensor::<T>(IDS[0], sizes.x)?;
    let w = tensor::<T>(IDS[1], [sizes.co, kd, kh, kw, sizes.x[4]])?;
    let y = tensor::<T>(IDS[2], sizes.output())?;
    let conv = convolution(sizes)?;
    let (kind, names, [alpha, beta]) = match pass {
        Pass::Forward => (
            Kind::CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
            [
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
            ],
            [
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
            ],
        ),
        Pass::Data => (
            Kind::CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
            [
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
            ],
            [
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
            ],
        ),
        Pass::Filter => (
            Kind::CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
            [
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
            ],
            [
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                Name::CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
            ],
        ),
    };
    let mut made = Descriptor::new(kind)?;
    for (name, of) in names.into_iter().zip([&conv, &x, &w, &y]) {
        made.refer(name, of)?;
    }
    made.set(alpha, Type::CUDNN_TYPE_FLOAT, &[1f32])?;
    made.set(beta, Type::CUDNN_TYPE_FLOAT, &[0f32])?;
    made.finalised()
}

/// Notes of an engine that rule it out: other bits every time, or rounding beyond that of the values.
fn unwanted<T: Value>(note: i32) -> bool {
    use sys::cudnnBackendNumericalNote_t as Note;
    let is = |wanted: Note| note == wanted as i32;
    let rounds = is(Note::CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS)
        || is(Note::CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION);
    is(Note::CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)
        || rounds
        // Tensor cores have no f32: they would round to TF32.
        || (T::SUFFIX == "f32" && is(Note::CUDNN_NUMERICAL_NOTE_TENSOR_CORE))
}

/// The number of a configuration's engine; `None` where its notes rule it out.
fn engine_of<T: Value>(config: &Rc<Descriptor>) -> Status<Option<i64>> {
    let engine = Descriptor::new(Kind::CUDNN_BACKEND_ENGINE_DESCRIPTOR)?;
    let mut raw = [engine.raw];
    config.get(
        Name::CUDNN_ATTR_ENGINECFG_ENGINE,
        Type::CUDNN_TYPE_BACKEND_DESCRIPTOR,
        &mut raw,
    )?;
    let mut notes = [0i32; 16];
    let found = engine.get(
        Name::CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
        Type::CUDNN_TYPE_NUMERICAL_NOTE,
        &mut notes,
    )?;
    if notes[..found].iter().any(|&note| unwanted::<T>(note)) {
        return Ok(None);
    }
    let mut number = [0i64];
    engine.get(
        Name::CUDNN_ATTR_ENGINE_GLOBAL_INDEX,
        Type::CUDNN_TYPE_INT64,
        &mut number,
    )?;
    Ok(Some(number[0]))
}

/// Plans for a shape, those that cuDNN thinks fastest first: deterministic, and small enough.
///
/// **Errors** where cuDNN has no graph interface, or refuses the shape.
pub(super) fn plans<T: Value>(
    handle: sys::cudnnHandle_t,
    pass: Pass,
    sizes: Sizes,
    most: usize,
) -> Status<Vec<Plan>> {
    let operation = operation::<T>(pass, sizes)?;
    let mut graph = Descriptor::new(Kind::CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)?;
    graph.set(
        Name::CUDNN_ATTR_OPERATIONGRAPH_HANDLE,
        Type::CUDNN_TYPE_HANDLE,
        &[handle],
    )?;
    graph.refer(Name::CUDNN_ATTR_OPERATIONGRAPH_OPS, &operation)?;
    let graph = graph.finalised()?;
    let mut plans: Vec<Plan> = Vec::new();
    for mode in [Mode::CUDNN_HEUR_MODE_A, Mode::CUDNN_HEUR_MODE_FALLBACK] {
        // A mode that refuses leaves the other one.
        for config in configurations(&graph, mode).unwrap_or_default() {
            if plans.len() >= most {
                return Ok(plans);
            }
            let Ok(Some(engine)) = engine_of::<T>(&config) else {
                continue;
            };
            // An engine may still refuse when its kernels are made.
            if let Ok(plan) = executable(handle, engine, &config)
                && plan.workspace <= most_workspace::<T>()
            {
                plans.push(plan);
            }
        }
    }
    Ok(plans)
}

fn configurations(graph: &Rc<Descriptor>, mode: Mode) -> Status<Vec<Rc<Descriptor>>> {
    let mut heuristics = Descriptor::new(Kind::CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)?;
    heuristics.refer(Name::CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)?;
    heuristics.set(
        Name::CUDNN_ATTR_ENGINEHEUR_MODE,
        Type::CUDNN_TYPE_HEUR_MODE,
        &[mode],
    )?;
    let heuristics = heuristics.finalised()?;
    // cuDNN fills descriptors that the caller made; they come finalised.
    let made = (0..CONFIGS)
        .map(|_| Descriptor::new(Kind::CUDNN_BACKEND_ENGINECFG_DESCRIPTOR))
        .collect::<Status<Vec<_>>>()?;
    let mut raw: Vec<_> = made.iter().map(|config| config.raw).collect();
    let found = heuristics.get(
        Name::CUDNN_ATTR_ENGINEHEUR_RESULTS,
        Type::CUDNN_TYPE_BACKEND_DESCRIPTOR,
        &mut raw,
    )?;
    let keep = |mut config: Descriptor| {
        config.kept = vec![Rc::clone(graph), Rc::clone(&heuristics)];
        Rc::new(config)
    };
    Ok(made.into_iter().take(found).map(keep).collect())
}

fn executable(handle: sys::cudnnHandle_t, engine: i64, config: &Rc<Descriptor>) -> Status<Plan> {
    let mut plan = Descriptor::new(Kind::CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)?;
    plan.set(
        Name::CUDNN_ATTR_EXECUTION_PLAN_HANDLE,
        Type::CUDNN_TYPE_HANDLE,
        &[handle],
    )?;
    plan.refer(Name::CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config)?;
    let plan = plan.finalised()?;
    let mut bytes = [0i64];
    plan.get(
        Name::CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
        Type::CUDNN_TYPE_INT64,
        &mut bytes,
    )?;
    Ok(Plan {
        plan,
        engine,
        workspace: usize::try_from(bytes[0]).unwrap_or(usize::MAX),
    })
}

impl Plan {
    /// Launches it on the handle's stream.
    ///
    /// **Errors** what cuDNN answers.
    pub(super) fn launch(
        &self,
        handle: sys::cudnnHandle_t,
        pass: Pass,
        Operands { a, b, out, work }: Operands,
    ) -> Status<()> {
        // In the order of the numbers: x, w, y.
        let pointers: [*mut c_void; 3] = match pass {
            Pass::Forward => [a, b, out],
            Pass::Data => [out, b, a],
            Pass::Filter => [a, out, b],
        };
        let pack = Descriptor::new(Kind::CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)?;
        pack.set(
            Name::CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS,
            Type::CUDNN_TYPE_INT64,
            &IDS,
        )?;
        let pointer = Type::CUDNN_TYPE_VOID_PTR;
        pack.set(
            Name::CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
            pointer,
            &pointers,
        )?;
        pack.set(Name::CUDNN_ATTR_VARIANT_PACK_WORKSPACE, pointer, &[work])?;
        let pack = pack.finalised()?;
        // SAFETY: the plan was made for this handle, and the pointers are to buffers of the sizes
        // that it was made for; the workspace has the size that it reported.
        succeeded(unsafe { sys::cudnnBackendExecute(handle, self.plan.raw, pack.raw) })
    }
}

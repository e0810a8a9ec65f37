//! Convolutions through cuDNN: channels last, f32 without TF32, or bf16 with sums in f32.
//!
//! cuDNN speaks of `[n, c, d, h, w]` whatever the memory looks like: channels last are strides, and a
//! kernel `[co, kd, kh, kw, ci]` is its `NHWC` filter. For a shape the way is chosen once: a kernel of
//! our own where one side has few channels, the graph interface where it has an engine, the older
//! interface where that has an algorithm, else a plain kernel of our own. Only engines that give the
//! same bits every time are taken.
#![expect(unsafe_code, reason = "cuDNN's C interface")]

mod descriptor;
mod graph;
mod legacy;
mod measured;
mod operands;
mod way;

pub(crate) use way::{Choice, Way, by_way};

use super::super::conv3d::{Pass, Sizes};
use super::launch::{Arg, Value, by_type, room, view};
use super::volume::plain_conv3d;
use super::{profile, thin};
use candle_core::cuda_backend::cudarc::cudnn::result;
use candle_core::cuda_backend::cudarc::cudnn::sys;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView, DevicePtr as _};
use candle_core::cuda_backend::{CudaDevice, DeviceId, WrapErr as _};
use candle_core::{CudaStorage, Error, Result};
use operands::{Operands, failed, results};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::rc::Rc;

type Key = (Pass, Sizes, sys::cudnnDataType_t, Way);

/// A handle and the plans made with it; both live as long as the thread, which is the program's.
struct Dnn {
    handle: sys::cudnnHandle_t,
    plans: HashMap<Key, Rc<Plan>>,
}

enum Plan {
    Thin,
    Graph(graph::Plan, String),
    Legacy(legacy::Plan),
    Plain,
}

thread_local! {
    static DNN: RefCell<HashMap<DeviceId, Dnn>> = RefCell::default();
}

/// What was chosen for a convolution that was done on this thread; `None` where it was not.
pub(crate) fn choice(pass: Pass, sizes: Sizes, bf16: bool, way: Way) -> Option<Choice> {
    let values = match bf16 {
        true => half::bf16::DNN,
        false => f32::DNN,
    };
    DNN.with_borrow(|all| {
        let dnn = all.values().next()?;
        dnn.plans
            .get(&(pass, sizes, values, way))
            .map(|plan| plan.choice())
    })
}

/// Returns `true` if 32 bits count the values of both volumes, as cuDNN does.
fn is_countable(sizes: Sizes) -> bool {
    let large = |size: [usize; 5]| i32::try_from(size.iter().product::<usize>()).is_err();
    !large(sizes.x) && !large(sizes.output())
}

/// Returns `true` if a kernel for few channels makes this pass.
fn is_thin<T: Value>(pass: Pass, sizes: Sizes) -> bool {
    is_countable(sizes) && thin::suits::<T>(pass, sizes)
}

/// As the choice of a way asks: whether a kernel for few channels makes this pass.
pub(crate) fn has_thin(pass: Pass, sizes: Sizes, bf16: bool) -> bool {
    match bf16 {
        true => is_thin::<half::bf16>(pass, sizes),
        false => is_thin::<f32>(pass, sizes),
    }
}

impl Plan {
    fn choice(&self) -> Choice {
        let (way, engine) = match self {
            Self::Graph(plan, _) => (Way::Graph, plan.engine),
            Self::Legacy(plan) => (Way::Legacy, plan.algorithm()),
            Self::Thin => (Way::Thin, 0),
            Self::Plain => (Way::Plain, 0),
        };
        let measured = match self {
            Self::Graph(_, measured) => measured.clone(),
            _ => String::new(),
        };
        Choice {
            way,
            engine,
            workspace: self.workspace(),
            measured,
        }
    }

    fn workspace(&self) -> usize {
        match self {
            Self::Graph(plan, _) => plan.workspace,
            Self::Legacy(plan) => plan.workspace,
            Self::Thin | Self::Plain => 0,
        }
    }
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

    /// The plan for a shape, made at its first use.
    fn plan<T: Value>(
        &mut self,
        device: &CudaDevice,
        pass: Pass,
        sizes: Sizes,
        way: Way,
        inputs: (u64, u64),
    ) -> Result<Rc<Plan>> {
        let key = (pass, sizes, T::DNN, way);
        if let Some(plan) = self.plans.get(&key) {
            return Ok(Rc::clone(plan));
        }
        let plan = Rc::new(self.make::<T>(device, pass, sizes, way, inputs)?);
        let Choice {
            way: chosen,
            engine,
            workspace,
            measured,
        } = plan.choice();
        tracing::debug!(
            ?pass,
            ?sizes,
            values = T::SUFFIX,
            ?chosen,
            engine,
            workspace,
            measured,
            "convolution"
        );
        if way == Way::Best && chosen == Way::Plain {
            tracing::warn!(
                ?pass,
                ?sizes,
                values = T::SUFFIX,
                "cuDNN has no deterministic algorithm for this convolution; a plain, slow kernel does it"
            );
        }
        self.plans.insert(key, Rc::clone(&plan));
        Ok(plan)
    }

    fn make<T: Value>(
        &self,
        device: &CudaDevice,
        pass: Pass,
        sizes: Sizes,
        way: Way,
        inputs: (u64, u64),
    ) -> Result<Plan> {
        let countable = is_countable(sizes);
        if matches!(way, Way::Best | Way::Thin) && is_thin::<T>(pass, sizes) {
            return Ok(Plan::Thin);
        }
        if countable && matches!(way, Way::Best | Way::Graph) {
            let plans = graph::plans::<T>(self.handle, pass, sizes, measured::most());
            match plans {
                Ok(plans) => {
                    if let Some((plan, timings)) =
                        measured::best::<T>(self.handle, device, pass, sizes, plans, inputs)?
                    {
                        return Ok(Plan::Graph(plan, timings));
                    }
                }
                Err(status) if way == Way::Graph => candle_core::bail!(
                    "cuDNN's graph interface refuses {pass:?} of {sizes:?} in {}: {status:?}",
                    T::SUFFIX
                ),
                Err(_) => {}
            }
        }
        if countable
            && matches!(way, Way::Best | Way::Legacy)
            && let Some(plan) = legacy::plan::<T>(self.handle, pass, sizes)?
        {
            return Ok(Plan::Legacy(plan));
        }
        match way {
            Way::Best | Way::Plain => Ok(Plan::Plain),
            Way::Thin => {
                candle_core::bail!("no kernel for few channels makes {pass:?} of {sizes:?}")
            }
            Way::Graph | Way::Legacy => candle_core::bail!(
                "cuDNN has no deterministic engine for {pass:?} of {sizes:?} in {} by {way:?}",
                T::SUFFIX
            ),
        }
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
        let stream = device.cuda_stream();
        let inputs = (a.device_ptr(&stream).0, b.device_ptr(&stream).0);
        // The graph interface and the kernels for few channels were promised whole words of 16 bytes.
        let aligned = (inputs.0 | inputs.1).is_multiple_of(16);
        let way = match way::wanted() {
            Way::Best if !aligned => Way::Legacy,
            way => way,
        };
        let (handle, plan) = DNN.with_borrow_mut(|all| -> Result<_> {
            let dnn = match all.entry(device.id()) {
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::hash_map::Entry::Vacant(entry) => {
                    entry.insert(Dnn::new(&device)?)
                }
            };
            Ok((
                dnn.handle,
                dnn.plan::<T>(&device, pass, sizes, way, inputs)?,
            ))
        })?;
        let _timed = profile::timed(
            &device,
            match pass {
                Pass::Forward => "conv3d",
                Pass::Data => "conv3d data gradient",
                Pass::Filter => "conv3d filter gradient",
            },
        );
        let out = match &*plan {
            Plan::Plain if sizes.stride > 1 => candle_core::bail!(
                "{op}: cuDNN has no deterministic algorithm for {sizes:?} in {}, and no kernel of ours has a stride; train this network on the CPU, or one without stride",
                T::SUFFIX
            ),
            Plan::Thin => thin::conv3d(&device, pass, sizes, (&a, &b))?,
            Plan::Plain => plain_conv3d(&device, pass, sizes.x, sizes.kernel, sizes.co, (&a, &b))?,
            plan => launch(handle, plan, pass, sizes, &device, (&a, &b))?,
        };
        Ok(CudaStorage::wrap_cuda_slice(out, device.clone()))
    }
    by_type!(op, a, go(op, pass, sizes, a, b))
}

fn launch<T: Value>(
    handle: sys::cudnnHandle_t,
    plan: &Plan,
    pass: Pass,
    sizes: Sizes,
    device: &CudaDevice,
    (a, b): (&CudaView<'_, T>, &CudaView<'_, T>),
) -> Result<CudaSlice<T>> {
    let stream = device.cuda_stream();
    let out = room::<T>(device, results(pass, sizes))?;
    let workspace = room::<u8>(device, plan.workspace().max(1))?;
    let at = |pointer: u64| pointer as *mut c_void;
    let (a, _a) = a.device_ptr(&stream);
    let (b, _b) = b.device_ptr(&stream);
    let (y, _y) = out.device_ptr(&stream);
    let (work, _work) = workspace.device_ptr(&stream);
    let operands = Operands {
        a: at(a),
        b: at(b),
        out: at(y),
        work: at(work),
    };
    match plan {
        Plan::Graph(plan, _) => plan.launch(handle, pass, operands).map_err(|status| {
            Error::msg(format!(
                "cuDNN: engine {} failed for {pass:?} of {sizes:?} in {}: {status:?}",
                plan.engine,
                T::SUFFIX
            ))
        })?,
        Plan::Legacy(plan) => plan.launch(handle, operands)?,
        Plan::Thin | Plan::Plain => candle_core::bail!("a kernel of ours has no plan of cuDNN"),
    }
    drop((_a, _b, _y, _work));
    Ok(out)
}

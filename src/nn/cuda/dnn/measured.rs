//! Choosing among the graph interface's engines by the clock.

use super::super::super::conv3d::{Pass, Sizes};
use super::super::launch::{Value, room};
use super::graph;
use super::operands::{Operands, results};
use candle_core::Result;
use candle_core::cuda_backend::cudarc::cudnn::sys;
use candle_core::cuda_backend::cudarc::driver::{DevicePtr as _, sys::CUevent_flags};
use candle_core::cuda_backend::{CudaDevice, WrapErr as _};
use std::ffi::c_void;

/// Asks for the engines to be measured instead of believing cuDNN's model of them.
///
/// Faster at times; but a second run may choose otherwise, so its bits may differ from the first's.
const SEARCH: &str = "VOXSTREAM_CUDNN_SEARCH";

/// Engines that are measured against each other.
const MEASURED: usize = 6;

/// Launches that one engine's time is the smallest of.
const RUNS: usize = 3;

/// Engines to look at for one shape.
pub(super) fn most() -> usize {
    match std::env::var_os(SEARCH) {
        Some(_) => MEASURED,
        None => 1,
    }
}

/// The fastest plan for these inputs, and what was measured; the only one is taken as it is.
///
/// **Errors** where the device refuses memory. An engine that fails is left out.
pub(super) fn best<T: Value>(
    handle: sys::cudnnHandle_t,
    device: &CudaDevice,
    pass: Pass,
    sizes: Sizes,
    plans: Vec<graph::Plan>,
    (a, b): (u64, u64),
) -> Result<Option<(graph::Plan, String)>> {
    if plans.len() < 2 {
        return Ok(plans.into_iter().next().map(|plan| (plan, String::new())));
    }
    let stream = device.cuda_stream();
    let out = room::<T>(device, results(pass, sizes))?;
    let (out, _out) = out.device_ptr(&stream);
    let mut timings = String::new();
    let mut fastest: Option<(f32, graph::Plan)> = None;
    for plan in plans {
        let workspace = room::<u8>(device, plan.workspace.max(1))?;
        let (work, _work) = workspace.device_ptr(&stream);
        let operands = Operands {
            a: a as *mut c_void,
            b: b as *mut c_void,
            out: out as *mut c_void,
            work: work as *mut c_void,
        };
        let mut least = f32::INFINITY;
        // The first launch may load or compile kernels.
        for run in 0..=RUNS {
            let flags = Some(CUevent_flags::CU_EVENT_DEFAULT);
            let start = stream.record_event(flags).w()?;
            if plan.launch(handle, pass, operands).is_err() {
                break;
            }
            let end = stream.record_event(flags).w()?;
            let milliseconds = start.elapsed_ms(&end).w()?;
            if run > 0 {
                least = least.min(milliseconds);
            }
        }
        timings += &format!(
            "{}{}:{least:.3}",
            if timings.is_empty() { "" } else { " " },
            plan.engine
        );
        if least.is_finite() && fastest.as_ref().is_none_or(|(time, _)| least < *time) {
            fastest = Some((least, plan));
        }
    }
    Ok(fastest.map(|(_, plan)| (plan, timings)))
}

//! Opening a device, and saying what is missing where there is none.
#![expect(
    unsafe_code,
    reason = "the memory pool and the version of cuDNN are asked for through the driver's C interface"
)]

use candle_core::cuda_backend::WrapErr as _;
use candle_core::cuda_backend::cudarc::cudnn;
use candle_core::cuda_backend::cudarc::driver::{self, sys};
use candle_core::{Device, Result};

/// Versions of cuDNN below had a slow, and for large shapes wrong, convolution of volumes in bf16.
const CUDNN: usize = 91_500;

/// What a device is and holds.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    /// The card's name.
    pub(crate) name: String,
    /// CUDA version of the driver, such as 13000.
    pub(crate) driver: i32,
    /// cuDNN's version, such as 91900.
    pub(crate) cudnn: usize,
    /// Bytes of the card.
    pub(crate) total: usize,
    /// Most bytes that tensors held at once.
    pub(crate) peak: u64,
}

/// Opens device `ordinal` for training.
///
/// All work goes to one stream of its own, whichever thread asks. Freed memory stays with the pool:
/// by default it would go back to the driver at every synchronisation. Events that order several
/// streams are off, which would cost two of them for every tensor; uploads order theirs by hand.
///
/// **Errors** say which library, driver or device is missing.
pub(crate) fn open(ordinal: usize) -> std::result::Result<Device, String> {
    let device = Device::new_cuda_with_stream(ordinal)
        .map_err(|e| missing(ordinal, &first_line(&e.to_string())))?;
    // SAFETY: takes nothing and returns a number.
    let version = unsafe { cudnn::sys::cudnnGetVersion() };
    if version < 9_000 {
        return Err(library(
            "cuDNN 9",
            "libcudnn.so.9",
            "cudnnGetVersion has no answer",
        ));
    }
    if version < CUDNN {
        tracing::warn!(
            found = version,
            wanted = CUDNN,
            "this cuDNN may be slow, or wrong for large volumes in bf16; install 9.15 or later"
        );
    }
    prepare(&device).map_err(|e| format!("CUDA device {ordinal} cannot be set up: {e}"))?;
    Ok(device)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn library(what: &str, file: &str, cause: &str) -> String {
    format!(
        "{what} is missing ({cause}): `{file}` is neither in the loader's path nor in a folder that \
         CUDA_LIB_DIRS names; `scripts/gpu-check.sh` shows how both are set"
    )
}

fn missing(ordinal: usize, cause: &str) -> String {
    let is = |word: &str| cause.to_uppercase().contains(word);
    if is("CUBLAS") {
        library("cuBLAS 13", "libcublas.so.13", cause)
    } else if is("CURAND") {
        library("cuRAND 10", "libcurand.so.10", cause)
    } else if is("NO_DEVICE") {
        format!(
            "no CUDA device ({cause}): this machine has no NVIDIA GPU, or its driver library \
             `libcuda.so.1` cannot be found"
        )
    } else {
        format!("CUDA device {ordinal} does not open ({cause})")
    }
}

fn prepare(device: &Device) -> Result<()> {
    let device = device.as_cuda_device()?;
    // SAFETY: one stream computes; the one that uploads is ordered with it by events of its own.
    unsafe { device.disable_event_tracking() };
    let stream = device.cuda_stream();
    stream.context().bind_to_thread().w()?;
    let mut keep = u64::MAX;
    // SAFETY: the pool is that of an open device, and the attribute is a 64-bit number.
    unsafe {
        let pool =
            driver::result::device::get_default_mem_pool(stream.context().cu_device()).w()?;
        sys::cuMemPoolSetAttribute(
            pool,
            sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
            std::ptr::from_mut(&mut keep).cast(),
        )
        .result()
        .w()?;
    }
    Ok(())
}

/// What `device` is and holds.
///
/// **Errors** where it is no CUDA device or the driver refuses.
pub(crate) fn figures(device: &Device) -> Result<Figures> {
    let stream = device.as_cuda_device()?.cuda_stream();
    let context = stream.context();
    context.bind_to_thread().w()?;
    let (mut driver_version, mut peak) = (0, 0u64);
    // SAFETY: both calls fill the number they are given; the pool is that of an open device.
    let cudnn = unsafe {
        sys::cuDriverGetVersion(&raw mut driver_version)
            .result()
            .w()?;
        let pool = driver::result::device::get_default_mem_pool(context.cu_device()).w()?;
        sys::cuMemPoolGetAttribute(
            pool,
            sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH,
            std::ptr::from_mut(&mut peak).cast(),
        )
        .result()
        .w()?;
        cudnn::sys::cudnnGetVersion()
    };
    Ok(Figures {
        name: context.name().w()?,
        driver: driver_version,
        cudnn,
        total: context.total_mem().w()?,
        peak,
    })
}

/// Waits until everything launched is done; kernels report their errors here.
///
/// **Errors** what a kernel did wrong.
pub(crate) fn synchronize(device: &Device) -> Result<()> {
    device.as_cuda_device()?.cuda_stream().synchronize().w()
}

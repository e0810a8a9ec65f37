//! Uploads that run beside the computation: pinned buffers, a stream of their own.
//!
//! A copy from ordinary memory stops the host until it is done, and waits behind every kernel
//! launched before. Here values go to one of a few pinned buffers and from there, on a side stream, to a
//! staging buffer on the device; the computing stream takes them over when it comes to them. So the next
//! batch travels while the last one is still computed.
#![expect(unsafe_code, reason = "pinned memory, and bytes taken for values")]

use super::launch::room;
use candle_core::cuda_backend::cudarc::driver::{
    CudaEvent, CudaSlice, CudaStream, DevicePtrMut as _, DeviceRepr, PinnedHostSlice, result,
};
use candle_core::cuda_backend::{CudaDType, CudaDevice, DeviceId, WrapErr as _};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Device, Result, Shape, Storage, Tensor, bail};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Uploads that may be under way: the tensors of a step's batches, in several views.
const SLOTS: usize = 8;

/// Both buffers of one upload under way.
struct Slot {
    pinned: PinnedHostSlice<u8>,
    staged: CudaSlice<u8>,
    /// The side stream is done with the pinned values.
    sent: Option<CudaEvent>,
    /// The computing stream has taken the staged values.
    taken: Option<CudaEvent>,
}

struct Uploader {
    side: Arc<CudaStream>,
    slots: [Option<Slot>; SLOTS],
    next: usize,
}

thread_local! {
    // Of the one thread that works with the device.
    static UPLOADERS: RefCell<HashMap<DeviceId, Uploader>> = RefCell::default();
}

/// A tensor with these values; the copy runs beside what the device computes.
///
/// **Errors** where the count does not fit the shape, or the device refuses.
pub(crate) fn upload<T: CudaDType + DeviceRepr + bytemuck::NoUninit>(
    values: &[T],
    shape: impl Into<Shape>,
    device: &Device,
) -> Result<Tensor> {
    let (device, shape) = (device.as_cuda_device()?, shape.into());
    if values.len() != shape.elem_count() {
        bail!(
            "upload: found {} values for the shape {shape:?}",
            values.len()
        );
    }
    let storage = UPLOADERS.with_borrow_mut(|all| -> Result<CudaStorage> {
        let uploader = match all.entry(device.id()) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => entry.insert(Uploader {
                side: device.cuda_stream().context().new_stream().w()?,
                slots: [const { None }; SLOTS],
                next: 0,
            }),
        };
        let tensor = uploader.upload(values, device)?;
        Ok(CudaStorage::wrap_cuda_slice(tensor, device.clone()))
    })?;
    Ok(Tensor::from_storage(
        Storage::Cuda(storage),
        shape,
        BackpropOp::none(),
        false,
    ))
}

impl Uploader {
    fn upload<T: DeviceRepr + bytemuck::NoUninit>(
        &mut self,
        values: &[T],
        device: &CudaDevice,
    ) -> Result<CudaSlice<T>> {
        let (main, bytes) = (device.cuda_stream(), bytemuck::cast_slice::<T, u8>(values));
        let slot = &mut self.slots[self.next];
        self.next = (self.next + 1) % SLOTS;
        if slot
            .as_ref()
            .is_none_or(|slot| slot.pinned.len() < bytes.len())
        {
            // Nothing of the old slot may be under way when it is freed.
            self.side.synchronize().w()?;
            main.synchronize().w()?;
            // SAFETY: pinned memory is written below before it is read; bytes have no invalid value.
            let pinned = unsafe { main.context().alloc_pinned::<u8>(bytes.len()) }.w()?;
            // Behind a synchronisation, so that the side stream may use it from here on.
            let staged = room::<u8>(device, bytes.len())?;
            main.synchronize().w()?;
            *slot = Some(Slot {
                pinned,
                staged,
                sent: None,
                taken: None,
            });
        }
        let Some(slot) = slot else {
            bail!("upload: no buffer could be made");
        };
        if let Some(sent) = &slot.sent {
            sent.synchronize().w()?;
        }
        let pinned = &mut slot.pinned.as_mut_slice().w()?[..bytes.len()];
        pinned.copy_from_slice(bytes);
        if let Some(taken) = &slot.taken {
            self.side.wait(taken).w()?;
        }
        let (staged, done) = slot.staged.device_ptr_mut(&self.side);
        // SAFETY: the staging buffer holds as many bytes, and the pinned ones stay as they are until
        // the event below has come.
        unsafe { result::memcpy_htod_async(staged, pinned, self.side.cu_stream()) }.w()?;
        drop(done);
        let sent = self.side.record_event(None).w()?;
        main.wait(&sent).w()?;
        slot.sent = Some(sent);
        let mut tensor = room::<T>(device, values.len())?;
        // SAFETY: the bytes of this many values; both buffers hold at least as many.
        let Some(mut target) = (unsafe { tensor.transmute_mut::<u8>(bytes.len()) }) else {
            bail!("upload: the tensor is smaller than its values");
        };
        main.memcpy_dtod(&slot.staged.slice(..bytes.len()), &mut target)
            .w()?;
        slot.taken = Some(main.record_event(None).w()?);
        Ok(tensor)
    }
}

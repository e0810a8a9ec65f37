//! Descriptors of cuDNN's graph interface.
//!
//! Every descriptor is finalised before another refers to it, and lives as long as what refers to it.
#![expect(unsafe_code, reason = "cuDNN's C interface")]

use candle_core::cuda_backend::cudarc::cudnn::sys::{
    self, cudnnBackendAttributeName_t as Name, cudnnBackendAttributeType_t as Type,
    cudnnBackendDescriptorType_t as Kind,
};
use std::rc::Rc;

/// What a call answered where it was not success.
pub(super) type Status<T> = Result<T, sys::cudnnStatus_t>;

/// A descriptor of the backend interface, destroyed with it.
pub(super) struct Descriptor {
    pub(super) raw: sys::cudnnBackendDescriptor_t,
    /// What this one refers to; must not be destroyed before it.
    pub(super) kept: Vec<Rc<Descriptor>>,
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once.
        let _ = unsafe { sys::cudnnBackendDestroyDescriptor(self.raw) };
        self.kept.clear();
    }
}

impl Descriptor {
    pub(super) fn new(kind: Kind) -> Status<Self> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: fills the pointer it is given.
        succeeded(unsafe { sys::cudnnBackendCreateDescriptor(kind, &raw mut raw) })?;
        Ok(Self {
            raw,
            kept: Vec::new(),
        })
    }

    /// Sets an attribute to these values, whose type in memory is that of `kind`.
    pub(super) fn set<T>(&self, name: Name, kind: Type, values: &[T]) -> Status<()> {
        // SAFETY: the array holds as many values; every caller passes the type that `kind` names.
        succeeded(unsafe {
            sys::cudnnBackendSetAttribute(
                self.raw,
                name,
                kind,
                values.len() as i64,
                values.as_ptr().cast(),
            )
        })
    }

    /// Sets an attribute to another descriptor, which is kept alive.
    pub(super) fn refer(&mut self, name: Name, to: &Rc<Self>) -> Status<()> {
        self.set(name, Type::CUDNN_TYPE_BACKEND_DESCRIPTOR, &[to.raw])?;
        self.kept.push(Rc::clone(to));
        Ok(())
    }

    pub(super) fn finalised(self) -> Status<Rc<Self>> {
        // SAFETY: a descriptor that was just made.
        succeeded(unsafe { sys::cudnnBackendFinalize(self.raw) })?;
        Ok(Rc::new(self))
    }

    /// Fills `values` with an attribute's; how many there are.
    pub(super) fn get<T>(&self, name: Name, kind: Type, values: &mut [T]) -> Status<usize> {
        let mut count = 0i64;
        // SAFETY: the array has room for as many values of the type that `kind` names.
        succeeded(unsafe {
            sys::cudnnBackendGetAttribute(
                self.raw,
                name,
                kind,
                values.len() as i64,
                &raw mut count,
                values.as_mut_ptr().cast(),
            )
        })?;
        Ok(usize::try_from(count).unwrap_or(0).min(values.len()))
    }
}

pub(super) fn succeeded(status: sys::cudnnStatus_t) -> Status<()> {
    match status {
        sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS => Ok(()),
        other => Err(other),
    }
}

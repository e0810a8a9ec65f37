//! Tensors in memory that others read through DLPack, without a copy.
//!
//! Structs and flags are those of DLPack 1.0 (dmlc/dlpack, `include/dlpack/dlpack.h`): consumers that know
//! version 1 get versioned capsules, which can say that memory is read-only, others the older ones.

#![expect(
    unsafe_code,
    reason = "DLPack passes structs by address, with a function that frees them"
)]

use arrow::buffer::Buffer;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_void};
use voxstream::volume::Dtype;

/// Voxels in memory: `[n, c, z, y, x]` of a batch, or `[z, y, x]` of a volume, row-major.
///
/// Whatever reads it keeps its memory alive, after the batch that it came from is gone, too.
#[pyclass(frozen, module = "voxstream")]
pub(crate) struct Tensor {
    pub(crate) buffer: Buffer,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<i64>,
    /// Whether the memory is somebody else's.
    pub(crate) read_only: bool,
}

const CPU: (i32, i32) = (1, 0);

#[pymethods]
impl Tensor {
    #[getter]
    fn shape(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let shape = pyo3::types::PyTuple::new(py, &self.shape)?;
        Ok(shape.into_any().unbind())
    }

    /// NumPy's name of the type.
    #[getter]
    fn dtype(&self) -> String {
        let (kind, bits) = kind_and_bits(self.dtype);
        format!("{}{bits}", ["int", "uint", "float"][usize::from(kind)])
    }

    /// Address of the first voxel.
    #[getter]
    fn address(&self) -> usize {
        self.buffer.as_ptr() as usize
    }

    fn __dlpack_device__(&self) -> (i32, i32) {
        CPU
    }

    #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
    fn __dlpack__<'py>(
        &self,
        py: Python<'py>,
        stream: Option<Bound<'py, PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        // Memory of the CPU is in no stream of a device.
        drop(stream);
        if dl_device.is_some_and(|device| device != CPU) {
            let problem = "the tensor is in the CPU's memory; copy it to a device with the consumer's own means";
            return Err(PyBufferError::new_err(problem));
        }
        let versioned = max_version.is_some_and(|(major, _)| major >= 1);
        // Without a version nothing says that memory may not be written to.
        let hides = self.read_only && !versioned;
        if hides && copy == Some(false) {
            return Err(PyBufferError::new_err(
                "the tensor is read-only, which takes DLPack 1.0; pass copy=None",
            ));
        }
        let copies = copy == Some(true) || hides;
        let buffer = match copies {
            true => Buffer::from(self.buffer.as_slice()),
            false => self.buffer.clone(),
        };
        let dtype = kind_and_bits(self.dtype);
        match versioned {
            true => {
                let flags = match copies {
                    true => IS_COPIED,
                    false => u64::from(self.read_only),
                };
                capsule(py, buffer, &self.shape, dtype, |tensor| Versioned {
                    version: [1, 0],
                    owner: std::ptr::null_mut(),
                    deleter: delete::<Versioned>,
                    flags,
                    tensor,
                })
            }
            false => capsule(py, buffer, &self.shape, dtype, |tensor| Unversioned {
                tensor,
                owner: std::ptr::null_mut(),
                deleter: delete::<Unversioned>,
            }),
        }
    }

    fn __repr__(&self) -> String {
        format!("voxstream.Tensor({:?}, {})", self.shape, self.dtype())
    }
}

/// Flag of a tensor whose memory was copied for the consumer; a read-only one is 1.
const IS_COPIED: u64 = 2;

/// `DLDevice`
#[repr(C)]
struct Device {
    kind: i32,
    id: i32,
}

/// `DLDataType`
#[repr(C)]
struct DataType {
    code: u8,
    bits: u8,
    lanes: u16,
}

/// `DLTensor`
#[repr(C)]
struct DlTensor {
    data: *mut c_void,
    device: Device,
    ndim: i32,
    dtype: DataType,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

/// `DLManagedTensor`
#[repr(C)]
struct Unversioned {
    tensor: DlTensor,
    owner: *mut c_void,
    deleter: unsafe extern "C" fn(*mut Self),
}

/// `DLManagedTensorVersioned`
#[repr(C)]
struct Versioned {
    version: [u32; 2],
    owner: *mut c_void,
    deleter: unsafe extern "C" fn(*mut Self),
    flags: u64,
    tensor: DlTensor,
}

trait Managed {
    /// The capsule's name until a consumer takes it and renames the capsule.
    const NAME: &'static CStr;
}

impl Managed for Unversioned {
    const NAME: &'static CStr = c"dltensor";
}

impl Managed for Versioned {
    const NAME: &'static CStr = c"dltensor_versioned";
}

/// What a capsule points to, with all that it refers to; the managed struct comes first, so that its
/// address is that of the whole.
#[repr(C)]
struct Owned<M> {
    managed: M,
    buffer: Buffer,
    shape: Box<[i64]>,
    strides: Box<[i64]>,
}

/// Code and bits of `DLDataType`: 0 signed, 1 unsigned, 2 float.
fn kind_and_bits(dtype: Dtype) -> (u8, u8) {
    let kind = match dtype {
        Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => 0,
        Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => 1,
        Dtype::F16 | Dtype::F32 | Dtype::F64 => 2,
    };
    (kind, 8 * dtype.bytes() as u8)
}

fn capsule<'py, M: Managed>(
    py: Python<'py>,
    buffer: Buffer,
    shape: &[i64],
    (code, bits): (u8, u8),
    managed: impl FnOnce(DlTensor) -> M,
) -> PyResult<Bound<'py, PyAny>> {
    let mut shape: Box<[i64]> = shape.into();
    let mut strides = shape.clone();
    let mut step = 1;
    for (stride, length) in strides.iter_mut().zip(&shape).rev() {
        *stride = step;
        step *= length;
    }
    let tensor = DlTensor {
        data: buffer.as_ptr().cast_mut().cast(),
        device: Device {
            kind: CPU.0,
            id: CPU.1,
        },
        ndim: shape.len() as i32,
        dtype: DataType {
            code,
            bits,
            lanes: 1,
        },
        shape: shape.as_mut_ptr(),
        strides: strides.as_mut_ptr(),
        byte_offset: 0,
    };
    let owned = Box::into_raw(Box::new(Owned {
        managed: managed(tensor),
        buffer,
        shape,
        strides,
    }));
    // SAFETY: the pointer is not null, the name is a constant, and the destructor frees what nobody took.
    let capsule = unsafe { ffi::PyCapsule_New(owned.cast(), M::NAME.as_ptr(), Some(free::<M>)) };
    if capsule.is_null() {
        // SAFETY: no capsule owns it.
        drop(unsafe { Box::from_raw(owned) });
    }
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, capsule) }
}

/// Frees a tensor; the consumer calls it once.
unsafe extern "C" fn delete<M>(managed: *mut M) {
    // SAFETY: every managed struct of ours stands first in a box of `Owned`.
    let owned = unsafe { Box::from_raw(managed.cast::<Owned<M>>()) };
    let Owned {
        buffer,
        shape,
        strides,
        ..
    } = *owned;
    drop((buffer, shape, strides));
}

/// Frees the tensor of a capsule that no consumer took.
unsafe extern "C" fn free<M: Managed>(capsule: *mut ffi::PyObject) {
    let name = M::NAME.as_ptr();
    // SAFETY: Python calls it with the capsule; one that was taken has another name by now.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, name) == 1 {
            delete::<M>(ffi::PyCapsule_GetPointer(capsule, name).cast());
        }
    }
}

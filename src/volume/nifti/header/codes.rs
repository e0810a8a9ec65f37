//! The format's codes, as the types of the package `nifti`.

use crate::volume::Dtype;
use nifti::{Intent, NiftiHeader, NiftiType, Unit, XForm};

/// The voxel type of a `datatype`; `None` for a code that is none of the format's, and for single
/// bits (code 1), which the package does not know.
pub(in super::super) fn voxel_type(datatype: i16) -> Option<NiftiType> {
    let header = NiftiHeader {
        datatype,
        ..NiftiHeader::default()
    };
    header.data_type().ok()
}

/// How a voxel type is kept; `None` for colours, complex numbers and 128-bit floats.
pub(in super::super) fn dtype(stored: NiftiType) -> Option<Dtype> {
    let found = Dtype::ALL.into_iter().find(|d| of_dtype(*d) == stored);
    // f16 is written as f32.
    found.map(|dtype| match dtype {
        Dtype::F16 => Dtype::F32,
        dtype => dtype,
    })
}

/// The type that voxels are written as; f16, which the format does not know, as f32.
pub(in super::super) fn of_dtype(dtype: Dtype) -> NiftiType {
    match dtype {
        Dtype::U8 => NiftiType::Uint8,
        Dtype::I8 => NiftiType::Int8,
        Dtype::U16 => NiftiType::Uint16,
        Dtype::I16 => NiftiType::Int16,
        Dtype::U32 => NiftiType::Uint32,
        Dtype::I32 => NiftiType::Int32,
        Dtype::U64 => NiftiType::Uint64,
        Dtype::I64 => NiftiType::Int64,
        Dtype::F16 | Dtype::F32 => NiftiType::Float32,
        Dtype::F64 => NiftiType::Float64,
    }
}

/// The spatial unit in `xyzt_units`; `None` for a code that is none of the format's.
pub(in super::super) fn spatial_unit(xyzt_units: u8) -> Option<Unit> {
    let header = NiftiHeader {
        xyzt_units,
        ..NiftiHeader::default()
    };
    header.xyzt_to_space().ok()
}

/// What an sform or qform aligns to; `None` for a code that is none of the format's.
pub fn alignment(code: i32) -> Option<XForm> {
    let header = NiftiHeader {
        sform_code: i16::try_from(code).ok()?,
        ..NiftiHeader::default()
    };
    header.sform().ok()
}

/// What values mean; `None` for a code that is none of the format's.
pub fn intent(code: i32) -> Option<Intent> {
    let header = NiftiHeader {
        intent_code: i16::try_from(code).ok()?,
        ..NiftiHeader::default()
    };
    header.intent().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_voxel_type_is_read_as_it_is_written() {
        for dtype in Dtype::ALL.into_iter().filter(|d| *d != Dtype::F16) {
            let code = of_dtype(dtype) as i16;
            assert_eq!(voxel_type(code).and_then(self::dtype), Some(dtype));
        }
        assert_eq!(voxel_type(16).and_then(dtype), Some(Dtype::F32));
        assert_eq!(voxel_type(128).map(dtype), Some(None));
        assert_eq!([voxel_type(0), voxel_type(1), voxel_type(-4)], [None; 3]);
    }

    #[test]
    fn codes_have_the_meaning_of_the_format() {
        assert_eq!(alignment(1), Some(XForm::ScannerAnat));
        assert_eq!([alignment(6), alignment(70_000)], [None; 2]);
        assert_eq!(intent(1002), Some(Intent::Label));
        assert_eq!(intent(-1), None);
        // The unit of time beside it does not matter.
        assert_eq!(spatial_unit(2 | 8), Some(Unit::Mm));
        assert_eq!(spatial_unit(7), None);
    }
}

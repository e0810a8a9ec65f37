//! Volume columns as they lie in Parquet: compressed, with codec, checksum and geometry.
//!
//! Shape and affine are plain lists here, not the fixed-size lists of rows between stages: Arrow
//! C++ (pyarrow, pandas) refuses a file in which a fixed-size list lies under a null struct, which
//! is every missing modality.

use super::keys::DOC_KEY;
use super::{SinkError, codec};
use crate::volume::columns::{volume_array, volume_at, volume_fields};
use crate::volume::{Dtype, Volume};
use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, LargeBinaryArray, StringArray, StructArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, Fields, Int32Type};
use std::collections::HashMap;
use std::sync::Arc;

/// Largest value a Parquet file can hold, in bytes.
const LARGEST_VALUE_BYTES: usize = i32::MAX as usize - 1024;

const FIELD_DOCS: [(&str, &str); 8] = [
    (
        "voxels",
        "encoded voxels; decoded little endian, row-major [z, y, x], x fastest",
    ),
    (
        "codec",
        "zstd1, or shuffleN+zstd1 where N-byte voxels are stored as N byte planes",
    ),
    ("blake3", "BLAKE3 of the decoded bytes, hexadecimal"),
    ("dtype", "stored type: u8, i16, f32 and so on"),
    ("shape", "voxels along z, y, x"),
    (
        "affine",
        "3x4 row by row: world (x, y, z in mm, RAS+) from voxel (x, y, z)",
    ),
    ("slope", "value = slope * stored + intercept"),
    ("intercept", "value = slope * stored + intercept"),
];

/// Fields of a stored volume column.
pub fn stored_volume_fields() -> Fields {
    let plain = volume_fields();
    let fields = FIELD_DOCS.iter().map(|(name, doc)| {
        let dtype = match plain.find(name).map(|(_, field)| field.data_type()) {
            Some(DataType::FixedSizeList(item, _)) => DataType::List(item.clone()),
            Some(dtype) => dtype.clone(),
            None => DataType::Utf8,
        };
        Field::new(*name, dtype, false)
            .with_metadata(HashMap::from([(DOC_KEY.to_owned(), (*doc).to_owned())]))
    });
    fields.collect()
}

/// Returns `true` if a type is a stored volume, recognised by its fields' names and types.
pub fn is_stored_volume(dtype: &DataType) -> bool {
    let DataType::Struct(fields) = dtype else {
        return false;
    };
    let expected = stored_volume_fields();
    fields.len() == expected.len()
        && fields
            .iter()
            .zip(&expected)
            .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type())
}

/// Encodes volumes into a column, one value a volume.
///
/// **Errors** if a volume is larger than a Parquet value may be, or as [`Volume::verify`].
pub fn stored_volume_array(volumes: &[Option<Volume>]) -> Result<StructArray, SinkError> {
    if volumes.is_empty() {
        let empty = arrow::array::new_empty_array(&DataType::Struct(stored_volume_fields()));
        return Ok(empty.as_struct().clone());
    }
    let mut blobs = Vec::with_capacity(volumes.len());
    let (mut codecs, mut sums, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for volume in volumes {
        match volume {
            Some(volume) => {
                volume.verify()?;
                let blob = codec::encode(volume.buffer(), volume.dtype().bytes())?;
                if blob.len() > LARGEST_VALUE_BYTES {
                    return Err(SinkError::TooLarge { bytes: blob.len() });
                }
                blobs.push(blob);
                codecs.push(codec::name(volume.dtype().bytes()));
                sums.push(blake3::hash(volume.buffer()).to_hex().to_string());
            }
            None => {
                blobs.push(Vec::new());
                codecs.push(String::new());
                sums.push(String::new());
            }
        }
        plain.push(without_voxels(&volume_array(volume.as_ref())));
    }
    let parts: Vec<&dyn Array> = plain.iter().map(|a| a as &dyn Array).collect();
    let plain = concat(&parts).expect("all parts have the type of a volume column");
    let plain = plain.as_struct();
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(binary_array(blobs)),
        Arc::new(StringArray::from(codecs)),
        Arc::new(StringArray::from(sums)),
    ];
    for (column, field) in plain.columns()[1..]
        .iter()
        .zip(&stored_volume_fields()[3..])
    {
        columns.push(cast(column, field.data_type()).expect("a list of fixed size is a list"));
    }
    Ok(StructArray::new(
        stored_volume_fields(),
        columns,
        plain.nulls().cloned(),
    ))
}

/// Blobs as an array; a single one is not copied.
fn binary_array(mut blobs: Vec<Vec<u8>>) -> LargeBinaryArray {
    match (blobs.pop(), blobs.is_empty()) {
        (Some(blob), true) => {
            let offsets = OffsetBuffer::from_lengths([blob.len()]);
            LargeBinaryArray::new(offsets, Buffer::from_vec(blob), None)
        }
        (last, _) => LargeBinaryArray::from_iter_values(blobs.into_iter().chain(last)),
    }
}

/// What a stored volume says of its voxels before they are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHead {
    /// BLAKE3 of the decoded bytes, in hex.
    pub blake3: String,
    /// Stored type.
    pub dtype: Dtype,
    /// Bytes of the decoded voxels.
    pub bytes: usize,
}

/// Reads and checks one volume of a stored volume column; `None` where it is null.
///
/// **Errors** when the struct is no stored volume, its codec is unknown, the blob is damaged or
/// its checksum differs.
pub fn read_stored_volume(array: &StructArray, index: usize) -> Result<Option<Volume>, SinkError> {
    if !is_stored_volume(array.data_type()) {
        return Err(problem(format!(
            "the column is {}; expected the struct written by this package",
            array.data_type()
        )));
    }
    if array.is_null(index) {
        return Ok(None);
    }
    let head = stored_head(array, index)?;
    let voxels = decode_voxels(array, index, &head)?;
    stored_volume(array, index, voxels).map(Some)
}

/// Reads what one volume of a stored volume column says of itself; the volume is not null.
///
/// **Errors** if its type or codec is unknown or its shape impossible.
pub fn stored_head(array: &StructArray, index: usize) -> Result<StoredHead, SinkError> {
    let text = |column: usize| array.column(column).as_string::<i32>().value(index);
    let (codec_name, dtype) = (text(1), text(3));
    let dtype =
        Dtype::from_name(dtype).ok_or_else(|| problem(format!("unknown dtype `{dtype}`")))?;
    let expected = codec::name(dtype.bytes());
    if codec_name != expected {
        return Err(problem(format!(
            "codec `{codec_name}` for dtype {dtype}, expected `{expected}`; read it with the version that wrote it"
        )));
    }
    let shape = array.column(4).as_list::<i32>().value(index);
    let shape = shape.as_primitive::<Int32Type>().values();
    let bytes = shape
        .iter()
        .try_fold(dtype.bytes(), |n, &side| {
            n.checked_mul(usize::try_from(side).ok()?)
        })
        .ok_or_else(|| problem(format!("impossible shape {shape:?} (z, y, x)")))?;
    Ok(StoredHead {
        blake3: text(2).to_owned(),
        dtype,
        bytes,
    })
}

/// Decodes the voxels of one volume of a stored volume column.
///
/// **Errors** if the blob is damaged or its checksum differs.
pub fn decode_voxels(
    array: &StructArray,
    index: usize,
    head: &StoredHead,
) -> Result<Buffer, SinkError> {
    let blob = array.column(0).as_binary::<i64>().value(index);
    let bytes = codec::decode(blob, head.dtype.bytes(), head.bytes)?;
    let found = blake3::hash(&bytes).to_hex();
    if found.as_str() != head.blake3 {
        return Err(problem(format!(
            "checksum {found} of the decoded voxels, expected {}; the file is damaged, write it again",
            head.blake3
        )));
    }
    Ok(Buffer::from_vec(bytes))
}

/// One volume of a stored volume column, with its decoded voxels.
///
/// **Errors** if the shape or affine has another length than 3 or 12.
pub fn stored_volume(
    array: &StructArray,
    index: usize,
    voxels: Buffer,
) -> Result<Volume, SinkError> {
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, voxels.len() as i64]));
    let voxels = LargeBinaryArray::new(offsets, voxels, None);
    let mut columns: Vec<ArrayRef> = vec![Arc::new(voxels)];
    let fields = volume_fields();
    for (column, field) in array.columns()[3..].iter().zip(&fields[1..]) {
        columns.push(match field.data_type() {
            DataType::FixedSizeList(item, length) => fixed(column, index, item, *length)?,
            _ => column.slice(index, 1),
        });
    }
    let plain = StructArray::try_new(fields, columns, None);
    let plain = plain.map_err(|e| problem(format!("fields of a volume: {e}")))?;
    volume_at(&plain, 0, "stored volume")?.ok_or_else(|| problem("the volume is null".to_owned()))
}

/// One list of a column as a list of fixed length. Not by a cast: that of a slice begins at the first value of
/// the whole column.
fn fixed(
    column: &ArrayRef,
    index: usize,
    item: &Arc<Field>,
    length: i32,
) -> Result<ArrayRef, SinkError> {
    let values = column.as_list::<i32>().value(index);
    if values.len() != length as usize {
        return Err(problem(format!(
            "a shape or affine of {} numbers, expected {length}; the file was not written by this package",
            values.len()
        )));
    }
    let list = FixedSizeListArray::try_new(item.clone(), length, values, None);
    let list = list.map_err(|e| problem(format!("shape or affine: {e}")))?;
    Ok(Arc::new(list))
}

/// Voxels are stored encoded, so the plain ones must not be concatenated first.
fn without_voxels(plain: &StructArray) -> StructArray {
    let mut columns = plain.columns().to_vec();
    columns[0] = Arc::new(LargeBinaryArray::from(vec![&[][..]; plain.len()]));
    StructArray::new(volume_fields(), columns, plain.nulls().cloned())
}

fn problem(problem: String) -> SinkError {
    SinkError::Stored { problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Grid, Scaling};

    fn volumes() -> Vec<Option<Volume>> {
        let grid = Grid::from_rows(
            [3, 2, 2],
            [
                [-0.5, 0.1, 0.0, 7.0],
                [0.0, 1.5, 0.0, -3.0],
                [0.0, 0.0, 2.0, 1.0],
            ],
        )
        .unwrap();
        let ct = Volume::try_new(
            Buffer::from_vec((0..12i16).map(|i| i * 100 - 500).collect::<Vec<_>>()),
            Dtype::I16,
            Scaling {
                slope: 0.5,
                intercept: -3.0,
            },
            grid,
        )
        .unwrap();
        let other = Grid::with_spacing([2, 3, 1], [0.7, 1.0, 4.0]).unwrap();
        let label = Volume::from_vec(vec![0u8, 1, 2, 0, 0, 3], other).unwrap();
        vec![Some(ct), None, Some(label)]
    }

    #[test]
    fn volumes_survive_with_type_scaling_and_grid() {
        let volumes = volumes();
        let array = stored_volume_array(&volumes).unwrap();
        assert!(is_stored_volume(array.data_type()));
        for (i, volume) in volumes.iter().enumerate() {
            let back = read_stored_volume(&array, i).unwrap();
            assert_eq!(back.is_some(), volume.is_some());
            let (Some(back), Some(volume)) = (back, volume) else {
                continue;
            };
            assert_eq!(back.buffer().as_slice(), volume.buffer().as_slice());
            assert_eq!(back.dtype(), volume.dtype());
            assert_eq!(back.scaling(), volume.scaling());
            assert_eq!(back.grid(), volume.grid());
        }
        assert_eq!(stored_volume_array(&[]).unwrap().len(), 0);
    }

    #[test]
    fn a_changed_checksum_and_a_foreign_codec_are_errors() {
        let array = stored_volume_array(&volumes()[..1]).unwrap();
        let with = |column: usize, text: &str| {
            let mut columns = array.columns().to_vec();
            columns[column] = Arc::new(StringArray::from(vec![text]));
            let changed = StructArray::new(stored_volume_fields(), columns, None);
            read_stored_volume(&changed, 0).unwrap_err().to_string()
        };
        assert!(with(2, "00").contains("expected 00"));
        assert!(with(1, "lz4").contains("codec `lz4` for dtype i16, expected `shuffle2+zstd1`"));
        let mut columns = array.columns().to_vec();
        columns[5] = Arc::new(arrow::array::ListArray::from_iter_primitive::<
            arrow::datatypes::Float64Type,
            _,
            _,
        >([Some([Some(1.0)])]));
        let DataType::List(item) = stored_volume_fields()[5].data_type().clone() else {
            panic!("the affine is a list");
        };
        let short = columns[5].as_list::<i32>();
        let (offsets, values) = (short.offsets().clone(), short.values().clone());
        columns[5] = Arc::new(arrow::array::ListArray::new(item, offsets, values, None));
        let short = StructArray::new(stored_volume_fields(), columns, None);
        let error = read_stored_volume(&short, 0).unwrap_err().to_string();
        assert!(error.contains("1 numbers, expected 12"), "{error}");
        let plain = volume_array(volumes()[0].as_ref());
        assert!(read_stored_volume(&plain, 0).is_err());
    }
}

//! From a Rust field to an Arrow column and back; used by the table definitions alone.

use super::SinkError;
use super::stored::{is_stored_volume, read_stored_volume, stored_volume_array};
use super::table::ColumnType;
use crate::volume::Volume;
use crate::volume::VolumeError;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Builder, Float64Array, Int32Array, Int64Array,
    ListBuilder, MapBuilder, RecordBatch, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int32Type, Int64Type};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A field of a table's row.
pub(super) trait Cell: Sized {
    /// Type of the column.
    const TYPE: ColumnType;
    /// Whether the column may hold nulls.
    const NULLABLE: bool = false;
    /// Values as a column.
    fn array<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, SinkError>
    where
        Self: 'a;
    /// Value `i` of a column whose type was checked.
    fn value(array: &dyn Array, i: usize) -> Result<Self, SinkError>;
}

/// The column of a field, its type and nulls checked.
pub(super) fn column<'a, T: Cell>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a dyn Array, SinkError> {
    let wrong = |problem: String| {
        SinkError::Volume(VolumeError::Column {
            column: name.to_owned(),
            problem,
        })
    };
    let array = batch
        .column_by_name(name)
        .ok_or_else(|| wrong("absent; was the table written by another version?".to_owned()))?;
    let same = match T::TYPE {
        ColumnType::Volume => is_stored_volume(array.data_type()),
        ColumnType::TextList | ColumnType::F32List => match (array.data_type(), T::TYPE.arrow()) {
            (DataType::List(found), DataType::List(wanted)) => {
                found.data_type() == wanted.data_type()
            }
            _ => false,
        },
        // Readers of Parquet name the fields of a map in their own way.
        ColumnType::TextMap => match array.data_type() {
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(of) => of.iter().all(|f| *f.data_type() == DataType::Utf8),
                _ => false,
            },
            _ => false,
        },
        plain => *array.data_type() == plain.arrow(),
    };
    if !same {
        return Err(wrong(format!(
            "found {}, expected {}",
            array.data_type(),
            T::TYPE.arrow()
        )));
    }
    if !T::NULLABLE && array.null_count() > 0 {
        return Err(wrong(format!(
            "{} nulls, expected none",
            array.null_count()
        )));
    }
    Ok(array.as_ref())
}

macro_rules! plain_cells {
    ($($rust:ty, $type:ident, $array:ident, $view:expr;)+) => {$(
        impl Cell for $rust {
            const TYPE: ColumnType = ColumnType::$type;
            fn array<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, SinkError> {
                Ok(Arc::new(values.cloned().map(Some).collect::<$array>()))
            }
            fn value(array: &dyn Array, i: usize) -> Result<Self, SinkError> {
                let view: fn(&dyn Array) -> &$array = $view;
                Ok(view(array).value(i).into())
            }
        }
        impl Cell for Option<$rust> {
            const TYPE: ColumnType = ColumnType::$type;
            const NULLABLE: bool = true;
            fn array<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, SinkError> {
                Ok(Arc::new(values.cloned().collect::<$array>()))
            }
            fn value(array: &dyn Array, i: usize) -> Result<Self, SinkError> {
                array.is_valid(i).then(|| <$rust>::value(array, i)).transpose()
            }
        }
    )+};
}

plain_cells! {
    bool, Bool, BooleanArray, |a| a.as_boolean();
    i32, I32, Int32Array, |a| a.as_primitive::<Int32Type>();
    i64, I64, Int64Array, |a| a.as_primitive::<Int64Type>();
    f64, F64, Float64Array, |a| a.as_primitive::<Float64Type>();
    String, Text, StringArray, |a| a.as_string::<i32>();
}

impl Cell for Vec<String> {
    const TYPE: ColumnType = ColumnType::TextList;
    fn array<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, SinkError> {
        let item = Field::new("item", DataType::Utf8, false);
        let mut list = ListBuilder::new(StringBuilder::new()).with_field(item);
        for texts in values {
            texts.iter().for_each(|t| list.values().append_value(t));
            list.append(true);
        }
        Ok(Arc::new(list.finish()))
    }
    fn value(array: &dyn Array, i: usize) -> Result<Self, SinkError> {
        let texts = array.as_list::<i32>().value(i);
        let texts = texts.as_string::<i32>();
        Ok((0..texts.len())
            .map(|j| texts.value(j).to_owned())
            .collect())
    }
}

impl Cell for BTreeMap<String, String> {
    const TYPE: ColumnType = ColumnType::TextMap;
    fn array<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, SinkError> {
        let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for texts in values {
            for (key, value) in texts {
                map.keys().append_value(key);
                map.values().append_value(value);
            }
            map.append(true).expect("each key has its value");
        }
        Ok(Arc::new(map.finish()))
    }
    fn value(array: &dyn Array, i: usize) -> Result<Self, SinkError> {
        let entries = array.as_map().value(i);
        let text = |column: usize| entries.column(column).as_string::<i32>();
        let (keys, values) = (text(0), text(1));
        Ok((0..entries.len())
            .map(|j| (keys.value(j).to_owned(), values.value(j).to_owned()))
            .collect())
    }
}

impl Cell for Vec<f32> {
    const TYPE: ColumnType = ColumnType::F32List;
    fn array<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, SinkError> {
        let item = Field::new("item", DataType::Float32, false);
        let mut list = ListBuilder::new(Float32Builder::new()).with_field(item);
        for numbers in values {
            list.values().append_slice(numbers);
            list.append(true);
        }
        Ok(Arc::new(list.finish()))
    }
    fn value(array: &dyn Array, i: usize) -> Result<Self, SinkError> {
        let numbers = array.as_list::<i32>().value(i);
        Ok(numbers.as_primitive::<Float32Type>().values().to_vec())
    }
}

impl Cell for Volume {
    const TYPE: ColumnType = ColumnType::Volume;
    fn array<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, SinkError> {
        let volumes: Vec<Option<Self>> = values.cloned().map(Some).collect();
        Ok(Arc::new(stored_volume_array(&volumes)?))
    }
    fn value(array: &dyn Array, i: usize) -> Result<Self, SinkError> {
        read_stored_volume(array.as_struct(), i)?.ok_or_else(|| SinkError::Stored {
            problem: format!("row {i} holds no volume where one is required"),
        })
    }
}

impl Cell for Option<Volume> {
    const TYPE: ColumnType = ColumnType::Volume;
    const NULLABLE: bool = true;
    fn array<'a>(values: impl Iterator<Item = &'a Self>) -> Result<ArrayRef, SinkError> {
        let volumes: Vec<Self> = values.cloned().collect();
        Ok(Arc::new(stored_volume_array(&volumes)?))
    }
    fn value(array: &dyn Array, i: usize) -> Result<Self, SinkError> {
        read_stored_volume(array.as_struct(), i)
    }
}

//! What `DESCRIBE` says of columns.

use super::union::run_fields;
use super::views::VIEWS;
use crate::sink::stored::is_stored_volume;
use crate::sink::table::{DOC_KEY, UNIT_KEY};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, SchemaRef};
use std::sync::Arc;

/// Unit and meaning of a column.
type Meaning = (Option<String>, Option<String>);
/// A text about a column.
type TextOf<'a> = &'a dyn Fn(&(&Arc<Field>, Meaning)) -> Option<String>;

/// What `DESCRIBE` answers: one row a column with type, unit and meaning.
pub(super) fn described(name: &str, schema: &SchemaRef) -> RecordBatch {
    let view = VIEWS.iter().find(|v| v.name == name);
    let fields = schema.fields().iter();
    let of_run = run_fields();
    let meaning = |field: &Arc<Field>| -> Meaning {
        let of_view = view.and_then(|v| v.columns.iter().find(|(n, ..)| n == field.name()));
        if let Some((_, unit, doc)) = of_view {
            let unit = Some((*unit).to_owned()).filter(|u| !u.is_empty());
            return (unit, Some((*doc).to_owned()));
        }
        let own = of_run.iter().find(|f| f.name() == field.name());
        let of_run = own.filter(|_| field.metadata().is_empty());
        let metadata = of_run.unwrap_or(field).metadata();
        (
            metadata.get(UNIT_KEY).cloned(),
            metadata.get(DOC_KEY).cloned(),
        )
    };
    let described: Vec<_> = fields.map(|f| (f, meaning(f))).collect();
    let texts = |of: TextOf<'_>| -> ArrayRef {
        Arc::new(described.iter().map(of).collect::<StringArray>())
    };
    let nullable: BooleanArray = described
        .iter()
        .map(|(f, _)| Some(f.is_nullable()))
        .collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("column", texts(&|(f, _)| Some(f.name().clone()))),
        ("type", texts(&|(f, _)| Some(type_name(f.data_type())))),
        ("unit", texts(&|(_, (unit, _))| unit.clone())),
        ("nullable", Arc::new(nullable)),
        ("meaning", texts(&|(_, (_, doc))| doc.clone())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .expect("the columns have one length")
}

/// A type as a reader of SQL would call it.
pub(super) fn type_name(dtype: &DataType) -> String {
    match dtype {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "integer".to_owned(),
        DataType::Int64 | DataType::UInt64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytes".to_owned(),
        DataType::List(item) | DataType::LargeList(item) => {
            format!("list of {}", type_name(item.data_type()))
        }
        DataType::Map(..) => "map of text to text".to_owned(),
        volume if is_stored_volume(volume) => "volume".to_owned(),
        DataType::Struct(fields) => {
            let names: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
            format!("struct of {}", names.join(", "))
        }
        other => other.to_string().to_lowercase(),
    }
}

//! Questions about voxels: functions of volumes in SQL.
//!
//! A volume is decoded when a function asks for it, one at a time and within the budget of the
//! query; a statement without such a function reads no voxel.

mod decoder;
mod figures;
mod picture;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, Float32Builder, Float64Builder, Int64Builder,
    ListBuilder,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::SessionContext;
use decoder::Decoder;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::names::FUNCTIONS;
use crate::sink::stored::is_stored_volume;
use crate::spec::counted;

/// A function for `.help`: how it is written, and what it returns.
pub const HELP: [(&str, &str); 7] = [
    (
        "dice(a, b, class)",
        "Dice coefficient of a class in two label maps on one grid, voxels that hold 255 (not annotated) in either left out; null where neither has the class",
    ),
    ("volume_ml(label, class)", "volume of a class in ml"),
    (
        "components(label, class)",
        "connected components of a class; voxels that share a corner are neighbours",
    ),
    (
        "mean_in(image, label, class)",
        "mean of the finite voxels of an image inside a class; null where there is none",
    ),
    (
        "percentile(image, p)",
        "percentile (0 to 100) of the finite voxels, as NumPy's",
    ),
    (
        "voxels(volume)",
        "list of the values, [z, y, x] with x fastest",
    ),
    (
        "slice_png(image, label, axis, index)",
        "picture of a slice with label contours as PNG; axis is 'axial' ('z'), 'coronal' ('y') or 'sagittal' ('x'), index counts voxels along it from 0, label may be null",
    ),
];

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Argument {
    Volume,
    /// A volume, or null for none.
    MaybeVolume,
    Whole,
    Number,
    Text,
}

/// One of the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Function {
    Dice,
    VolumeMl,
    Components,
    MeanIn,
    Percentile,
    Voxels,
    SlicePng,
}

impl Function {
    const ALL: [Self; 7] = [
        Self::Dice,
        Self::VolumeMl,
        Self::Components,
        Self::MeanIn,
        Self::Percentile,
        Self::Voxels,
        Self::SlicePng,
    ];

    fn name(self) -> &'static str {
        FUNCTIONS[self as usize]
    }

    fn arguments(self) -> &'static [Argument] {
        use Argument::{MaybeVolume, Number, Text, Volume, Whole};
        match self {
            Self::Dice | Self::MeanIn => &[Volume, Volume, Whole],
            Self::VolumeMl | Self::Components => &[Volume, Whole],
            Self::Percentile => &[Volume, Number],
            Self::Voxels => &[Volume],
            Self::SlicePng => &[Volume, MaybeVolume, Text, Whole],
        }
    }

    fn result(self) -> DataType {
        match self {
            Self::Dice | Self::VolumeMl | Self::MeanIn | Self::Percentile => DataType::Float64,
            Self::Components => DataType::Int64,
            Self::Voxels => DataType::List(voxel_field()),
            Self::SlicePng => DataType::Binary,
        }
    }
}

fn voxel_field() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, false))
}

/// A function with what it decodes by.
#[derive(Debug)]
struct VolumeFunction {
    function: Function,
    signature: Signature,
    decoder: Arc<Decoder>,
}

impl PartialEq for VolumeFunction {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function
    }
}

impl Eq for VolumeFunction {}

impl Hash for VolumeFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

/// Adds the functions to a session; at most `budget` bytes of decoded voxels are held.
pub(super) fn register(context: &SessionContext, budget: u64) {
    let decoder = Arc::new(Decoder::new(budget));
    for function in Function::ALL {
        context.register_udf(ScalarUDF::new_from_impl(VolumeFunction {
            function,
            signature: Signature::user_defined(Volatility::Immutable),
            decoder: Arc::clone(&decoder),
        }));
    }
}

impl ScalarUDFImpl for VolumeFunction {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.function.result())
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (usage, _) = HELP[self.function as usize];
        let wanted = self.function.arguments();
        if types.len() != wanted.len() {
            return Err(DataFusionError::Plan(format!(
                "{usage} takes {}, found {}",
                counted(wanted.len(), "argument"),
                types.len()
            )));
        }
        let coerced = types.iter().zip(wanted).enumerate();
        coerced
            .map(|(i, (found, wanted))| {
                coerced_type(found, *wanted).map_err(|expected| {
                    let found = super::describe::type_name(found);
                    DataFusionError::Plan(format!(
                        "argument {} of {usage} is {found}; expected {expected}",
                        i + 1
                    ))
                })
            })
            .collect()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = args.args.iter().map(|a| a.to_array(rows));
        let arrays: Vec<ArrayRef> = arrays.collect::<Result<_>>()?;
        let call = Call {
            arrays,
            rows,
            decoder: &self.decoder,
            optional: self.function == Function::SlicePng,
        };
        let failed = |problem: String| {
            DataFusionError::Execution(format!("{}: {problem}", self.function.name()))
        };
        let array = call.invoke(self.function).map_err(failed)?;
        Ok(ColumnarValue::Array(array))
    }
}

/// The type that an argument is cast to, or what was expected.
fn coerced_type(found: &DataType, wanted: Argument) -> std::result::Result<DataType, &'static str> {
    let is_null = *found == DataType::Null;
    match wanted {
        Argument::Volume | Argument::MaybeVolume if is_stored_volume(found) || is_null => {
            Ok(found.clone())
        }
        Argument::Volume | Argument::MaybeVolume => {
            Err("a volume, such as `label` of `predictions` or `\"image.ct\"` of `prepared`")
        }
        Argument::Whole if found.is_integer() || is_null => Ok(DataType::Int64),
        Argument::Whole => Err("a whole number"),
        Argument::Number if found.is_numeric() || is_null => Ok(DataType::Float64),
        Argument::Number => Err("a number"),
        Argument::Text if found.is_string() || is_null => Ok(DataType::Utf8),
        Argument::Text => Err("a text, such as 'axial'"),
    }
}

/// The arguments of one call.
struct Call<'a> {
    arrays: Vec<ArrayRef>,
    rows: usize,
    decoder: &'a Decoder,
    /// Whether the second argument may be null.
    optional: bool,
}

impl Call<'_> {
    fn invoke(&self, function: Function) -> std::result::Result<ArrayRef, String> {
        let (a, b) = (0, 1);
        Ok(match function {
            Function::Dice => self.numbers(|i| {
                figures::dice(&self.volume(a, i)?, &self.volume(b, i)?, self.class(2, i)?)
            })?,
            Function::VolumeMl => self.numbers(|i| {
                Ok(Some(figures::volume_ml(
                    &self.volume(a, i)?,
                    self.class(1, i)?,
                )))
            })?,
            Function::MeanIn => self.numbers(|i| {
                figures::mean_in(&self.volume(a, i)?, &self.volume(b, i)?, self.class(2, i)?)
            })?,
            Function::Percentile => self.numbers(|i| {
                let percent = self.arrays[1].as_primitive::<Float64Type>().value(i);
                figures::percentile(&self.volume(a, i)?, percent)
            })?,
            Function::Components => {
                let mut out = Int64Builder::new();
                for i in 0..self.rows {
                    let count = match self.is_null(i) {
                        true => None,
                        false => Some(figures::components(&self.volume(a, i)?, self.class(1, i)?)),
                    };
                    out.append_option(count);
                }
                Arc::new(out.finish())
            }
            Function::Voxels => {
                let mut out = ListBuilder::new(Float32Builder::new()).with_field(voxel_field());
                for i in 0..self.rows {
                    let is_null = self.is_null(i);
                    if !is_null {
                        out.values().append_slice(&self.volume(a, i)?.to_f32());
                    }
                    out.append(!is_null);
                }
                Arc::new(out.finish())
            }
            Function::SlicePng => {
                let mut out = BinaryBuilder::new();
                for i in 0..self.rows {
                    if self.is_null(i) {
                        out.append_null();
                        continue;
                    }
                    let label = match self.arrays[b].is_null(i) || is_untyped(&self.arrays[b]) {
                        true => None,
                        false => Some(self.volume(b, i)?),
                    };
                    let axis = self.arrays[2].as_string::<i32>().value(i);
                    let index = self.arrays[3].as_primitive::<Int64Type>().value(i);
                    let image = self.volume(a, i)?;
                    out.append_value(picture::slice_png(&image, label.as_ref(), axis, index)?);
                }
                Arc::new(out.finish())
            }
        })
    }

    fn numbers(
        &self,
        of: impl Fn(usize) -> std::result::Result<Option<f64>, String>,
    ) -> std::result::Result<ArrayRef, String> {
        let mut out = Float64Builder::with_capacity(self.rows);
        for i in 0..self.rows {
            out.append_option(if self.is_null(i) { None } else { of(i)? });
        }
        Ok(Arc::new(out.finish()))
    }

    /// Returns `true` if an argument that is needed is null.
    fn is_null(&self, i: usize) -> bool {
        let needed = |at: usize| !(self.optional && at == 1);
        let arrays = self.arrays.iter().enumerate().filter(|(at, _)| needed(*at));
        arrays
            .into_iter()
            .any(|(_, array)| is_untyped(array) || array.is_null(i))
    }

    fn volume(&self, at: usize, i: usize) -> std::result::Result<crate::volume::Volume, String> {
        self.decoder.volume(self.arrays[at].as_struct(), i)
    }

    fn class(&self, at: usize, i: usize) -> std::result::Result<u16, String> {
        let class = self.arrays[at].as_primitive::<Int64Type>().value(i);
        u16::try_from(class).map_err(|_| format!("found class {class}, expected 0 to 65535"))
    }
}

/// A null that was written as such has no type.
fn is_untyped(array: &ArrayRef) -> bool {
    *array.data_type() == DataType::Null
}

#[cfg(test)]
mod tests;

//! Prepared rows: how they are encoded, and read back.

use super::parquet::read_batches;
use super::stored::{
    is_stored_volume, read_stored_volume, stored_volume_array, stored_volume_fields,
};
use super::table::{DOC_KEY, NAME_KEY};
use super::{SinkError, io_error};
use crate::store;
use crate::volume::columns::{sample_at, subject_at, volume_array};
use crate::volume::{Row, nifti};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Encodes the prepared rows of one subject as one batch of the table `prepared`.
///
/// **Errors** if there is no row, if rows are of several subjects or have different channels, or if
/// bytes and type of a volume disagree.
pub fn encode_prepared(rows: &[Row]) -> Result<RecordBatch, SinkError> {
    let Some(first) = rows.first() else {
        return Err(rows_error("no row to write"));
    };
    if let Some(other) = rows.iter().find(|r| r.subject != first.subject) {
        return Err(rows_error(&format!(
            "rows of `{}` and `{}` in one write, expected one subject",
            first.subject, other.subject
        )));
    }
    rows.iter().try_for_each(Row::verify)?;
    let batches: Vec<RecordBatch> = rows.iter().map(stored_batch).collect::<Result<_, _>>()?;
    let schema = batches[0].schema();
    let different = |problem: &str| {
        rows_error(&format!(
            "rows of `{}` with different channels{problem}",
            first.subject
        ))
    };
    // Arrow counts on it.
    if batches
        .iter()
        .any(|b| b.schema().fields() != schema.fields())
    {
        return Err(different(""));
    }
    concat_batches(&schema, &batches).map_err(|e| different(&format!(": {e}")))
}

/// Writes each volume of a row as `<folder>/<column>.nii.gz`, with the row's number before the
/// ending where its subject has several rows. Returns the files.
///
/// **Errors** if bytes and type of a volume disagree, or the folder cannot be written.
pub fn write_nifti(
    folder: &Path,
    row: &Row,
    index: Option<usize>,
) -> Result<Vec<PathBuf>, SinkError> {
    if !store::is_url(folder) {
        fs::create_dir_all(folder).map_err(io_error(folder, "creating the folder"))?;
    }
    let mut files = Vec::new();
    for (column, _, volume) in row.columns() {
        let column = file_stem(&column);
        let suffix = index.map_or_else(String::new, |i| format!("_{i:04}"));
        let path = folder.join(format!("{column}{suffix}.nii.gz"));
        // The grid is the preparation's: a source's header would lend codes it has left.
        nifti::write(&path, volume, None)?;
        files.push(path);
    }
    Ok(files)
}

/// Reads the rows of a prepared file.
///
/// **Errors** when the file is damaged or is no prepared file.
pub fn read_prepared(path: &Path) -> Result<Vec<Row>, SinkError> {
    read_prepared_where(path, |_, _| true)
}

/// Reads the rows of a prepared file whose subject and sample number `wanted` accepts; volumes of other
/// rows are not decoded.
///
/// **Errors** as [`read_prepared`].
pub fn read_prepared_where(
    path: &Path,
    wanted: impl Fn(&str, u32) -> bool,
) -> Result<Vec<Row>, SinkError> {
    let mut rows = Vec::new();
    for batch in read_batches(path)? {
        for i in 0..batch.num_rows() {
            let one = batch.slice(i, 1);
            if wanted(&subject_at(&one, 0)?, sample_at(&one, 0)?) {
                rows.push(Row::from_batch(&decoded(&one)?, 0)?);
            }
        }
    }
    Ok(rows)
}

/// A batch of one row with its volumes decoded.
fn decoded(one: &RecordBatch) -> Result<RecordBatch, SinkError> {
    let columns = one
        .columns()
        .iter()
        .map(|c| -> Result<ArrayRef, SinkError> {
            if !is_stored_volume(c.data_type()) {
                return Ok(c.clone());
            }
            let volume = read_stored_volume(c.as_struct(), 0)?;
            Ok(Arc::new(volume_array(volume.as_ref())))
        });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let fields = one
        .schema()
        .fields()
        .iter()
        .zip(&columns)
        .map(|(f, c)| Field::new(f.name(), c.data_type().clone(), f.is_nullable()))
        .collect::<Vec<_>>();
    let plain = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
    Ok(plain.expect("the schema is taken from the columns"))
}

/// A row with its volumes encoded; the other columns are those of rows between stages.
fn stored_batch(row: &Row) -> Result<RecordBatch, SinkError> {
    let plain = row.to_batch();
    let schema = plain.schema();
    let mut columns = plain.columns().to_vec();
    let first = plain.num_columns() - row.images.len() - row.labels.len();
    for (column, channel) in columns[first..]
        .iter_mut()
        .zip(row.images.iter().chain(&row.labels))
    {
        *column = Arc::new(stored_volume_array(std::slice::from_ref(&channel.volume))?);
    }
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(i, field)| {
            let field = Field::clone(field);
            if i < first {
                field
            } else {
                field.with_data_type(DataType::Struct(stored_volume_fields()))
            }
        })
        .collect();
    let mut metadata = schema.metadata().clone();
    metadata.insert(NAME_KEY.to_owned(), "prepared".to_owned());
    metadata.insert(
        DOC_KEY.to_owned(),
        "One row a subject or patch after preparation, volumes encoded.".to_owned(),
    );
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    Ok(RecordBatch::try_new(schema, columns).expect("the schema is taken from the columns"))
}

/// Bytes of a file name for a subject at most; an ending, and that of a draft, fit into the 255 of file systems.
const LONGEST_STEM: usize = 180;
/// Of these, bytes that show a longer id.
const SHOWN_STEM: usize = 160;

/// A file name for a subject, whatever its id holds: other characters become `+` and hex digits.
///
/// **Law** ASCII letters, digits, `-`, `.` and `_` stand for themselves, except a leading `.` or
/// `_`, which Parquet readers take for hidden files. What would be longer than 180 bytes is cut to 160, and
/// `+h` with the first 16 digits of the id's BLAKE3 follows. Different ids give different names.
pub fn file_stem(subject: &str) -> String {
    use std::fmt::Write as _;
    let mut stem = String::with_capacity(subject.len());
    for (i, byte) in subject.bytes().enumerate() {
        let inner = i > 0 && matches!(byte, b'.' | b'_');
        if byte.is_ascii_alphanumeric() || byte == b'-' || inner {
            stem.push(char::from(byte));
        } else {
            write!(stem, "+{byte:02X}").expect("a string takes every text");
        }
    }
    if stem.len() > LONGEST_STEM {
        stem.truncate(SHOWN_STEM);
        // No escape has a small letter, so that no other id has this name.
        write!(
            stem,
            "+h{}",
            &blake3::hash(subject.as_bytes()).to_hex()[..16]
        )
        .expect("a string takes every text");
    }
    stem
}

fn rows_error(problem: &str) -> SinkError {
    SinkError::Rows {
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::TableWriter;
    use super::*;
    use crate::volume::row::{DrawRecord, Measure};
    use crate::volume::{Channel, Grid, Split, Volume, Warning, WarningKind};

    fn row(subject: &str, sample: u32) -> Row {
        let grid = Grid::with_spacing([3, 4, 5], [1.0, 1.0, 2.5]).unwrap();
        let image = (0..60).map(|i| i as f32 * 0.25 + sample as f32).collect();
        let channel = |name: &str, volume| Channel {
            name: name.into(),
            volume,
        };
        Row {
            subject: subject.into(),
            cohort: "demo".into(),
            split: Split::Train,
            epoch: 1,
            sample,
            view: String::new(),
            images: vec![
                channel("ct", Some(Volume::from_vec::<f32>(image, grid).unwrap())),
                channel("mr", None),
            ],
            labels: vec![channel(
                "",
                Some(Volume::from_vec(vec![1u8; 60], grid).unwrap()),
            )],
            draws: vec![DrawRecord {
                stage: "stages[1].patch".into(),
                draw: serde_json::json!({"offset": [1, 2, 3]}),
            }],
            history: vec!["stages[0].orient".into(), "stages[1].patch".into()],
            quality: vec![Measure {
                step: 0,
                modality: "ct".into(),
                name: "sd".into(),
                value: 2.5,
            }],
            warnings: vec![Warning {
                stage: "source".into(),
                modality: Some("ct".into()),
                kind: WarningKind::NotFinite,
                message: "most voxels are NaN".into(),
            }],
            ..Row::default()
        }
    }

    fn written(path: &Path, rows: &[Row]) {
        let batch = encode_prepared(rows).unwrap();
        let mut writer = TableWriter::create(path, batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        assert_eq!(writer.close().unwrap().rows, rows.len() as u64);
    }

    #[test]
    fn rows_survive_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let rows = [row("site/1", 0), row("site/1", 1)];
        written(&path, &rows);
        let back = read_prepared(&path).unwrap();
        assert_eq!(back.len(), 2);
        for (a, b) in back.iter().zip(&rows) {
            assert_eq!(a.to_batch(), b.to_batch());
        }
    }

    #[test]
    fn nifti_files_hold_the_same_voxels() {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("a+2F1");
        let rows = [row("a/1", 0), row("a/1", 1)];
        for (i, row) in rows.iter().enumerate() {
            assert_eq!(write_nifti(&files, row, Some(i)).unwrap().len(), 2);
            let image = nifti::read(&files.join(format!("image.ct_{i:04}.nii.gz")), None).unwrap();
            let expected = row.images[0].volume.as_ref().unwrap();
            assert_eq!(image.buffer().as_slice(), expected.buffer().as_slice());
            assert_eq!(image.grid(), expected.grid());
            assert!(files.join(format!("label_{i:04}.nii.gz")).is_file());
        }
        assert_eq!(fs::read_dir(&files).unwrap().count(), 4);
        write_nifti(&files, &rows[0], None).unwrap();
        assert!(files.join("image.ct.nii.gz").is_file());
    }

    #[test]
    fn bytes_that_disagree_with_the_type_reach_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut broken = row("a", 0);
        let grid = Grid::with_spacing([3, 4, 5], [1.0; 3]).unwrap();
        // Stored 16-bit integers under the name of 32-bit floats.
        let volume = Volume::broken(vec![0; 120], crate::volume::Dtype::F32, grid);
        broken.images[1].volume = Some(volume.clone());
        let error = encode_prepared(&[row("a", 1), broken]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "column `image.mr`: a volume of shape [5, 4, 3] (z, y, x) as f32 needs 240 bytes, found 120"
        );
        assert!(error.is_of_one_subject());
        assert!(nifti::write(&folder.path().join("a.nii"), &volume, None).is_err());
        assert!(stored_volume_array(&[Some(volume)]).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn every_id_has_a_file_name_of_its_own() {
        assert_eq!(file_stem("amos_0057"), "amos_0057");
        assert_eq!(file_stem("a/b"), "a+2Fb");
        assert_eq!(file_stem("a+2Fb"), "a+2B2Fb");
        assert_eq!(file_stem("../x"), "+2E.+2Fx");
        assert_eq!(file_stem("_tmp"), "+5Ftmp");
        let long = |end: &str| file_stem(&format!("{}{end}", "脳".repeat(40)));
        assert!(long("a").len() < 180 && long("a").starts_with("+E8+84+B3+E8"));
        assert_ne!(long("a"), long("b"));
        assert_eq!(file_stem(&"x".repeat(180)), "x".repeat(180));
    }

    #[test]
    fn two_subjects_and_none_are_refused() {
        assert!(encode_prepared(&[]).is_err());
        let error = encode_prepared(&[row("a", 0), row("b", 0)]).unwrap_err();
        assert!(error.to_string().contains("`a` and `b`"));
        let mut other = row("a", 1);
        other.images.pop();
        let error = encode_prepared(&[row("a", 0), other]).unwrap_err();
        assert!(error.is_of_one_subject(), "{error}");
    }
}

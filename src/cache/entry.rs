//! One prepared subject as an Arrow IPC file: a row, the sites of its classes, and the smallest
//! value of each image.

use super::error::CacheError;
use super::mapped::Mapped;
use super::sums::{Key, Sums, footer_of};
use crate::stage::cache::Precision;
use crate::volume::{Backing, Dtype, Grid, Row, Sites, Volume};
use arrow::array::{
    Array, ArrayRef, Int64Array, LargeBinaryArray, ListArray, RecordBatch, StructArray, UInt32Array,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::FileDecoder;
use arrow::ipc::{convert::fb_to_schema, root_as_footer, writer::FileWriter};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Beginning of the names of files under way.
pub(super) const TEMPORARY: &str = ".under-way-";
/// Key of the smallest values in the schema's metadata.
const LOWEST: &str = "voxstream.lowest";
/// Key of the sites' grid in the schema's metadata.
const SITES_GRID: &str = "voxstream.sites_grid";

/// An entry that was taken out of a store.
#[derive(Debug)]
pub struct Entry {
    /// The row; its voxels are mapped.
    pub row: Row,
    /// The file its voxels lie in.
    pub file: Arc<Mapped>,
}

/// A row as it will be read from the cache.
pub(super) fn as_kept(mut row: Row, precision: Precision) -> Row {
    if precision == Precision::Half {
        for image in &mut row.images {
            image.volume = image.volume.take().map(Volume::into_half);
            if (image.volume.as_ref()).is_some_and(|v| v.dtype() == Dtype::F32) {
                tracing::warn!(
                    subject = %row.subject, modality = %image.name,
                    "kept in full precision: it has values above 65504, the most of half precision"
                );
            }
        }
    }
    row
}

/// Writes a row under its final name, whole or not at all, with the checksums of its bytes.
///
/// **Errors** as [`Row::verify`], or if the folder cannot be written.
pub(super) fn write(
    path: &Path,
    key: &Key,
    row: &Row,
    precision: Precision,
) -> Result<(), CacheError> {
    row.verify()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(folder)
        .map_err(CacheError::io(folder, "making a temporary file"))?;
    let failed = |e: ArrowError| CacheError::Io {
        path: path.to_owned(),
        action: "writing a cache entry",
        source: std::io::Error::other(e),
    };
    let batch = to_batch(&as_kept(row.clone(), precision)).map_err(failed)?;
    let written =
        FileWriter::try_new_buffered(file.as_file(), &batch.schema()).and_then(|mut writer| {
            writer.write(&batch)?;
            writer.finish()
        });
    written.map_err(failed)?;
    seal(path, file.as_file(), key)?;
    file.persist(path)
        .map_err(|e| CacheError::io(path, "renaming a cache entry")(e.error))?;
    Ok(())
}

/// Puts the checksums of a finished Arrow file in front of its footer.
fn seal(path: &Path, mut file: &std::fs::File, key: &Key) -> Result<(), CacheError> {
    let io = || CacheError::io(path, "writing a cache entry");
    let (rest, footer) = {
        #[expect(unsafe_code, reason = "the door to mapped memory")]
        // SAFETY: nobody else knows the file yet.
        let map = unsafe { memmap2::Mmap::map(file) }.map_err(io())?;
        let buffer = Buffer::from(Bytes::from_owner(map));
        let other = |e: String| io()(std::io::Error::other(e));
        let footer = footer_of(&buffer).map_err(other)?;
        let batch = batch_of(&buffer, &footer).map_err(|e| other(e.to_string()))?;
        let voxels = voxels_of(&batch, &buffer);
        let mut rest = Sums::block(&buffer, &footer, &voxels, key);
        rest.extend_from_slice(&buffer[footer.start..]);
        (rest, footer)
    };
    file.seek(SeekFrom::Start(footer.start as u64))
        .map_err(io())?;
    file.write_all(&rest).map_err(io())
}

/// Where in a file the voxels of its row lie.
fn voxels_of(batch: &RecordBatch, file: &Buffer) -> Vec<Range<usize>> {
    let columns = batch.columns().iter();
    let volumes = columns.filter_map(|c| c.as_any().downcast_ref::<StructArray>());
    let voxels = volumes.filter_map(|volume| {
        let voxels = volume.column_by_name("voxels")?;
        let voxels = voxels.as_any().downcast_ref::<LargeBinaryArray>()?.values();
        let from = (voxels.as_ptr() as usize).checked_sub(file.as_ptr() as usize)?;
        (from + voxels.len() <= file.len()).then_some(from..from + voxels.len())
    });
    voxels.filter(|bytes| !bytes.is_empty()).collect()
}

fn to_batch(row: &Row) -> Result<RecordBatch, ArrowError> {
    let lowest: BTreeMap<&str, u64> = row
        .images
        .iter()
        .filter_map(|c| Some((c.name.as_str(), c.volume.as_ref()?.lowest_bits())))
        .collect();
    let batch = row.to_batch();
    let mut metadata = batch.schema().metadata().clone();
    let json = |e: serde_json::Error| ArrowError::JsonError(e.to_string());
    let lowest = serde_json::to_string(&lowest).map_err(json)?;
    metadata.insert(LOWEST.to_owned(), lowest);
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    if let Some(sites) = &row.sites {
        let grid = serde_json::to_string(sites.grid()).map_err(json)?;
        metadata.insert(SITES_GRID.to_owned(), grid);
        let column = sites_array(sites);
        fields.push(Arc::new(Field::new(
            "sites",
            column.data_type().clone(),
            false,
        )));
        columns.push(column);
    }
    RecordBatch::try_new(
        Arc::new(Schema::new_with_metadata(fields, metadata)),
        columns,
    )
}

/// A list of class number and voxel indices, of one row.
fn sites_array(sites: &Sites) -> ArrayRef {
    let classes: Vec<i64> = sites.classes().collect();
    let voxels = classes.iter().map(|c| sites.of_class(*c));
    let offsets = OffsetBuffer::from_lengths(voxels.clone().map(<[u32]>::len));
    let values: Vec<u32> = voxels.flatten().copied().collect();
    let item = |kind| Arc::new(Field::new("item", kind, false));
    let lists = ListArray::new(
        item(DataType::UInt32),
        offsets,
        Arc::new(UInt32Array::from(values)),
        None,
    );
    let fields = Fields::from(vec![
        Field::new("class", DataType::Int64, false),
        Field::new("voxels", lists.data_type().clone(), false),
    ]);
    let count = classes.len();
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(classes)), Arc::new(lists)];
    let pairs = StructArray::new(fields, columns, None);
    Arc::new(ListArray::new(
        item(pairs.data_type().clone()),
        OffsetBuffer::from_lengths([count]),
        Arc::new(pairs),
        None,
    ))
}

/// Maps an entry; `None` where there is none.
///
/// **Errors** if it cannot be mapped, or is damaged.
pub(super) fn read(path: &Path, key: &Key) -> Result<Option<Entry>, CacheError> {
    let Some(file) = Mapped::open(path, key)? else {
        return Ok(None);
    };
    let file = Arc::new(file);
    match from_file(&file) {
        Ok(row) => Ok(Some(Entry { row, file })),
        // Its bytes are those that were written, so it was written so.
        Err(e) => Err(CacheError::Damaged(file.unreadable(&e))),
    }
}

/// The bytes of a mapped entry, which stays mapped as long as they are held.
struct Held(Arc<Mapped>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// The one record batch of an Arrow file; nothing is copied.
fn batch_of(file: &Buffer, footer: &Range<usize>) -> Result<RecordBatch, ArrowError> {
    let footer = root_as_footer(&file[footer.clone()]).map_err(|e| broken(&e.to_string()))?;
    let schema = footer.schema().ok_or_else(|| broken("no schema"))?;
    let decoder = FileDecoder::new(Arc::new(fb_to_schema(schema)), footer.version());
    let blocks = footer.recordBatches().ok_or_else(|| broken("no rows"))?;
    let block = blocks.iter().next().ok_or_else(|| broken("no rows"))?;
    let length = block.bodyLength() as usize + block.metaDataLength() as usize;
    let first = block.offset() as usize;
    if first + length > file.len() {
        return Err(broken("the rows are cut"));
    }
    let data = file.slice_with_length(first, length);
    decoder
        .read_record_batch(block, &data)?
        .ok_or_else(|| broken("no rows"))
}

fn broken(what: &str) -> ArrowError {
    ArrowError::ParseError(what.to_owned())
}

fn from_file(file: &Arc<Mapped>) -> Result<Row, ArrowError> {
    let buffer = Buffer::from(Bytes::from_owner(Held(Arc::clone(file))));
    let batch = batch_of(&buffer, &file.footer())?;
    let mut row = Row::from_batch(&batch, 0).map_err(|e| broken(&e.to_string()))?;
    let schema = batch.schema();
    let metadata = schema.metadata();
    let lowest: BTreeMap<String, u64> = metadata
        .get(LOWEST)
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| broken("no smallest values"))?;
    for channel in row.images.iter_mut().chain(&mut row.labels) {
        if let Some(volume) = &mut channel.volume {
            volume.back_by(Arc::clone(file) as Arc<dyn Backing>);
        }
    }
    for image in &mut row.images {
        if let (Some(volume), Some(bits)) = (&mut image.volume, lowest.get(&image.name)) {
            volume.know_lowest(*bits);
        }
    }
    if let (Some(grid), Some(column)) = (metadata.get(SITES_GRID), batch.column_by_name("sites")) {
        let grid: Grid = serde_json::from_str(grid).map_err(|e| broken(&e.to_string()))?;
        let classes = sites_of(column).ok_or_else(|| broken("the sites are of another type"))?;
        row.sites = Some(Arc::new(Sites::new(grid, classes)));
    }
    Ok(row)
}

fn sites_of(column: &ArrayRef) -> Option<BTreeMap<i64, Vec<u32>>> {
    let pairs = column.as_any().downcast_ref::<ListArray>()?.value(0);
    let pairs = pairs.as_any().downcast_ref::<StructArray>()?;
    let classes = pairs.column(0).as_any().downcast_ref::<Int64Array>()?;
    let voxels = pairs.column(1).as_any().downcast_ref::<ListArray>()?;
    (0..pairs.len())
        .map(|i| {
            let list = voxels.value(i);
            let list = list.as_any().downcast_ref::<UInt32Array>()?;
            Some((classes.value(i), list.values().to_vec()))
        })
        .collect()
}

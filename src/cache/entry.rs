//! One prepared subject as an Arrow IPC file: a row, the sites of its classes, and the smallest
//! value of each image.

use super::CacheError;
use crate::stage::cache::Precision;
use crate::volume::{Dtype, Grid, Row, Sites, Volume};
use arrow::array::{Array, ArrayRef, Int64Array, ListArray, RecordBatch, StructArray, UInt32Array};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::{convert::fb_to_schema, root_as_footer, writer::FileWriter};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Beginning of the names of files under way.
pub(super) const TEMPORARY: &str = ".under-way-";
/// Key of the smallest values in the schema's metadata.
const LOWEST: &str = "voxstream.lowest";
/// Key of the sites' grid in the schema's metadata.
const SITES_GRID: &str = "voxstream.sites_grid";

/// Writes a row under its final name, whole or not at all.
///
/// **Errors** as [`Row::verify`], or if the folder cannot be written.
pub(super) fn write(path: &Path, row: &Row, precision: Precision) -> Result<(), CacheError> {
    row.verify()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(folder)
        .map_err(CacheError::io(folder, "making a temporary file"))?;
    let batch = to_batch(row, precision).map_err(|e| CacheError::entry(path, &e))?;
    let written =
        FileWriter::try_new_buffered(file.as_file(), &batch.schema()).and_then(|mut writer| {
            writer.write(&batch)?;
            writer.finish()
        });
    written.map_err(|e| CacheError::Io {
        path: path.to_owned(),
        action: "writing a cache entry",
        source: std::io::Error::other(e),
    })?;
    file.persist(path)
        .map_err(|e| CacheError::io(path, "renaming a cache entry")(e.error))?;
    Ok(())
}

fn to_batch(row: &Row, precision: Precision) -> Result<RecordBatch, ArrowError> {
    let mut row = row.clone();
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
pub(super) fn read(path: &Path) -> Result<Option<Row>, CacheError> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(CacheError::io(path, "opening a cache entry")(e)),
    };
    #[expect(unsafe_code, reason = "the door to mapped memory")]
    // SAFETY: entries are written under another name and never changed under this one; removing
    // one leaves what is mapped as it is.
    let map = unsafe { memmap2::Mmap::map(&file) }
        .map_err(CacheError::io(path, "mapping a cache entry"))?;
    let buffer = Buffer::from(Bytes::from_owner(map));
    from_buffer(&buffer)
        .map(Some)
        .map_err(|e| CacheError::entry(path, &e))
}

fn from_buffer(buffer: &Buffer) -> Result<Row, ArrowError> {
    let broken = |what: &str| ArrowError::ParseError(format!("no cache entry: {what}"));
    let end = buffer
        .len()
        .checked_sub(10)
        .ok_or_else(|| broken("too short"))?;
    let trailer: [u8; 10] = buffer[end..].try_into().map_err(|_| broken("no trailer"))?;
    let length = read_footer_length(trailer)?;
    let start = end
        .checked_sub(length)
        .ok_or_else(|| broken("the footer is cut"))?;
    let footer = root_as_footer(&buffer[start..end]).map_err(|e| broken(&e.to_string()))?;
    let schema = footer.schema().ok_or_else(|| broken("no schema"))?;
    let schema = Arc::new(fb_to_schema(schema));
    let decoder = FileDecoder::new(Arc::clone(&schema), footer.version());
    let blocks = footer.recordBatches().ok_or_else(|| broken("no rows"))?;
    let block = blocks.iter().next().ok_or_else(|| broken("no rows"))?;
    let length = block.bodyLength() as usize + block.metaDataLength() as usize;
    let first = block.offset() as usize;
    if first + length > buffer.len() {
        return Err(broken("the rows are cut"));
    }
    let data = buffer.slice_with_length(first, length);
    let batch = decoder
        .read_record_batch(block, &data)?
        .ok_or_else(|| broken("no rows"))?;
    let mut row = Row::from_batch(&batch, 0).map_err(|e| broken(&e.to_string()))?;
    let metadata = schema.metadata();
    let lowest: BTreeMap<String, u64> = metadata
        .get(LOWEST)
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| broken("no smallest values"))?;
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

//! Rows as text, so that a failed comparison shows what differs.

use voxstream::volume::{Channel, Row, Volume};

/// A volume as text that names what differs: type, scaling, grid, and the digest of its bytes.
pub(crate) fn print(channel: &Channel) -> String {
    let shown = channel.volume.as_ref().map(|v: &Volume| {
        let digest = blake3::hash(v.buffer().as_slice()).to_hex();
        format!("{} {:?} {:?} {digest}", v.dtype(), v.scaling(), v.grid())
    });
    format!("{} {shown:?}", channel.name)
}

/// Everything in a row that is written to Parquet.
fn prints(row: &Row) -> Vec<String> {
    let mut lines = vec![format!(
        "{} {} {} {:?} {:?}",
        row.subject, row.epoch, row.sample, row.view, row.history
    )];
    lines.push(serde_json::to_string(&row.draws).unwrap());
    lines.extend(voxels(row));
    lines
}

/// Volumes alone.
pub(crate) fn voxels(row: &Row) -> Vec<String> {
    row.images.iter().chain(&row.labels).map(print).collect()
}

/// [`prints`] of every row.
pub(crate) fn all_prints(rows: &[Row]) -> Vec<Vec<String>> {
    rows.iter().map(prints).collect()
}

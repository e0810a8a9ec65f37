//! Putting objects into stores.

use super::error::invalid;
use super::registry::backing;
use super::retry::retried;
use super::{Location, runtime};
use bytes::Bytes;
use object_store::{PutMode, PutOptions, PutPayload};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Writes a file or an object whole, replacing an older one.
///
/// **Errors** if the folder of a local file is absent, or the store refuses or cannot be reached.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match Location::of(path)? {
        Location::Local(path) => fs::write(path, bytes),
        Location::Object(_) => put(path, bytes, PutMode::Overwrite),
    }
}

/// Puts an object into its store in one request.
fn put(path: &Path, bytes: &[u8], mode: PutMode) -> io::Result<()> {
    let Location::Object(url) = Location::of(path)? else {
        return Err(invalid(format!("{} is in no store", path.display())));
    };
    let (store, payload) = (backing(&url)?, Bytes::copy_from_slice(bytes));
    retried(&url, || {
        let (store, key, mode) = (Arc::clone(&store), url.key(), mode.clone());
        let payload = PutPayload::from_bytes(payload.clone());
        runtime::wait(async move {
            let options = PutOptions {
                mode,
                ..PutOptions::default()
            };
            store.put_opts(&key, payload, options).await.map(drop)
        })
    })
}

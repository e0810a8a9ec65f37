//! Where a file of a table is: the store, and the file as that store describes it.

use crate::store::{self, Location};
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::DataFusionError;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::object_store::ObjectMeta;
use datafusion::object_store::path::Path as StorePath;
use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// The store of a file, which the session gets to know, and the file as that store describes it.
pub(super) fn located(path: &Path, state: &dyn Session) -> Result<(ObjectStoreUrl, ObjectMeta)> {
    let external = |e: Box<dyn std::error::Error + Send + Sync>| DataFusionError::External(e);
    let named = |e: std::io::Error| external(format!("{}: {e}", path.display()).into());
    let described = |location, changed: std::time::SystemTime, size, e_tag| ObjectMeta {
        location,
        last_modified: changed.into(),
        size,
        e_tag,
        version: None,
    };
    if let Location::Object(object) = Location::of(path).map_err(named)? {
        let found = store::metadata(path).map_err(named)?;
        let changed = Duration::from_nanos(found.changed_nanos);
        let url = ListingTableUrl::parse(object.escaped())?;
        let of_store = url.object_store();
        let runtime = state.runtime_env();
        if runtime.object_store(&of_store).is_err() {
            let patient = store::patient(&object).map_err(named)?;
            runtime.register_object_store(of_store.as_ref(), patient);
        }
        let key = url.prefix().clone();
        let meta = described(key, UNIX_EPOCH + changed, found.bytes, found.tag);
        return Ok((of_store, meta));
    }
    let whole = fs::canonicalize(path).map_err(named)?;
    let found = fs::metadata(&whole).map_err(named)?;
    let key = StorePath::from_absolute_path(&whole).map_err(|e| external(Box::new(e)))?;
    let changed = found.modified().map_err(named)?;
    let meta = described(key, changed, found.len(), None);
    Ok((ObjectStoreUrl::local_filesystem(), meta))
}

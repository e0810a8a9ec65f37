//! One client for each store, for the life of the process.

use super::error::StoreError;
use super::{Location, ObjectUrl, client};
use object_store::ObjectStore;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

static STORES: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>> = Mutex::new(BTreeMap::new());

fn stores() -> MutexGuard<'static, BTreeMap<String, Arc<dyn ObjectStore>>> {
    STORES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has everything below `root` (`memory://name`, `s3://bucket`) read from a store of the caller's,
/// for tests and for programs that bring their own.
///
/// **Errors** if `root` is no URL of a store.
pub fn register(root: &str, store: Arc<dyn ObjectStore>) -> io::Result<()> {
    match Location::of(Path::new(root))? {
        Location::Object(url) => {
            stores().insert(url.root(), store);
            Ok(())
        }
        Location::Local(_) => Err(super::error::invalid(format!(
            "`{root}` is no URL of a store; expected one such as s3://bucket"
        ))),
    }
}

/// The store behind a URL; a client is made with the first one.
///
/// **Errors** if the program was built without the feature `cloud`, the environment does not say how to
/// reach the store, or nobody registered it.
pub fn backing(url: &ObjectUrl) -> io::Result<Arc<dyn ObjectStore>> {
    let root = url.root();
    if let Some(store) = stores().get(&root) {
        return Ok(Arc::clone(store));
    }
    let made = match url.scheme() {
        "memory" => Err(StoreError::new(
            io::ErrorKind::InvalidInput,
            "a store in memory belongs to the program that registered it; write the path of a file or a URL",
        )),
        _ => client::connect(url),
    }?;
    // Another thread may have been faster; one client is kept.
    Ok(Arc::clone(stores().entry(root).or_insert(made)))
}

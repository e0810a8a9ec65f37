//! A store as other packages read it, with our patience and our words.

use super::object::whole;
use super::registry::backing;
use super::retry::retried;
use super::{ObjectUrl, runtime};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use std::fmt;
use std::io;
use std::sync::Arc;

/// The store of a URL for the query engine: what may pass is tried again, and a body of a range is whole.
///
/// **Errors** as [`backing`].
pub fn patient(url: &ObjectUrl) -> io::Result<Arc<dyn ObjectStore>> {
    Ok(Arc::new(Patient {
        url: url.clone(),
        store: backing(url)?,
    }))
}

#[derive(Debug)]
struct Patient {
    url: ObjectUrl,
    store: Arc<dyn ObjectStore>,
}

impl fmt::Display for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url.root())
    }
}

impl Patient {
    /// Does a request until it succeeds, on a thread that may wait.
    async fn retried<T, F, R>(&self, key: &Path, request: R) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
        R: Fn(Arc<dyn ObjectStore>, Path) -> F + Send + 'static,
    {
        let (url, store, key) = (self.url.with_key(key), Arc::clone(&self.store), key.clone());
        let path = key.to_string();
        let work = move || {
            retried(&url, || {
                runtime::wait(request(Arc::clone(&store), key.clone()))
            })
        };
        let done = runtime::handle()?.spawn_blocking(work).await?;
        done.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::NotFound {
                path,
                source: error.into(),
            },
            _ => Error::Generic {
                store: "store",
                source: error.into(),
            },
        })
    }
}

#[async_trait]
impl ObjectStore for Patient {
    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        let is_bounded = options.head || matches!(options.range, Some(GetRange::Bounded(_)));
        if !is_bounded {
            return self.store.get_opts(key, options).await;
        }
        let request = move |store: Arc<dyn ObjectStore>, key: Path| {
            let options = options.clone();
            async move {
                let is_head = options.head;
                let answer = store.get_opts(&key, options).await?;
                let (range, attributes) = (answer.range.clone(), answer.attributes.clone());
                let (meta, payload) = match is_head {
                    true => (answer.meta.clone(), stream::empty().boxed()),
                    false => {
                        let (meta, bytes) = whole(answer).await?;
                        (meta, stream::iter([Ok(bytes)]).boxed())
                    }
                };
                Ok(GetResult {
                    payload: GetResultPayload::Stream(payload),
                    meta,
                    range,
                    attributes,
                })
            }
        };
        self.retried(key, request).await
    }

    async fn put_opts(
        &self,
        key: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.store.put_opts(key, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(key, options).await
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(keys)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

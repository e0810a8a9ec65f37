//! A store in memory whose answers are spoilt.

use super::*;

/// What a request meets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fault {
    None,
    /// The server answers 503.
    Busy,
    /// The body ends early, though the answer announced more.
    Short,
    /// The connection breaks in the middle of the body.
    Broken,
    /// The server refuses the credentials.
    Expired,
}

/// A store in memory whose answers are spoilt in turn.
#[derive(Debug, Default)]
pub(super) struct Faulty {
    pub(super) inner: InMemory,
    pub(super) faults: Mutex<VecDeque<Fault>>,
    pub(super) asked: AtomicUsize,
}

impl Faulty {
    fn next(&self) -> Fault {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut faults = self.faults.lock().unwrap();
        // The last one stays.
        match faults.len() {
            0 => Fault::None,
            1 => faults[0],
            _ => faults.pop_front().unwrap(),
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

pub(super) fn generic(text: &str) -> Error {
    Error::Generic {
        store: "faulty",
        source: text.to_owned().into(),
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let fault = self.next();
        match fault {
            Fault::Busy => return Err(generic("status code: 503 Slow Down: ")),
            Fault::Expired => {
                return Err(generic(
                    "status code: 400 Bad Request: <Code>ExpiredToken</Code><Message>expired</Message>",
                ));
            }
            _ => {}
        }
        let is_head = options.head;
        let answer = self.inner.get_opts(key, options).await?;
        if is_head || fault == Fault::None {
            return Ok(answer);
        }
        let (meta, range, attributes) = (
            answer.meta.clone(),
            answer.range.clone(),
            answer.attributes.clone(),
        );
        let half = answer.bytes().await?;
        let half = half.slice(..half.len() / 2);
        let payload = match fault {
            Fault::Broken => stream::iter([Ok(half), Err(generic("connection reset"))]).boxed(),
            _ => stream::iter([Ok(half)]).boxed(),
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(payload),
            meta,
            range,
            attributes,
        })
    }
    async fn put_opts(&self, key: &Key, payload: PutPayload, o: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(key, payload, o).await
    }
    async fn put_multipart_opts(
        &self,
        key: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(key, options).await
    }
    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        self.inner.delete_stream(keys)
    }
    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        match self.next() {
            Fault::None => self.inner.list_with_delimiter(prefix).await,
            _ => Err(generic("status code: 500 Internal Server Error: ")),
        }
    }
    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A faulty store under a name of its own, with an object `folder/object` of these bytes.
pub(super) fn store(name: &str, bytes: &[u8]) -> (Arc<Faulty>, PathBuf) {
    retry::set_patience(Duration::from_secs(2));
    let store = Arc::new(Faulty::default());
    register(&format!("memory://{name}"), store.clone()).unwrap();
    let path = PathBuf::from(format!("memory://{name}/folder/object"));
    write(&path, bytes).unwrap();
    (store, path)
}

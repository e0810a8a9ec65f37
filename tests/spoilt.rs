//! A store in memory whose answers are spoilt from a chosen request on.

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use voxstream::store;

/// What requests meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store cannot be reached.
    Away,
    /// The first, third and so on of equal requests is answered with 500.
    Errors,
    /// The body of the first, third and so on of equal answers ends early.
    Short,
    /// Lists do not name what was put since.
    Lags,
    /// The right to write was withdrawn.
    Closed,
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Get,
    Put,
    Delete,
    List,
}

#[derive(Debug)]
struct Planned {
    fault: Fault,
    verb: Verb,
    part: &'static str,
    /// How many such requests come before.
    before: usize,
    lasts: Duration,
    since: Option<Instant>,
    requests: BTreeMap<(Verb, Key), usize>,
}

#[derive(Debug, Default)]
struct State {
    planned: Option<Planned>,
    late: BTreeSet<Key>,
    log: Vec<(Verb, Key)>,
}

/// The store.
#[derive(Debug, Default)]
pub(crate) struct Spoilt {
    inner: InMemory,
    state: Mutex<State>,
}

/// Longer than any test.
pub(crate) const FOREVER: Duration = Duration::from_secs(86_400);

impl Spoilt {
    /// A store of this name; with it its URL.
    pub(crate) fn new(name: &str) -> (Arc<Self>, PathBuf) {
        let (root, store) = (format!("memory://{name}"), Arc::new(Self::default()));
        store::register(&root, store.clone()).unwrap();
        (store, root.into())
    }

    /// Has requests spoilt for a while, from the request of this kind on that is the `nth` (from 1) whose key
    /// contains `part`.
    pub(crate) fn spoil(
        &self,
        fault: Fault,
        (verb, part, nth): (Verb, &'static str, usize),
        lasts: Duration,
    ) {
        let mut state = self.state.lock().unwrap();
        state.planned = Some(Planned {
            fault,
            verb,
            part,
            before: nth - 1,
            lasts,
            since: None,
            requests: BTreeMap::new(),
        });
    }

    /// Ends what spoils requests; returns `true` if it had begun.
    pub(crate) fn heal(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        state.late.clear();
        (state.planned.take()).is_none_or(|planned| planned.since.is_some())
    }

    /// How many requests of a kind were about keys that contain `part`.
    pub(crate) fn count(&self, verb: Verb, part: &str) -> usize {
        let state = self.state.lock().unwrap();
        let log = state.log.iter();
        log.filter(|(v, key)| *v == verb && key.as_ref().contains(part))
            .count()
    }

    /// What a request meets, and whether it is the one in two equal ones that is spoilt.
    fn meet(&self, verb: Verb, key: Option<&Key>) -> Option<(Fault, bool)> {
        let mut state = self.state.lock().unwrap();
        let key = key.cloned().unwrap_or_default();
        state.log.push((verb, key.clone()));
        let planned = state.planned.as_mut()?;
        match planned.since {
            Some(since) if since.elapsed() > planned.lasts => {
                state.planned = None;
                return None;
            }
            Some(_) => {}
            None => {
                if planned.verb != verb || !key.as_ref().contains(planned.part) {
                    return None;
                }
                if planned.before > 0 {
                    planned.before -= 1;
                    return None;
                }
                planned.since = Some(Instant::now());
            }
        }
        let equal = planned.requests.entry((verb, key.clone())).or_default();
        *equal += 1;
        let met = (planned.fault, *equal % 2 == 1);
        if met.0 == Fault::Lags && verb == Verb::Put {
            state.late.insert(key);
        }
        Some(met)
    }

    /// **Errors** if the request is refused.
    fn ask(&self, verb: Verb, key: Option<&Key>) -> Result<Option<(Fault, bool)>> {
        let generic = |text: &str| Error::Generic {
            store: "spoilt",
            source: text.to_owned().into(),
        };
        let met = self.meet(verb, key);
        match met {
            Some((Fault::Away, _)) => Err(generic("connection refused")),
            Some((Fault::Errors, true)) => Err(generic("status code: 500 Internal Server Error: ")),
            Some((Fault::Closed, _)) if matches!(verb, Verb::Put | Verb::Delete) => {
                Err(Error::PermissionDenied {
                    path: key.map(Key::to_string).unwrap_or_default(),
                    source: "the right to write was withdrawn".into(),
                })
            }
            met => Ok(met),
        }
    }

    fn is_listed(&self, key: &Key) -> bool {
        !self.state.lock().unwrap().late.contains(key)
    }
}

impl fmt::Display for Spoilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("spoilt")
    }
}

#[async_trait]
impl ObjectStore for Spoilt {
    async fn get_opts(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let met = self.ask(Verb::Get, Some(key))?;
        let is_head = options.head;
        let answer = self.inner.get_opts(key, options).await?;
        if is_head || met != Some((Fault::Short, true)) {
            return Ok(answer);
        }
        let (meta, range, attributes) = (
            answer.meta.clone(),
            answer.range.clone(),
            answer.attributes.clone(),
        );
        let bytes = answer.bytes().await?;
        let half = bytes.slice(..bytes.len() / 2);
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::iter([Ok(half)]).boxed()),
            meta,
            range,
            attributes,
        })
    }
    async fn put_opts(&self, key: &Key, payload: PutPayload, o: PutOptions) -> Result<PutResult> {
        self.ask(Verb::Put, Some(key))?;
        self.inner.put_opts(key, payload, o).await
    }
    async fn put_multipart_opts(
        &self,
        key: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.ask(Verb::Put, Some(key))?;
        self.inner.put_multipart_opts(key, options).await
    }
    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        match self.ask(Verb::Delete, None) {
            Ok(_) => self.inner.delete_stream(keys),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }
    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        if let Err(error) = self.ask(Verb::List, prefix) {
            return stream::iter([Err(error)]).boxed();
        }
        let late = self.state.lock().unwrap().late.clone();
        let listed = self.inner.list(prefix);
        let named = move |object: &ObjectMeta| !late.contains(&object.location);
        listed
            .try_filter(move |object| std::future::ready(named(object)))
            .boxed()
    }
    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.ask(Verb::List, prefix)?;
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        listed.objects.retain(|o| self.is_listed(&o.location));
        Ok(listed)
    }
    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.ask(Verb::Put, Some(to))?;
        self.inner.copy_opts(from, to, options).await
    }
}

/// The process of a start that failed while its store did is gone, and with it the right to its lease. (It
/// could not give the lease back; another process of this machine sees that it is gone.)
pub(crate) fn is_gone(out: &Path) {
    store::remove(&out.join(".lease")).unwrap();
}

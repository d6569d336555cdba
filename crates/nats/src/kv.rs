//! Buckets as streams.

use std::sync::Arc;

use async_nats::{HeaderMap, Message};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use ports::{Change, Changes, Error, Expect, Kv, KvEntry, Result, Scan};

use types::subjects::store;

use crate::agreement::Agreement;
use crate::layout;
use crate::stored::{Raw, number};
use crate::streams::{StreamFilter, Streams};

const PAGE: usize = 1_000;
const PAGE_BYTES: usize = 4 << 20;
/// How long the mark of a deletion stays: long enough for whoever reads the bucket from its beginning.
const MARK_LIFETIME: &str = "1h";
const CONFLICT: Error = Error::Conflict { tail: None };

/// Buckets as streams with one message a key, in the form of NATS' own key-value buckets.
pub struct NatsKv {
    pub streams: Arc<dyn Streams>,
}

/// What is stored under a key.
struct Value {
    revision: u64,
    /// `None`: it was deleted, or its time is over.
    bytes: Option<Bytes>,
}

/// Where a pass through a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    from: u64,
    /// The end of the bucket as its leader has told it; `None`: it is to be asked.
    end: Option<u64>,
}

impl At {
    /// Where the pass goes on after a page that ended at the position `last`, and was all that the replica had unless not
    /// `is_whole`. `None`: nowhere.
    ///
    /// A replica that lags behind the leader ends before `end`. That stays the goal, or where keys change all the time the pass
    /// would have none: a key which was not seen so far lay before `end` when that was told, beyond `last`, or is written
    /// again beyond `end`, and whatever replica reaches `end` knows of it.
    fn after(last: u64, is_whole: bool, end: u64) -> Option<Self> {
        let next = |end| Some(Self { from: last + 1, end });
        match is_whole {
            false => next(None),
            true if last < end => next(Some(end)),
            true => None,
        }
    }
}

/// As other clients of NATS' buckets have it.
const DELETED: &str = "KV-Operation";

#[async_trait]
impl Kv for NatsKv {
    async fn get(&self, bucket: &str, key: &str) -> Result<Option<KvEntry>> {
        Ok(self.value(bucket, key).await?.and_then(entry))
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64> {
        ports::fits(value.len())?;
        match expect {
            Expect::Anything => self.store(bucket, key, None, value).await,
            Expect::Revision(0) => Err(CONFLICT),
            Expect::Revision(revision) => self.store_while(expect, revision, bucket, key, value).await,
            Expect::Absent => self.store_while(expect, 0, bucket, key, value).await,
        }
    }

    async fn delete(&self, bucket: &str, key: &str, expect: Expect) -> Result<()> {
        let mut mark = HeaderMap::new();
        mark.insert(DELETED, "DEL");
        mark.insert("Nats-TTL", MARK_LIFETIME);
        let (subject, mut agreement) = (layout::key_subject(bucket, key)?, Agreement::awaited());
        loop {
            let current = self.get(bucket, key).await?.map(|entry| entry.revision);
            let after = match (expect, current) {
                (Expect::Anything | Expect::Absent, None) => return Ok(()),
                (Expect::Anything, Some(_)) => None,
                (Expect::Revision(expected), Some(current)) if expected == current => Some(current),
                (Expect::Absent | Expect::Revision(_), _) => return Err(CONFLICT),
            };
            match self.streams.store(&subject, after, mark.clone(), Bytes::new()).await {
                Err(Error::Conflict { .. }) => agreement.wait().await?,
                stored => return stored.map(|_| ()),
            }
        }
    }

    /// One pass from the bucket's beginning to its end. What changes meanwhile moves to the end, so nothing
    /// is missed: at the moment at which the pass reaches the end every key lies behind it.
    fn scan<'a>(&'a self, bucket: &'a str) -> Scan<'a> {
        let beginning = At { from: 1, end: None };
        let pages = stream::try_unfold(Some(beginning), async move |at| match at {
            Some(at) => self.page(bucket, at).await.map(Some),
            None => Ok(None),
        });
        pages.map_ok(|page| stream::iter(page).map(Ok::<_, Error>)).try_flatten().boxed()
    }

    async fn watch(&self, bucket: &str) -> Result<Changes> {
        self.streams.changes(bucket).await
    }
}

impl NatsKv {
    /// What is stored from there on, and where the next page begins unless the end was reached.
    async fn page(&self, bucket: &str, at: At) -> Result<(Vec<Change>, Option<At>)> {
        let (stream, subject) = (store::bucket_stream(bucket), store::keys(bucket));
        let filter = StreamFilter { stream: &stream, subject: &subject };
        let end = match at.end {
            Some(end) => end,
            None => self.streams.last(filter).await?.map_or(0, |raw| raw.seq),
        };
        let mut page = self.streams.page_of_any(filter, at.from, PAGE, PAGE_BYTES).await?;
        // A server that stops for want of anything more has sent less than either bound; its count of bytes has
        // headers and subjects in it. To go on until a page is empty would take for ever where keys change often.
        let bytes: usize = page.iter().map(|raw| raw.payload.len()).sum();
        let mut is_whole = page.len() < PAGE && bytes < PAGE_BYTES / 2;
        if page.is_empty() {
            page.extend(self.streams.next(filter, at.from).await?);
            is_whole = false;
        }
        let next = page.last().and_then(|last| At::after(last.seq, is_whole, end));
        Ok((page.into_iter().filter_map(|raw| stored(bucket, raw)).collect(), next))
    }

    /// The last message of a key.
    async fn value(&self, bucket: &str, key: &str) -> Result<Option<Value>> {
        let (stream, subject) = (store::bucket_stream(bucket), layout::key_subject(bucket, key)?);
        let last = self.streams.last(StreamFilter { stream: &stream, subject: &subject }).await?;
        Ok(last.map(Value::of))
    }

    async fn store(&self, bucket: &str, key: &str, after: Option<u64>, value: Bytes) -> Result<u64> {
        let subject = layout::key_subject(bucket, key)?;
        self.streams.store(&subject, after, HeaderMap::new(), value).await
    }

    /// Stores a value as long as `expect` holds; `after`: the position at which that is likely.
    async fn store_while(
        &self,
        expect: Expect,
        mut after: u64,
        bucket: &str,
        key: &str,
        value: Bytes,
    ) -> Result<u64> {
        let mut agreement = Agreement::awaited();
        loop {
            match self.store(bucket, key, Some(after), value.clone()).await {
                Err(Error::Conflict { .. }) => {}
                stored => return stored,
            }
            let current = self.value(bucket, key).await?;
            let at = current.as_ref().map_or(0, |current| current.revision);
            // The mark of a value's end is none.
            let has_value = current.is_some_and(|current| current.bytes.is_some());
            let holds = match expect {
                Expect::Anything => true,
                Expect::Absent => !has_value,
                Expect::Revision(revision) => has_value && at == revision,
            };
            if !holds {
                return Err(CONFLICT);
            }
            if at == after {
                agreement.wait().await?;
            }
            after = at;
        }
    }
}

impl Value {
    fn of(raw: Raw) -> Self {
        let bytes = (!is_mark(&raw.headers)).then_some(raw.payload);
        Self { revision: raw.seq, bytes }
    }
}

/// Whether a message of a bucket says that its key has no value: somebody deleted it, or the server did when
/// its time was over.
fn is_mark(headers: &HeaderMap) -> bool {
    headers.get(DELETED).is_some() || headers.get("Nats-Marker-Reason").is_some()
}

fn entry(value: Value) -> Option<KvEntry> {
    Some(KvEntry { revision: value.revision, value: value.bytes? })
}

/// `None` for what is no key's.
pub fn stored(bucket: &str, raw: Raw) -> Option<Change> {
    let key = store::key_of(bucket, &raw.subject)?.to_owned();
    Some(match entry(Value::of(raw)) {
        Some(entry) => Change::Put { key, entry },
        None => Change::Deleted { key },
    })
}

/// `None` for what is no stored value.
pub fn change(bucket: &str, message: Message) -> Option<Change> {
    let key = store::changed_key(bucket, &message.subject)?.to_owned();
    let headers = message.headers?;
    let revision = number(&headers, "Nats-Sequence")?;
    Some(match is_mark(&headers) {
        true => Change::Deleted { key },
        false => Change::Put { key, entry: KvEntry { revision, value: message.payload } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each renewal of a lease moves the bucket's end on: a replica that always lags behind would never reach it.
    #[test]
    fn a_pass_ends_where_the_bucket_ended_when_a_replica_began_to_lag() {
        let whole = true;
        let lagged = At::after(7, whole, 9);
        assert_eq!(lagged, Some(At { from: 8, end: Some(9) }));
        assert_eq!(At::after(9, whole, 9), None);
        assert_eq!(At::after(12, whole, 9), None);
        // Of what a full page has cut off nothing is known, nor of what follows the one message that a leader tells.
        assert_eq!(At::after(7, !whole, 9), Some(At { from: 8, end: None }));
        assert_eq!(At::after(9, !whole, 9), Some(At { from: 10, end: None }));
    }
}

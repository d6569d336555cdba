//! Values of one kind, which several may change at the same time without losing what another wrote.
//!
//! A [`Bucket`] is one bucket of a [`Kv`] with the kind of its values. It is made where it is needed and holds nothing:
//! what is true is in the store alone.
//!
//! ```text
//!             ┌────────────── somebody else wrote first: pause, read ─────────────┐
//!             ▼                                                                   │
//!   read ─▶ change(value) ─▶ write, on condition that the revision is still this ─┴─▶ the value as it is now
//!                 └─ nothing to write ──────────────────────────────────────────────▶ the value as it was read
//! ```
//!
//! [`Bucket::change`] goes round this ring. The closure that it is given sees the value as it is stored at that moment
//! and says what it is to be: `Some` for a new one, `None` to have the key removed. It is called once a round, so it
//! decides from what it sees and from nothing that it has remembered of an earlier round. Of those who change a key at
//! the same time one wins each round; the others pause for a while that differs by chance, and go round again. After
//! [`PATIENCE`] they give up with `Unavailable`, and nothing was written.
//!
//! Who has just written knows what is stored, and need not read it: [`Bucket::change_from`] begins with a belief. A
//! belief that is wrong costs a round and does no harm.
//!
//! A write that goes unanswered is `Unavailable`, and may have taken effect. It is not tried again here: whether it may
//! be made twice is known only to whoever asked for it. Who goes on believing the old revision loses the next round,
//! and then sees what was written.
//!
//! Values are JSON, unless their kind implements [`Value`] itself. What cannot be read is an error of that key alone:
//! a scan and a watch go on after it.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use crate::retry::Backoff;
use crate::{Change, Error, Expect, Kv, KvEntry, Result};

/// How long a change that others are always quicker than is tried.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What can be kept in a bucket.
pub trait Value: Sized {
    /// # Errors
    /// `Internal`.
    fn encode(&self) -> Result<Bytes>;

    /// # Errors
    /// `Internal` for what is no such value.
    fn decode(stored: &Bytes) -> Result<Self>;
}

impl<T: Serialize + DeserializeOwned> Value for T {
    fn encode(&self) -> Result<Bytes> {
        serde_json::to_vec(self).map(Into::into).map_err(|error| Error::Internal(error.to_string()))
    }

    fn decode(stored: &Bytes) -> Result<Self> {
        serde_json::from_slice(stored).map_err(|error| Error::Internal(format!("a stored value: {error}")))
    }
}

/// A value as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    pub value: T,
    pub revision: u64,
}

/// What a scan or a watch tells of one key.
#[derive(Debug)]
pub enum Update<T> {
    Put {
        key: String,
        stored: Versioned<T>,
    },
    Deleted {
        key: String,
    },
    /// There is a value which cannot be read.
    Damaged {
        key: String,
        revision: u64,
        error: Error,
    },
    /// Of a watch only: changes were missed, scan again.
    Lagged,
}

/// One bucket and the kind of its values.
pub struct Bucket<'a, T> {
    kv: &'a dyn Kv,
    name: &'a str,
    /// How long the store may take for an answer, where that is limited here.
    answer: Option<Duration>,
    kind: PhantomData<fn() -> T>,
}

impl<'a, T: Value + 'a> Bucket<'a, T> {
    #[must_use]
    pub fn new(kv: &'a dyn Kv, name: &'a str) -> Self {
        Self { kv, name, answer: None, kind: PhantomData }
    }

    /// The same, where a store that takes longer than `answer` counts as one that is away.
    #[must_use]
    pub fn in_time(self, answer: Duration) -> Self {
        Self { answer: Some(answer), ..self }
    }

    /// # Errors
    /// Those of the store; `Internal` for another kind of value.
    pub async fn get(&self, key: &str) -> Result<Option<Versioned<T>>> {
        self.within(self.kv.get(self.name, key)).await?.as_ref().map(versioned).transpose()
    }

    /// Stores a value under a key that has none; answers its revision, `None` where there is one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn make(&self, key: &str, value: &T) -> Result<Option<u64>> {
        self.put(key, value, Expect::Absent).await
    }

    /// Stores a value; answers its revision, `None` where `expect` does not hold.
    ///
    /// # Errors
    /// Those of the store, but `Conflict`.
    pub async fn put(&self, key: &str, value: &T, expect: Expect) -> Result<Option<u64>> {
        match self.within(self.kv.put(self.name, key, value.encode()?, expect)).await {
            Ok(revision) => Ok(Some(revision)),
            Err(Error::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a value; false where `expect` does not hold.
    ///
    /// # Errors
    /// Those of the store, but `Conflict`.
    pub async fn remove(&self, key: &str, expect: Expect) -> Result<bool> {
        match self.within(self.kv.delete(self.name, key, expect)).await {
            Ok(()) => Ok(true),
            Err(Error::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Changes the value of a key, and answers what it is then. `change` says whether there is anything to write; where
    /// it says no it must have left the value alone.
    ///
    /// # Errors
    /// Those of the store; `Unavailable` where others write all the time.
    pub async fn change(
        &self,
        key: &str,
        change: impl FnMut(&mut Option<T>) -> bool,
    ) -> Result<Option<Versioned<T>>> {
        self.change_from(self.get(key).await?, key, change).await
    }

    /// Changes the value of a key, its default where there is none, and answers what it is then.
    ///
    /// # Errors
    /// As [`Bucket::change`].
    pub async fn modify(&self, key: &str, mut change: impl FnMut(&mut T)) -> Result<T>
    where
        T: Default,
    {
        let modified = self.change(key, |value| {
            change(value.get_or_insert_default());
            true
        });
        Ok(modified.await?.map(|stored| stored.value).unwrap_or_default())
    }

    /// As [`Bucket::change`], of what is believed to be stored.
    ///
    /// # Errors
    /// As there.
    pub async fn change_from(
        &self,
        believed: Option<Versioned<T>>,
        key: &str,
        mut change: impl FnMut(&mut Option<T>) -> bool,
    ) -> Result<Option<Versioned<T>>> {
        let (mut backoff, give_up) = (Backoff::new(FIRST_PAUSE, LONGEST_PAUSE), Instant::now() + PATIENCE);
        let mut stored = believed;
        loop {
            let revision = stored.as_ref().map(|stored| stored.revision);
            let mut value = stored.map(|stored| stored.value);
            if !change(&mut value) {
                return Ok(value.zip(revision).map(|(value, revision)| Versioned { value, revision }));
            }
            let expect = revision.map_or(Expect::Absent, Expect::Revision);
            match value {
                Some(value) => {
                    if let Some(revision) = self.put(key, &value, expect).await? {
                        return Ok(Some(Versioned { value, revision }));
                    }
                }
                None => {
                    if self.remove(key, expect).await? {
                        return Ok(None);
                    }
                }
            }
            if Instant::now() >= give_up {
                return Err(Error::Unavailable(format!("a value of {} is changed too often", self.name)));
            }
            sleep(backoff.pause()).await;
            stored = self.get(key).await?;
        }
    }

    /// As [`Kv::scan`].
    #[must_use]
    pub fn scan(&self) -> BoxStream<'a, Result<Update<T>>> {
        self.kv.scan(self.name).map_ok(Update::of).boxed()
    }

    /// All keys with what is stored under them, in memory: for buckets that are small.
    ///
    /// # Errors
    /// Those of the store. A value that cannot be read is an error of its key.
    pub async fn list(&self) -> Result<BTreeMap<String, Result<Versioned<T>>>> {
        let (mut all, mut updates) = (BTreeMap::new(), self.scan());
        while let Some(update) = updates.try_next().await? {
            match update {
                Update::Put { key, stored } => drop(all.insert(key, Ok(stored))),
                Update::Damaged { key, error, .. } => drop(all.insert(key, Err(error))),
                Update::Deleted { key } => drop(all.remove(&key)),
                Update::Lagged => {}
            }
        }
        Ok(all)
    }

    /// As [`Kv::watch`].
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn watch(&self) -> Result<BoxStream<'static, Update<T>>>
    where
        T: 'static,
    {
        Ok(self.within(self.kv.watch(self.name)).await?.map(Update::of).boxed())
    }

    async fn within<R>(&self, answer: impl Future<Output = Result<R>>) -> Result<R> {
        let Some(limit) = self.answer else { return answer.await };
        let no_answer = |_| Err(Error::Unavailable("no answer from the store".to_owned()));
        timeout(limit, answer).await.unwrap_or_else(no_answer)
    }
}

impl<T: Value> Update<T> {
    fn of(change: Change) -> Self {
        match change {
            Change::Put { key, entry } => match versioned(&entry) {
                Ok(stored) => Self::Put { key, stored },
                Err(error) => Self::Damaged { key, revision: entry.revision, error },
            },
            Change::Deleted { key } => Self::Deleted { key },
            Change::Lagged => Self::Lagged,
        }
    }
}

fn versioned<T: Value>(stored: &KvEntry) -> Result<Versioned<T>> {
    Ok(Versioned { value: T::decode(&stored.value)?, revision: stored.revision })
}

//! The ports of one node: what it asks is sent into the world, and what comes back wakes it.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use ports::feed::{Item, Listener};
use ports::{
    Appended, Bus, Change, Changes, Error, EventLog, Expect, Extent, Kv, KvEntry, Parcel, Ports, Record,
    Result, Scan, Stored, Subscription, rpc,
};
use tokio::sync::oneshot;
use types::{BashScope, LogId, SandboxId, Seq, subjects};

use super::{Fate, NodeId, State, World};

impl World {
    pub(super) fn ports_of(&self, node: NodeId) -> Ports {
        let connection = Arc::new(Connection { world: self.clone(), node });
        Ports { bus: connection.clone(), log: connection.clone(), kv: connection }
    }
}

/// That of one node.
struct Connection {
    world: World,
    node: NodeId,
}

impl Connection {
    /// Has the store do something, and waits for what it says.
    async fn ask<R: Send + 'static>(
        &self,
        what: &'static str,
        act: impl FnOnce(&mut State) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let (answer, answered) = oneshot::channel();
        self.world.request(self.node, what, act, answer);
        match answered.await {
            Ok(outcome) => outcome,
            // Of a node that is over nothing goes on.
            Err(_) => pending().await,
        }
    }
}

impl World {
    fn request<R: Send + 'static>(
        &self,
        node: NodeId,
        what: &'static str,
        act: impl FnOnce(&mut State) -> Result<R> + Send + 'static,
        answer: oneshot::Sender<Result<R>>,
    ) {
        let mut state = self.lock();
        if !state.is_there(node) {
            return;
        }
        state.note(what);
        let now = state.now;
        let mut fate = state.network.fate(node, now);
        if state.network.is_cut_off(node, now) {
            fate = Fate::RequestIsLost(Duration::from_secs(5));
        }
        let there = state.on_its_way(node);
        let no_answer = || Err(Error::Unavailable("no answer from the store".to_owned()));
        match fate {
            Fate::Answered => state.after(there, move |world| {
                let outcome = world.perform(act);
                world.lock().deliver(node, move || drop(answer.send(outcome)));
            }),
            Fate::RequestIsLost(patience) => {
                state.after(patience, move |world| {
                    world.at_node(node, move || drop(answer.send(no_answer())))
                });
            }
            Fate::AnswerIsLost(patience) => {
                state.after(there, move |world| drop(world.perform(act)));
                state.after(patience, move |world| {
                    world.at_node(node, move || drop(answer.send(no_answer())))
                });
            }
            Fate::Late(by) => {
                state.after(there, move |world| world.at_node(node, move || drop(answer.send(no_answer()))));
                state.after(there + by, move |world| drop(world.perform(act)));
            }
        }
    }

    fn perform<R>(&self, act: impl FnOnce(&mut State) -> Result<R>) -> Result<R> {
        let mut state = self.lock();
        if state.network.store_is_away > state.now {
            return Err(Error::Unavailable("the store is away".to_owned()));
        }
        act(&mut state)
    }
}

/// Where there is little room it is left to what ends something.
fn room(state: &State, records: &[Bytes]) -> Result<()> {
    const GROWING: [&str; 3] = ["\"MessageEvent\"", "\"ActionEvent\"", "\"ObservationEvent\""];
    let grows = |record: &Bytes| {
        let text = String::from_utf8_lossy(record);
        GROWING.iter().any(|kind| text.contains(kind))
    };
    match state.network.store_is_full > state.now && records.iter().any(grows) {
        true => Err(Error::Full("There is no room.".to_owned())),
        false => Ok(()),
    }
}

#[async_trait]
impl EventLog for Connection {
    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> Result<Appended> {
        let log = log.clone();
        self.ask("append", move |state| {
            room(state, &records)?;
            let appended = state.store.append(&log, after, records.clone())?;
            if log.is_published() {
                let (subject, mut prev) = (subjects::stored(&log), after);
                for (seq, record) in appended.seqs.iter().zip(records) {
                    let stored = serde_json::to_vec(&Stored { seq: *seq, prev });
                    let json = stored.map_err(|error| Error::Internal(error.to_string()))?.into();
                    state.route(&subject, &Parcel { json, blob: record }, None);
                    prev = *seq;
                }
            }
            Ok(appended)
        })
        .await
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        let log = log.clone();
        self.ask("read", move |state| Ok(state.store.read(&log, after, limit))).await
    }

    async fn tail(&self, log: &LogId) -> Result<Seq> {
        let log = log.clone();
        self.ask("tail", move |state| Ok(state.store.tail(&log))).await
    }

    async fn extent(&self, log: &LogId) -> Result<Extent> {
        let log = log.clone();
        self.ask("extent", move |state| Ok(state.store.extent(&log))).await
    }

    async fn remove(&self, log: &LogId, extent: Extent) -> Result<()> {
        let log = log.clone();
        self.ask("remove", move |state| {
            state.store.remove(&log, extent);
            Ok(())
        })
        .await
    }

    async fn truncate_before(&self, log: &LogId, first_kept: Seq) -> Result<()> {
        let log = log.clone();
        self.ask("truncate", move |state| {
            state.store.truncate_before(&log, first_kept);
            Ok(())
        })
        .await
    }

    async fn bash_logs(&self, sandbox: &SandboxId) -> Result<Vec<BashScope>> {
        let sandbox = sandbox.clone();
        self.ask("bash logs", move |state| Ok(state.store.bash_logs(&sandbox))).await
    }
}

#[async_trait]
impl Kv for Connection {
    async fn get(&self, bucket: &str, key: &str) -> Result<Option<KvEntry>> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.ask("get", move |state| Ok(state.store.get(&bucket, &key, state.now))).await
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64> {
        ports::fits(value.len())?;
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.ask("put", move |state| {
            let change = state.store.put((&bucket, &key), value, expect, state.now)?;
            state.announce(&bucket, &change);
            match change {
                Change::Put { entry, .. } => Ok(entry.revision),
                Change::Deleted { .. } | Change::Lagged => Err(Error::NotFound),
            }
        })
        .await
    }

    async fn delete(&self, bucket: &str, key: &str, expect: Expect) -> Result<()> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.ask("delete", move |state| {
            if let Some(change) = state.store.delete((&bucket, &key), expect, state.now)? {
                state.announce(&bucket, &change);
            }
            Ok(())
        })
        .await
    }

    fn scan<'a>(&'a self, bucket: &'a str) -> Scan<'a> {
        let pages = stream::try_unfold(Some(None::<String>), move |after| async move {
            let Some(after) = after else { return Ok(None) };
            let bucket = bucket.to_owned();
            let page =
                self.ask("scan", move |state| Ok(state.store.page(&bucket, after.as_deref(), state.now)));
            let page = page.await?;
            let Some((last, _)) = page.last().cloned() else { return Ok::<_, Error>(None) };
            Ok(Some((page, Some(Some(last)))))
        });
        let puts = pages.map(|page| match page {
            Ok(page) => page.into_iter().map(|(key, entry)| Ok(Change::Put { key, entry })).collect(),
            Err(error) => vec![Err(error)],
        });
        puts.flat_map(stream::iter).boxed()
    }

    async fn watch(&self, bucket: &str) -> Result<Changes> {
        let (bucket, node, world) = (bucket.to_owned(), self.node, self.world.clone());
        let listening = self.ask("watch", move |state| {
            let (id, listener) = state.exchange.watch(node, &bucket);
            Ok(Listening { listener, world, node, id })
        });
        Ok(listening.await?.boxed())
    }
}

#[async_trait]
impl Bus for Connection {
    async fn publish(&self, subject: &str, parcel: Parcel) -> Result<()> {
        ports::fits(parcel.bytes())?;
        self.world.lock().send(self.node, subject, parcel, None);
        Ok(())
    }

    async fn request(&self, subject: &str, parcel: Parcel, deadline: Duration) -> Result<Parcel> {
        ports::fits(parcel.bytes())?;
        let (number, answer) = {
            let mut state = self.world.lock();
            let (number, answer) = state.exchange.wait(self.node);
            state.note("request");
            state.send(self.node, subject, parcel, Some(number));
            (number, answer)
        };
        let _place = Place { world: &self.world, number };
        match tokio::time::timeout(deadline, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(Error::Unavailable(format!("{subject} gave no answer in time"))),
        }
    }

    async fn subscribe(&self, pattern: &str, group: Option<&str>) -> Result<Subscription> {
        let (pattern, group) = (pattern.to_owned(), group.map(str::to_owned));
        let (node, world) = (self.node, self.world.clone());
        let listening = self.ask("subscribe", move |state| {
            let (id, listener) = state.exchange.subscribe(node, &pattern, group.as_deref());
            Ok(Listening { listener, world, node, id })
        });
        Ok(listening.await?.boxed())
    }
}

/// Where an answer is waited for.
struct Place<'a> {
    world: &'a World,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.world.lock().exchange.wait_no_more(self.number);
    }
}

/// Takes itself away when nobody listens any more.
struct Listening<T: Item> {
    listener: Listener<T>,
    world: World,
    node: NodeId,
    id: u64,
}

impl<T: Item> Stream for Listening<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.listener.poll_next_unpin(context)
    }
}

impl<T: Item> Drop for Listening<T> {
    fn drop(&mut self) {
        let mut state = self.world.lock();
        state.exchange.leave(self.id);
        // Whoever waits for an answer should not do so for nothing.
        while let Some(Some(item)) = self.listener.next().now_or_never() {
            if let Some(reply) = item.reply() {
                state.send(self.node, reply, rpc::departed(), None);
            }
        }
    }
}

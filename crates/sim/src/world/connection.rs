//! The bus and the streams of one node: what it asks is sent into the world, and what comes back wakes it. Its ports are those of
//! a cluster, on these.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};
use nats::Adapter;
use nats::streams::{Headers, Raw, StreamFilter, Streams, Unstored, Wanted};
use ports::feed::{Item, Listener};
use ports::{Bus, Change, Changes, Delivery, Error, Parcel, Result, Subscription, rpc};
use tokio::sync::oneshot;
use types::{LogId, buckets, subjects};

use super::store::{MOST_BEHIND, OF_A_LOG, Replica, stream_of, weight};
use super::{Fate, NodeId, State, World};

const PARTITIONS: u64 = 2;
/// Of a server as it is set up.
pub const MAX_PAYLOAD: usize = 8 << 20;
/// How long the mark of a deletion stays.
const MARK: Duration = Duration::from_secs(3_600);

impl World {
    pub(super) fn adapter_of(&self, node: NodeId) -> Adapter {
        let connection = Arc::new(Connection { world: self.clone(), node });
        Adapter {
            bus: connection.clone(),
            streams: connection,
            partitions: PARTITIONS,
            max_payload: MAX_PAYLOAD,
        }
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
fn room(state: &State, payload: &[u8]) -> Result<()> {
    const GROWING: [&str; 3] = ["\"MessageEvent\"", "\"ActionEvent\"", "\"ObservationEvent\""];
    let grows = |text: &str| GROWING.iter().any(|kind| text.contains(kind));
    match state.network.store_is_full > state.now && grows(&String::from_utf8_lossy(payload)) {
        true => Err(Error::Unavailable("JetStream: insufficient resources (10023)".to_owned())),
        false => Ok(()),
    }
}

impl State {
    /// Stores a message, and tells whoever follows.
    fn put(&mut self, subject: &str, after: Option<u64>, headers: Headers, payload: Bytes) -> Result<u64> {
        let stream = stream_of(subject);
        let (number, before) = self.store.put(subject, after, headers, payload, self.now)?;
        let Some(raw) = self.store.raw(&stream, number) else { return Ok(number) };
        if let Some(log) = log_of(subject).filter(LogId::is_published) {
            let subject = subjects::stored(&log);
            for delivery in raw.deliveries(&subject, before) {
                let Delivery::Message(message) = delivery else { continue };
                self.route(&subject, &message.parcel, None);
            }
            return Ok(number);
        }
        let Some(bucket) = bucket_of(&stream).map(str::to_owned) else { return Ok(number) };
        let Some(change) = raw.change(&bucket) else { return Ok(number) };
        let lifetime = match &change {
            Change::Put { .. } => buckets::lifetime(&bucket),
            Change::Deleted { .. } | Change::Lagged => Some(MARK),
        };
        if let Some(lifetime) = lifetime {
            let (subject, is_value) = (subject.to_owned(), matches!(change, Change::Put { .. }));
            self.after(lifetime, move |world| world.lock().expire(&subject, number, is_value));
        }
        self.announce(&bucket, &change);
        Ok(number)
    }

    /// In the place of a value whose time is over comes a mark.
    fn expire(&mut self, subject: &str, number: u64, is_value: bool) {
        if self.store.expire(&stream_of(subject), number, self.now) && is_value {
            let mut headers = Headers::new();
            headers.insert("Nats-Marker-Reason", "MaxAge");
            // Nothing is expected, so nothing is refused.
            let _ = self.put(subject, None, headers, Bytes::new());
        }
    }

    /// Who answers what a node asks of any replica.
    fn replica_for(&mut self, node: NodeId) -> Replica {
        match self.network.is_behind(node, self.now) {
            Some(by) => Replica::AsOf(self.now.saturating_sub(by.min(MOST_BEHIND))),
            None => Replica::Leader,
        }
    }
}

fn log_of(subject: &str) -> Option<LogId> {
    LogId::parse(subject.strip_prefix("mh.evt.")?.split_once('.')?.1)
}

fn bucket_of(stream: &str) -> Option<&str> {
    stream.strip_prefix("KV_")
}

#[async_trait]
impl Streams for Connection {
    async fn try_to_store(
        &self,
        subject: &str,
        after: Option<u64>,
        headers: Headers,
        payload: Bytes,
    ) -> std::result::Result<u64, Unstored> {
        let cost = cost(subject, after, &headers, &payload);
        let subject = subject.to_owned();
        let stored = self.ask("store", move |state| {
            if let Err(full) = room(state, &payload) {
                return Ok(Err(full));
            }
            Ok(state.put(&subject, after, headers, payload))
        });
        // As long as nobody has said otherwise it may be stored, also where nobody waits for that any more.
        *self.world.lock().costs.entry(self.node).or_default() += cost;
        match stored.await {
            Ok(Ok(number)) => Ok(number),
            Ok(Err(error)) => {
                *self.world.lock().costs.entry(self.node).or_default() -= cost;
                Err(Unstored::Surely(error))
            }
            Err(error) => Err(Unstored::Perhaps(error)),
        }
    }

    async fn of_leader(&self, filter: StreamFilter<'_>, wanted: Wanted) -> Result<Option<Raw>> {
        let (stream, subject) = owned(filter);
        self.ask("get", move |state| Ok(state.store.one(both(&stream, &subject), wanted, Replica::Leader)))
            .await
    }

    async fn of_any(&self, filter: StreamFilter<'_>, wanted: Wanted) -> Result<Option<Raw>> {
        let ((stream, subject), node) = (owned(filter), self.node);
        self.ask("get of any", move |state| {
            let replica = state.replica_for(node);
            Ok(state.store.one(both(&stream, &subject), wanted, replica))
        })
        .await
    }

    async fn page_of_any(
        &self,
        filter: StreamFilter<'_>,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Raw>> {
        let ((stream, subject), node) = (owned(filter), self.node);
        self.ask("page", move |state| {
            let replica = state.replica_for(node);
            Ok(state.store.page(both(&stream, &subject), from, limit, max_bytes, replica))
        })
        .await
    }

    fn has_replicas(&self) -> bool {
        true
    }

    async fn clear(&self, filter: StreamFilter<'_>, before: Option<u64>) -> Result<u64> {
        let (stream, subject) = owned(filter);
        self.ask("clear", move |state| Ok(state.store.clear(both(&stream, &subject), before, state.now)))
            .await
    }

    async fn subjects(&self, filter: StreamFilter<'_>) -> Result<Vec<String>> {
        let (stream, subject) = owned(filter);
        self.ask("subjects", move |state| Ok(state.store.subjects(both(&stream, &subject)))).await
    }

    async fn changes(&self, bucket: &str) -> Result<Changes> {
        let (bucket, node, world) = (bucket.to_owned(), self.node, self.world.clone());
        let listening = self.ask("watch", move |state| {
            let (id, listener) = state.exchange.watch(node, &bucket);
            Ok(Listening { listener, world, node, id })
        });
        Ok(listening.await?.boxed())
    }
}

fn owned(filter: StreamFilter<'_>) -> (String, String) {
    (filter.stream.to_owned(), filter.subject.to_owned())
}

fn both<'a>(stream: &'a str, subject: &'a str) -> StreamFilter<'a> {
    StreamFilter { stream, subject }
}

/// What storing a message in a log costs its sandbox.
fn cost(subject: &str, after: Option<u64>, headers: &Headers, payload: &[u8]) -> u64 {
    match log_of(subject) {
        Some(_) if after == Some(0) => weight(subject, headers, payload) + OF_A_LOG,
        None if bucket_of(&stream_of(subject)).is_some() => 0,
        _ => weight(subject, headers, payload),
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

//! Whether all that streams publish arrives here.
//!
//! Between servers messages may be lost without a word: a connection of theirs that is cut comes back by itself, and that of the
//! client is not touched by it. But a stream publishes all that it stores, so the positions of what comes of it follow one
//! another. And where nothing follows, its leader is asked now and then where it ends. Who follows streams is told to look
//! again where something is missing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use types::subjects;
use types::subjects::store;

use crate::jetstream::JetStream;
use crate::link::{Link, Status};
use crate::stored::{SEQUENCE, last_header, number};
use crate::streams::{StreamFilter, Streams, Wanted};

const STREAM: &str = "Nats-Stream";
/// How often leaders are asked.
const LOOK: Duration = Duration::from_secs(10);
/// What is stored may take so long to arrive.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

/// What has arrived of the streams that are followed as a whole. Shared by all copies of a link.
pub struct Arrivals {
    state: Mutex<State>,
    begun: Notify,
    news: Arc<watch::Sender<Status>>,
}

#[derive(Default)]
struct State {
    /// How many follow each.
    patterns: HashMap<String, usize>,
    /// Up to where all of a stream has arrived, as far as is known.
    seen: HashMap<String, u64>,
}

/// Somebody who follows streams as a whole, until it is dropped.
pub struct Following {
    arrivals: Arc<Arrivals>,
    pattern: String,
}

impl Arrivals {
    pub fn new(news: Arc<watch::Sender<Status>>) -> Self {
        Self { state: Mutex::default(), begun: Notify::new(), news }
    }

    /// `None` where the pattern is not that of whole streams.
    pub fn follow(self: &Arc<Self>, pattern: &str) -> Option<Following> {
        if pattern != subjects::ALL_STORED && store::bucket_of_changes(pattern).is_none() {
            return None;
        }
        *self.state.lock().patterns.entry(pattern.to_owned()).or_default() += 1;
        self.begun.notify_one();
        Some(Following { arrivals: self.clone(), pattern: pattern.to_owned() })
    }

    /// The streams that are followed, and all of their subjects.
    fn followed(&self, partitions: u64) -> Vec<(String, String)> {
        let state = self.state.lock();
        let mut streams = Vec::new();
        for pattern in state.patterns.keys() {
            match store::bucket_of_changes(pattern) {
                Some(bucket) => streams.push((store::bucket_stream(bucket), store::keys(bucket))),
                None => streams.extend(
                    (0..partitions).map(|number| (store::event_stream(number), store::events_in(number))),
                ),
            }
        }
        streams
    }

    fn seen(&self, stream: &str) -> Option<u64> {
        self.state.lock().seen.get(stream).copied()
    }

    /// A leader has said that there is something at this position, and that is some time ago. `before` that so much was seen: while
    /// more arrives, in its order, the rest is on its way.
    fn is_at_least(&self, stream: &str, end: u64, before: Option<u64>) {
        let mut state = self.state.lock();
        let seen = state.seen.entry(stream.to_owned()).or_insert(end);
        if *seen < end && before == Some(*seen) {
            *seen = end;
            drop(state);
            self.miss(stream);
        }
    }

    fn arrived(&self, stream: &str, position: u64) {
        let mut state = self.state.lock();
        let before = match state.seen.get_mut(stream) {
            Some(seen) => std::mem::replace(seen, position.max(*seen)),
            None => {
                state.seen.insert(stream.to_owned(), position);
                return;
            }
        };
        if before + 1 < position {
            drop(state);
            self.miss(stream);
        }
    }

    fn miss(&self, stream: &str) {
        tracing::warn!(stream, "not all arrives that the stream publishes: what it says is read again");
        self.news.send_modify(|status| status.holes += 1);
    }
}

impl Following {
    /// Takes note of a message that was published.
    pub fn note(&self, message: &Message) {
        let Some(headers) = &message.headers else { return };
        if let (Some(stream), Some(position)) = (last_header(headers, STREAM), number(headers, SEQUENCE)) {
            self.arrivals.arrived(stream, position);
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut state = self.arrivals.state.lock();
        let Some(others) = state.patterns.get_mut(&self.pattern) else { return };
        *others -= 1;
        if *others > 0 {
            return;
        }
        state.patterns.remove(&self.pattern);
        match store::bucket_of_changes(&self.pattern).map(store::bucket_stream) {
            Some(stream) => drop(state.seen.remove(&stream)),
            None => state.seen.retain(|stream, _| stream.starts_with(store::BUCKET_STREAMS)),
        }
    }
}

impl Link {
    /// Asks leaders where the streams end that are followed here, until the guard is dropped.
    pub fn look_for_ends(&self, partitions: u64) -> DropGuard {
        let stop = CancellationToken::new();
        // Whoever holds the guard must not be held by what it ends.
        let link = Self { leaders: Arc::default(), ..self.clone() };
        let looking = async move {
            loop {
                // Who begins to follow a stream wants to know from where on.
                let _ = timeout(LOOK, link.arrivals.begun.notified()).await;
                if link.has_several_servers() {
                    link.look(partitions).await;
                }
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(looking));
        stop.drop_guard()
    }

    async fn look(&self, partitions: u64) {
        let streams = JetStream { link: self.clone() };
        let ends = self.arrivals.followed(partitions).into_iter().map(async |(stream, subject)| {
            let (filter, before) =
                (StreamFilter { stream: &stream, subject: &subject }, self.arrivals.seen(&stream));
            let last = streams.of_leader(filter, Wanted::Last).await;
            // Whoever does not answer is asked again.
            last.ok().map(|last| (stream, last.map_or(0, |raw| raw.seq), before))
        });
        let ends = join_all(ends).await;
        sleep(ON_ITS_WAY).await;
        for (stream, end, before) in ends.into_iter().flatten() {
            self.arrivals.is_at_least(&stream, end, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;

    use super::*;

    fn message(stream: &str, position: u64) -> Message {
        let mut headers = HeaderMap::new();
        headers.insert(STREAM, stream);
        headers.insert(SEQUENCE, position.to_string());
        Message {
            subject: "published".into(),
            reply: None,
            payload: "".into(),
            headers: Some(headers),
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn what_does_not_arrive_is_missed_once_whoever_tells() {
        let (news, status) = watch::channel(Status::default());
        let arrivals = Arc::new(Arrivals::new(Arc::new(news)));
        let holes = || status.borrow().holes;
        assert!(arrivals.follow("mh.pub.evt.default._bash").is_none());
        let bucket = arrivals.follow(&store::changes("B")).unwrap();
        let logs = arrivals.follow(subjects::ALL_STORED).unwrap();
        // Where they begin is known of nobody, and each may come twice, or once more from another leader.
        for (following, stream, position) in
            [(&bucket, "KV_B", 7), (&bucket, "KV_B", 8), (&logs, "EVENTS_0", 3), (&bucket, "KV_B", 8)]
        {
            following.note(&message(stream, position));
        }
        arrivals.is_at_least("KV_B", 8, Some(8));
        arrivals.is_at_least("KV_B", 100, Some(7));
        arrivals.is_at_least("EVENTS_1", 100, None);
        assert_eq!(holes(), 0);
        bucket.note(&message("KV_B", 10));
        bucket.note(&message("KV_B", 9));
        assert_eq!(holes(), 1);
        for _ in 0..2 {
            arrivals.is_at_least("EVENTS_1", 101, Some(100));
            assert_eq!(holes(), 2);
        }
    }

    #[test]
    fn nothing_is_asked_of_streams_that_nobody_follows_any_more() {
        let arrivals = Arc::new(Arrivals::new(Arc::new(watch::Sender::default())));
        let bucket = store::changes("B");
        let both = [arrivals.follow(&bucket).unwrap(), arrivals.follow(&bucket).unwrap()];
        let logs = arrivals.follow(subjects::ALL_STORED).unwrap();
        assert_eq!(arrivals.followed(4).len(), 5);
        both.iter().for_each(|following| following.note(&message("KV_B", 1)));
        logs.note(&message("EVENTS_0", 1));
        drop(both);
        assert_eq!(arrivals.followed(4).len(), 4);
        drop(logs);
        assert!(arrivals.followed(4).is_empty() && arrivals.state.lock().seen.is_empty());
    }
}

//! What is stored: streams of messages, as servers keep them, and what of it a replica knows that is not the leader. It does
//! what it is asked for at once; whether and when that is, is said elsewhere.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use nats::streams::{Headers, Raw, StreamFilter, Wanted};
use ports::{Change, Error, KvEntry, Record, Result};
use types::buckets::ALLOCATIONS;
use types::subjects::store::{
    BODY_STREAM, bucket_stream, event_stream, events, events_in, key as subject_of, keys,
};
use types::{LogId, SandboxId};

use super::exchange::matches;

/// No replica lags behind by more.
pub(super) const MOST_BEHIND: Duration = Duration::from_secs(60);
/// In the JSON of an allocation.
const FAILED: &[u8] = br#""failure":{"#;
/// In the JSON of an action.
const ACTION: &[u8] = br#""ActionEvent""#;

#[derive(Default)]
pub struct Store {
    streams: BTreeMap<String, Stream>,
    /// When the supervisor has noted that there is no worker.
    failures: Vec<Duration>,
    /// What was ever stored that an agent is about to do.
    actions: BTreeSet<String>,
}

#[derive(Default)]
struct Stream {
    last: u64,
    messages: BTreeMap<u64, Kept>,
    subjects: BTreeMap<String, BTreeSet<u64>>,
    /// What has gone, and may be known to a replica still.
    gone: VecDeque<(Duration, u64)>,
}

struct Kept {
    subject: String,
    headers: Headers,
    payload: Bytes,
    at: Duration,
    gone: Option<Duration>,
}

/// Who is asked: the leader, or a replica that knows what was so at a time.
#[derive(Clone, Copy)]
pub(super) enum Replica {
    Leader,
    AsOf(Duration),
}

impl Replica {
    fn knows(self, kept: &Kept) -> bool {
        match self {
            Self::Leader => kept.gone.is_none(),
            Self::AsOf(time) => kept.at <= time && kept.gone.is_none_or(|gone| gone > time),
        }
    }
}

/// The stream that keeps a subject.
pub(super) fn stream_of(subject: &str) -> String {
    let mut tokens = subject.split('.');
    match (tokens.next(), tokens.next(), tokens.next()) {
        (Some("$KV"), Some(bucket), _) => bucket_stream(bucket),
        (Some("mh"), Some("evt"), Some(partition)) => event_stream(partition),
        _ => BODY_STREAM.to_owned(),
    }
}

impl Store {
    /// Answers its position, and that of the subject's message before it.
    ///
    /// # Errors
    /// `Conflict`.
    pub(super) fn put(
        &mut self,
        subject: &str,
        after: Option<u64>,
        headers: Headers,
        payload: Bytes,
        now: Duration,
    ) -> Result<(u64, u64)> {
        let name = stream_of(subject);
        let keeps_all = name.starts_with("EVENTS");
        if name == bucket_stream(ALLOCATIONS) && payload.windows(FAILED.len()).any(|part| part == FAILED) {
            self.failures.push(now);
        }
        let is_action = keeps_all && payload.windows(ACTION.len()).any(|part| part == ACTION);
        let stream = self.streams.entry(name).or_default();
        let before = stream.last_of(subject, Replica::Leader).unwrap_or_default();
        if after.is_some_and(|after| after != before) {
            return Err(Error::Conflict { tail: None });
        }
        if before > 0 && !keeps_all {
            stream.remove(before, now);
        }
        stream.forget(now);
        stream.last += 1;
        let kept = Kept { subject: subject.to_owned(), headers, payload, at: now, gone: None };
        if is_action {
            self.actions.extend(kept.raw(stream.last).records().iter().filter_map(named));
        }
        stream.messages.insert(stream.last, kept);
        stream.subjects.entry(subject.to_owned()).or_default().insert(stream.last);
        Ok((stream.last, before))
    }

    pub(super) fn one(&self, filter: StreamFilter<'_>, wanted: Wanted, replica: Replica) -> Option<Raw> {
        match wanted {
            Wanted::Next(from) => self.page(filter, from, 1, usize::MAX, replica).pop(),
            Wanted::Last => {
                let stream = self.streams.get(filter.stream)?;
                let lasts = stream.matching(filter.subject).filter_map(|name| stream.last_of(name, replica));
                stream.raw(lasts.max()?)
            }
        }
    }

    pub(super) fn page(
        &self,
        filter: StreamFilter<'_>,
        from: u64,
        limit: usize,
        max_bytes: usize,
        replica: Replica,
    ) -> Vec<Raw> {
        let Some(stream) = self.streams.get(filter.stream) else { return Vec::new() };
        let is_meant = |kept: &Kept| replica.knows(kept) && matches(filter.subject, &kept.subject);
        let mut bytes = 0;
        let meant = stream.messages.range(from..).filter(|(_, kept)| is_meant(kept)).take(limit);
        let page = meant.take_while(|(_, kept)| {
            let has_room = bytes < max_bytes;
            bytes += kept.payload.len();
            has_room
        });
        page.filter_map(|(number, _)| stream.raw(*number)).collect()
    }

    /// How many have gone.
    pub(super) fn clear(&mut self, filter: StreamFilter<'_>, before: Option<u64>, now: Duration) -> u64 {
        let before = before.unwrap_or(u64::MAX);
        let going = self.page(filter, 0, usize::MAX, usize::MAX, Replica::Leader);
        let going: Vec<u64> = going.iter().map(|raw| raw.seq).filter(|number| *number < before).collect();
        let Some(stream) = self.streams.get_mut(filter.stream) else { return 0 };
        going.iter().for_each(|number| stream.remove(*number, now));
        going.len() as u64
    }

    pub(super) fn subjects(&self, filter: StreamFilter<'_>) -> Vec<String> {
        let Some(stream) = self.streams.get(filter.stream) else { return Vec::new() };
        let is_there = |name: &&str| stream.last_of(name, Replica::Leader).is_some();
        stream.matching(filter.subject).filter(is_there).map(str::to_owned).collect()
    }

    /// Whether a message whose time is over was there until now.
    pub(super) fn expire(&mut self, name: &str, number: u64, now: Duration) -> bool {
        let Some(stream) = self.streams.get_mut(name) else { return false };
        let is_there = stream.messages.get(&number).is_some_and(|kept| kept.gone.is_none());
        if is_there {
            stream.remove(number, now);
        }
        is_there
    }

    /// A message, as it is told.
    pub(super) fn raw(&self, name: &str, number: u64) -> Option<Raw> {
        self.streams.get(name)?.raw(number)
    }

    /// Whether the supervisor has noted since a time that there is no worker.
    #[must_use]
    pub fn has_failed_since(&self, time: Duration) -> bool {
        self.failures.last().is_some_and(|last| *last >= time)
    }

    /// Whether it was ever stored that an agent is about to do that.
    #[must_use]
    pub fn has_announced(&self, name: &str) -> bool {
        self.actions.contains(name)
    }

    /// All of a log.
    #[must_use]
    pub fn records(&self, log: &LogId) -> Vec<Record> {
        let messages = self.partitions().flat_map(|partition| {
            let subject = events(partition, log);
            let stream = stream_of(&subject);
            let filter = StreamFilter { stream: &stream, subject: &subject };
            self.page(filter, 0, usize::MAX, usize::MAX, Replica::Leader)
        });
        messages.flat_map(|raw| raw.records()).collect()
    }

    /// Those that have records.
    pub fn logs(&self) -> impl Iterator<Item = LogId> {
        let names = self.partitions().flat_map(move |partition| {
            let (stream, subject) = (event_stream(partition), events_in(partition));
            self.subjects(StreamFilter { stream: &stream, subject: &subject })
        });
        names.filter_map(|subject| LogId::parse(subject.splitn(4, '.').nth(3)?))
    }

    /// What a key of a bucket holds.
    #[must_use]
    pub fn get(&self, bucket: &str, key: &str) -> Option<KvEntry> {
        let (stream, subject) = (bucket_stream(bucket), subject_of(bucket, key));
        let filter = StreamFilter { stream: &stream, subject: &subject };
        match self.one(filter, Wanted::Last, Replica::Leader)?.change(bucket)? {
            Change::Put { entry, .. } => Some(entry),
            Change::Deleted { .. } | Change::Lagged => None,
        }
    }

    /// The keys of a bucket, with what they hold.
    #[must_use]
    pub fn all(&self, bucket: &str) -> Vec<(String, KvEntry)> {
        let (stream, subject) = (bucket_stream(bucket), keys(bucket));
        let filter = StreamFilter { stream: &stream, subject: &subject };
        let messages = self.page(filter, 0, usize::MAX, usize::MAX, Replica::Leader);
        let puts = messages.into_iter().filter_map(|raw| match raw.change(bucket)? {
            Change::Put { key, entry } => Some((key, entry)),
            Change::Deleted { .. } | Change::Lagged => None,
        });
        puts.collect()
    }

    /// The revisions that a key of a bucket has had since a time: as it was then, and after each change. `None`: it had no value.
    #[must_use]
    pub fn history_of_key(&self, bucket: &str, key: &str, since: Duration) -> Vec<Option<u64>> {
        let Some(stream) = self.streams.get(&bucket_stream(bucket)) else { return vec![None] };
        let value = |number: u64| match stream.raw(number)?.change(bucket)? {
            Change::Put { entry, .. } => Some(entry.revision),
            Change::Deleted { .. } | Change::Lagged => None,
        };
        let history = stream.history(&subject_of(bucket, key), since).into_iter();
        history.map(|numbers| numbers.last().copied().and_then(value)).collect()
    }

    /// The numbers of the messages that a log has had since a time: as it was then, and after each change.
    #[must_use]
    pub fn history_of_log(&self, log: &LogId, since: Duration) -> Vec<Vec<u64>> {
        let histories = self.partitions().filter_map(|partition| {
            let subject = events(partition, log);
            let stream = self.streams.get(&stream_of(&subject))?;
            stream.subjects.contains_key(&subject).then(|| stream.history(&subject, since))
        });
        histories.last().unwrap_or_else(|| vec![Vec::new()])
    }

    /// What all that a sandbox stores is to be counted as.
    #[must_use]
    pub fn weight(&self, sandbox: &SandboxId) -> u64 {
        let logs = self.logs().filter(|log| log.sandbox() == sandbox).count() as u64;
        let is_its = |subject: &str| {
            let mut tokens = subject.split('.');
            let place = if tokens.nth(1) == Some("evt") { 1 } else { 0 };
            tokens.nth(place) == Some(sandbox.as_str())
        };
        let streams = self.streams.iter().filter(|(name, _)| !name.starts_with("KV_"));
        let messages = streams.flat_map(|(_, stream)| stream.messages.values());
        let stored = messages.filter(|kept| kept.gone.is_none() && is_its(&kept.subject));
        stored.map(|kept| weight(&kept.subject, &kept.headers, &kept.payload)).sum::<u64>() + logs * OF_A_LOG
    }

    fn partitions(&self) -> impl Iterator<Item = &str> {
        self.streams.keys().filter_map(|name| name.strip_prefix("EVENTS_"))
    }
}

/// What a log is counted as beside its messages.
pub(super) const OF_A_LOG: u64 = 16 << 10;

/// What a message of a log, or a piece of a body, is to be counted as. Said here once more, to be compared.
pub(super) fn weight(subject: &str, headers: &Headers, payload: &[u8]) -> u64 {
    let bytes = payload.len() as u64;
    if subject.starts_with("mh.body.") {
        return 512 + bytes.max(64 << 10);
    }
    let records = headers.get("Mh-Records").map_or(0, |lengths| lengths.as_str().split(',').count() as u64);
    512 + 64 * records + bytes
}

impl Stream {
    fn last_of(&self, subject: &str, replica: Replica) -> Option<u64> {
        let numbers = self.subjects.get(subject)?.iter().rev().copied();
        numbers.into_iter().find(|number| self.messages.get(number).is_some_and(|kept| replica.knows(kept)))
    }

    /// The messages of a subject as they were at a time and after each change since. What has gone for longer than any replica
    /// lags behind may be missing.
    fn history(&self, subject: &str, since: Duration) -> Vec<Vec<u64>> {
        let numbers = self.subjects.get(subject).into_iter().flatten();
        let all: Vec<(u64, &Kept)> =
            numbers.filter_map(|number| Some((*number, self.messages.get(number)?))).collect();
        let changes = all.iter().flat_map(|(_, kept)| [Some(kept.at), kept.gone]).flatten();
        let moments: BTreeSet<Duration> = changes.filter(|change| *change > since).chain([since]).collect();
        let was_there = |kept: &Kept, time| Replica::AsOf(time).knows(kept);
        let there =
            |time| all.iter().filter(|(_, kept)| was_there(kept, time)).map(|(number, _)| *number).collect();
        moments.into_iter().map(there).collect()
    }

    fn matching<'a>(&'a self, pattern: &'a str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        match pattern.strip_suffix('>') {
            None => Box::new(self.subjects.get_key_value(pattern).map(|(name, _)| name.as_str()).into_iter()),
            Some(front) => {
                let from = self.subjects.range(front.to_owned()..);
                Box::new(from.map(|(name, _)| name.as_str()).take_while(move |name| name.starts_with(front)))
            }
        }
    }

    fn remove(&mut self, number: u64, now: Duration) {
        if let Some(kept) = self.messages.get_mut(&number) {
            kept.gone = Some(now);
            self.gone.push_back((now, number));
        }
    }

    /// What no replica can know any more.
    fn forget(&mut self, now: Duration) {
        while let Some((gone, number)) = self.gone.front().copied()
            && gone + MOST_BEHIND < now
        {
            self.gone.pop_front();
            let Some(kept) = self.messages.remove(&number) else { continue };
            if let Some(numbers) = self.subjects.get_mut(&kept.subject) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.subjects.remove(&kept.subject);
                }
            }
        }
    }

    fn raw(&self, number: u64) -> Option<Raw> {
        Some(self.messages.get(&number)?.raw(number))
    }
}

impl Kept {
    fn raw(&self, number: u64) -> Raw {
        let Self { subject, headers, payload, at, .. } = self;
        Raw {
            subject: subject.clone(),
            seq: number,
            headers: headers.clone(),
            payload: payload.clone(),
            stored_at: format!("{:020}", at.as_nanos()),
        }
    }
}

/// What an agent is about to do, if the record says that.
fn named(record: &Record) -> Option<String> {
    let record = serde_json::from_slice::<serde_json::Value>(&record.payload).ok()?;
    let event = &record["event"];
    let name = (event["kind"] == "ActionEvent").then(|| event["action"]["name"].as_str())?;
    name.map(str::to_owned)
}

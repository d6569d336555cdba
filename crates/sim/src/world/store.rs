//! What is stored: logs and values. It does what it is asked for at once; whether and when that is, is said elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use ports::{Appended, Change, Error, Expect, Extent, KvEntry, Record, Result};
use types::buckets::{ALLOCATIONS, lifetime};
use types::{BashScope, LogId, SandboxId, Seq};

/// In the JSON of an allocation.
const FAILED: &[u8] = br#""failure":{"#;

#[derive(Default)]
pub struct Store {
    /// The newest of all logs together: positions of one log have gaps.
    position: u64,
    logs: BTreeMap<LogId, Vec<Record>>,
    revision: u64,
    buckets: BTreeMap<String, BTreeMap<String, Value>>,
    /// When the supervisor has noted that there is no worker.
    failures: Vec<Duration>,
}

struct Value {
    entry: KvEntry,
    /// When it is gone, unless it is written before.
    until: Option<Duration>,
}

impl Store {
    /// # Errors
    /// `Conflict`.
    pub(super) fn append(&mut self, log: &LogId, after: Seq, payloads: Vec<Bytes>) -> Result<Appended> {
        let tail = self.tail(log);
        if tail != after {
            return Err(Error::Conflict { tail: Some(tail) });
        }
        if payloads.is_empty() {
            return Ok(Appended { seqs: Vec::new() });
        }
        let records = self.logs.entry(log.clone()).or_default();
        let first = records.len();
        for payload in payloads {
            self.position += 1;
            records.push(Record { seq: Seq(self.position), payload });
        }
        Ok(Appended { seqs: records.iter().skip(first).map(|record| record.seq).collect() })
    }

    pub(super) fn read(&self, log: &LogId, after: Seq, limit: usize) -> Vec<Record> {
        const MOST_BYTES: usize = 4 << 20;
        let records = self.records(log);
        let from = records.partition_point(|record| record.seq <= after);
        let mut bytes = 0;
        let fits = |record: &&Record| {
            let is_first = bytes == 0;
            bytes += record.payload.len().max(1);
            is_first || bytes <= MOST_BYTES
        };
        records.iter().skip(from).take(limit).take_while(fits).cloned().collect()
    }

    /// Whether the supervisor has noted since a time that there is no worker.
    #[must_use]
    pub fn has_failed_since(&self, time: Duration) -> bool {
        self.failures.last().is_some_and(|last| *last >= time)
    }

    /// All of a log.
    #[must_use]
    pub fn records(&self, log: &LogId) -> &[Record] {
        self.logs.get(log).map_or(&[], Vec::as_slice)
    }

    pub fn logs(&self) -> impl Iterator<Item = &LogId> {
        self.logs.keys()
    }

    pub(super) fn tail(&self, log: &LogId) -> Seq {
        self.records(log).last().map(|record| record.seq).unwrap_or_default()
    }

    pub(super) fn extent(&self, log: &LogId) -> Extent {
        Extent { last: self.tail(log).0, beside: 0 }
    }

    pub(super) fn remove(&mut self, log: &LogId, extent: Extent) {
        let Some(records) = self.logs.get_mut(log) else { return };
        records.retain(|record| record.seq.0 > extent.last);
        if records.is_empty() {
            self.logs.remove(log);
        }
    }

    pub(super) fn truncate_before(&mut self, log: &LogId, first_kept: Seq) {
        let Some(records) = self.logs.get_mut(log) else { return };
        let Some(last) = records.last().map(|record| record.seq) else { return };
        records.retain(|record| record.seq >= first_kept || record.seq == last);
    }

    pub(super) fn bash_logs(&self, sandbox: &SandboxId) -> Vec<BashScope> {
        self.logs.keys().filter(|log| log.sandbox() == sandbox).filter_map(LogId::bash_scope).collect()
    }

    /// What a key of a bucket holds at a time.
    #[must_use]
    pub fn get(&self, bucket: &str, key: &str, now: Duration) -> Option<KvEntry> {
        let value = self.buckets.get(bucket)?.get(key)?;
        value.until.is_none_or(|until| until > now).then(|| value.entry.clone())
    }

    /// The next keys of a bucket after one, with what they hold.
    #[must_use]
    pub fn page(&self, bucket: &str, after: Option<&str>, now: Duration) -> Vec<(String, KvEntry)> {
        const MOST: usize = 100;
        const MOST_BYTES: usize = 1 << 20;
        let Some(values) = self.buckets.get(bucket) else { return Vec::new() };
        let behind = |key: &str| after.is_none_or(|after| key > after);
        let is_there = |value: &Value| value.until.is_none_or(|until| until > now);
        let mut bytes = 0;
        let there = values.iter().filter(|(key, value)| behind(key) && is_there(value)).take(MOST);
        let page = there.take_while(|(_, value)| {
            let is_first = bytes == 0;
            bytes += value.entry.value.len().max(1);
            is_first || bytes <= MOST_BYTES
        });
        page.map(|(key, value)| (key.clone(), value.entry.clone())).collect()
    }

    /// # Errors
    /// `Conflict`.
    pub(super) fn put(
        &mut self,
        (bucket, key): (&str, &str),
        value: Bytes,
        expect: Expect,
        now: Duration,
    ) -> Result<Change> {
        self.check((bucket, key), expect, now)?;
        self.revision += 1;
        let entry = KvEntry { revision: self.revision, value };
        let until = lifetime(bucket).map(|lifetime| now + lifetime);
        if bucket == ALLOCATIONS && entry.value.windows(FAILED.len()).any(|part| part == FAILED) {
            self.failures.push(now);
        }
        let values = self.buckets.entry(bucket.to_owned()).or_default();
        values.insert(key.to_owned(), Value { entry: entry.clone(), until });
        Ok(Change::Put { key: key.to_owned(), entry })
    }

    /// # Errors
    /// `Conflict`.
    pub(super) fn delete(
        &mut self,
        (bucket, key): (&str, &str),
        expect: Expect,
        now: Duration,
    ) -> Result<Option<Change>> {
        self.check((bucket, key), expect, now)?;
        self.revision += 1;
        let removed = self.buckets.get_mut(bucket).and_then(|values| values.remove(key));
        Ok(removed.map(|_| Change::Deleted { key: key.to_owned() }))
    }

    fn check(&self, (bucket, key): (&str, &str), expect: Expect, now: Duration) -> Result<()> {
        let revision = self.get(bucket, key, now).map(|entry| entry.revision);
        let holds = match expect {
            Expect::Anything => true,
            Expect::Absent => revision.is_none(),
            Expect::Revision(expected) => revision == Some(expected),
        };
        if holds { Ok(()) } else { Err(Error::Conflict { tail: None }) }
    }
}

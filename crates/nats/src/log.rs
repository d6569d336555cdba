//! The port of logs, on streams.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ports::{Appended, Error, EventLog, Extent, Record, Result};
use types::{BashScope, LogId, SandboxId, Seq};

use crate::agreement::Agreement;
use crate::archive::Archive;
use crate::body::{self, Body, LARGEST};
use crate::message::{self, NewMessage};
use crate::unfinished::Unfinished;

/// Messages with more bytes than this keep a digest, and their body lies aside.
const ASIDE: usize = 512 << 10;
/// What headers and the subject may take of a message.
const OVERHEAD: usize = 64 << 10;
/// A page of records ends when it has this many bytes.
const PAGE_BYTES: usize = 8 << 20;
/// The most messages of one read.
const PAGE: usize = 1_000;

/// Logs as messages, several records each.
pub struct NatsLog {
    archive: Arc<dyn Archive>,
    /// Bytes of a message whose body does not lie aside.
    most: usize,
    unfinished: Unfinished,
}

#[async_trait]
impl EventLog for NatsLog {
    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> Result<Appended> {
        if records.is_empty() {
            return match self.tail(log).await? {
                tail if tail == after => Ok(Appended { seqs: Vec::new() }),
                tail => Err(Error::Conflict { tail: Some(tail) }),
            };
        }
        let Some(last) = message::ending_at(after) else {
            return Err(Error::Conflict { tail: Some(self.tail(log).await?) });
        };
        let mut agreement = Agreement::awaited();
        loop {
            match self.store(log, last, &records).await {
                Ok(number) => {
                    return Ok(Appended { seqs: message::positions(number, records.len()).collect() });
                }
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
            let tail = self.tail(log).await?;
            if tail != after {
                return Err(Error::Conflict { tail: Some(tail) });
            }
            agreement.wait().await?;
        }
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let (mut page, mut bytes, mut from) = (Vec::new(), 0, message::first_after(after));
        let is_full = |page: &[Record], bytes| page.len() >= limit || bytes >= PAGE_BYTES;
        // In the middle of a message its rest is often enough: it may have so many records that it is read in many steps.
        let rest = message::ending_at(after).is_none().then_some(1);
        for count in rest.into_iter().chain([limit.min(PAGE)]) {
            if is_full(&page, bytes) {
                break;
            }
            for message in self.archive.messages(log, from, count).await? {
                if is_full(&page, bytes) {
                    break;
                }
                let (number, is_aside) = (message.number, message.body.is_some());
                from = number + 1;
                let entries = match self.unfinished.open(&*self.archive, log, message).await {
                    // It has gone since, and its body with it. What has gone does not come back.
                    Err(Error::Internal(_)) if !self.has(log, number).await? => {
                        return self.read(log, after, limit).await;
                    }
                    entries => entries?,
                };
                let room = limit - page.len();
                let wanted = entries.iter().filter(|entry| entry.seq > after).take(room).cloned();
                page.extend(wanted.inspect(|entry| bytes += entry.payload.len()));
                if is_aside && page.last().map(|last| last.seq) < entries.last().map(|last| last.seq) {
                    self.unfinished.leave(log, number, entries);
                }
            }
        }
        Ok(page)
    }

    async fn tail(&self, log: &LogId) -> Result<Seq> {
        self.archive.last(log).await.map(message::end_of)
    }

    async fn extent(&self, log: &LogId) -> Result<Extent> {
        self.archive.extent(log).await
    }

    async fn remove(&self, log: &LogId, extent: Extent) -> Result<()> {
        self.archive.remove(log, extent).await
    }

    async fn truncate_before(&self, log: &LogId, first_kept: Seq) -> Result<()> {
        self.archive.truncate(log, message::holding(first_kept)).await
    }

    async fn bash_logs(&self, sandbox: &SandboxId) -> Result<Vec<BashScope>> {
        let names = self.archive.names(sandbox).await?;
        Ok(names.iter().filter_map(|name| LogId::of_name(sandbox, name)?.bash_scope()).collect())
    }
}

impl NatsLog {
    /// `max_payload`: of the server, in bytes.
    pub fn new(archive: Arc<dyn Archive>, max_payload: usize) -> Self {
        let most = ASIDE.min(max_payload.saturating_sub(OVERHEAD));
        Self { archive, most, unfinished: Unfinished::default() }
    }

    async fn has(&self, log: &LogId, number: u64) -> Result<bool> {
        let found = self.archive.messages(log, number, 1).await?;
        Ok(found.first().is_some_and(|message| message.number == number))
    }

    /// Stores `records` as one message after message `last`, and answers its number.
    async fn store(&self, log: &LogId, last: u64, records: &[Bytes]) -> Result<u64> {
        let packed = message::pack(records)?;
        if packed.bytes.len() <= self.most {
            let message = NewMessage { lengths: packed.lengths, body: None, payload: packed.bytes };
            return self.archive.append(log, last, message).await;
        }
        let body = Body::of(&packed.bytes)?;
        if body.size > LARGEST {
            return Err(Error::Internal(format!("{} bytes are more than can be stored at once", body.size)));
        }
        for (index, piece) in body::split(&packed.bytes) {
            self.archive.put_piece(log, &body.digest, index, piece).await?;
        }
        let message = NewMessage { lengths: packed.lengths, body: Some(body), payload: Bytes::new() };
        self.archive.append(log, last, message).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::body::Digest;
    use crate::message::LogMessage;

    /// One log in memory, which counts what is fetched of bodies.
    #[derive(Default)]
    struct Memory {
        messages: Mutex<Vec<LogMessage>>,
        pieces: Mutex<BTreeMap<(Digest, u64), Bytes>>,
        fetched: AtomicUsize,
        /// So many of the oldest messages go, with their bodies, before the next body is fetched.
        going: AtomicUsize,
    }

    #[async_trait]
    impl Archive for Memory {
        async fn append(&self, _: &LogId, last: u64, message: NewMessage) -> Result<u64> {
            let NewMessage { lengths, body, payload } = message;
            let number = last + 1;
            self.messages.lock().unwrap().push(LogMessage { number, lengths, body, payload });
            Ok(number)
        }

        async fn messages(&self, _: &LogId, from: u64, limit: usize) -> Result<Vec<LogMessage>> {
            let messages = self.messages.lock().unwrap();
            Ok(messages.iter().filter(|message| message.number >= from).take(limit).cloned().collect())
        }

        async fn last(&self, _: &LogId) -> Result<u64> {
            Ok(self.messages.lock().unwrap().last().map_or(0, |last| last.number))
        }

        async fn extent(&self, _: &LogId) -> Result<Extent> {
            Ok(Extent::default())
        }

        async fn remove(&self, _: &LogId, _: Extent) -> Result<()> {
            Ok(())
        }

        async fn truncate(&self, _: &LogId, _: u64) -> Result<()> {
            Ok(())
        }

        async fn names(&self, _: &SandboxId) -> Result<Vec<String>> {
            Ok(Vec::new())
        }

        async fn piece(&self, _: &LogId, digest: &Digest, index: u64) -> Result<Option<Bytes>> {
            self.fetched.fetch_add(1, Ordering::SeqCst);
            for gone in self.messages.lock().unwrap().drain(..self.going.swap(0, Ordering::SeqCst)) {
                let digest = gone.body.map(|body| body.digest);
                self.pieces.lock().unwrap().retain(|(other, _), _| Some(other) != digest.as_ref());
            }
            Ok(self.pieces.lock().unwrap().get(&(digest.clone(), index)).cloned())
        }

        async fn put_piece(&self, _: &LogId, digest: &Digest, index: u64, piece: Bytes) -> Result<()> {
            self.pieces.lock().unwrap().insert((digest.clone(), index), piece);
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_body_that_is_read_a_page_at_a_time_is_fetched_once() {
        let memory = Arc::new(Memory::default());
        let log = NatsLog::new(memory.clone(), 1 << 20);
        let id = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);
        let records: Vec<Bytes> = (0..100_u8).map(|n| vec![n; 20 << 10].into()).collect();
        let tail = log.append(&id, Seq::ZERO, records.clone()).await.unwrap().tail();
        let (mut read, mut at) = (Vec::new(), Seq::ZERO);
        while at < tail {
            let page = log.read(&id, at, 7).await.unwrap();
            at = page.last().unwrap().seq;
            read.extend(page.into_iter().map(|record| record.payload));
        }
        assert_eq!(read, records);
        let pieces = memory.pieces.lock().unwrap().len();
        assert_eq!(memory.fetched.load(Ordering::SeqCst), pieces);
        log.read(&id, Seq::ZERO, 1_000).await.unwrap();
        assert_eq!(
            memory.fetched.load(Ordering::SeqCst),
            2 * pieces,
            "nothing is kept that was read to its end"
        );
    }

    #[tokio::test]
    async fn what_goes_with_its_body_while_it_is_read_is_passed_over() {
        let memory = Arc::new(Memory::default());
        let log = NatsLog::new(memory.clone(), 1 << 20);
        let id = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);
        let mut tail = Seq::ZERO;
        for n in 0..3_u8 {
            tail = log.append(&id, tail, vec![vec![n; 600 << 10].into()]).await.unwrap().tail();
        }
        memory.going.store(2, Ordering::SeqCst);
        let page = log.read(&id, Seq::ZERO, 1).await.unwrap();
        assert_eq!(page.iter().map(|record| record.payload[0]).collect::<Vec<_>>(), [2]);
        memory.pieces.lock().unwrap().clear();
        let damaged = log.read(&id, Seq::ZERO, 1).await;
        assert!(matches!(damaged, Err(Error::Internal(_))), "one that is there is missed: {damaged:?}");
    }
}

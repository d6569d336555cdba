//! Copying the log of a conversation to that of another one, which has no record yet.
//!
//! **A copy begins and ends with `forked`.** The store takes the beginning of a log from one writer alone, so of two that copy
//! to one log one is refused, with nothing mixed. The first `forked` also keeps a copy and a conversation that somebody else
//! makes under its id apart: the copy is begun and then the record looked for, a record is stored and then the log looked at. So
//! at least one of the two sees the other, and gives way: the record is withdrawn, for which who copies waits for a moment, or the
//! copy ends where it has begun.
//! Within a process one of them waits for the other (`in_hand`).
//!
//! **Each copying has a mark of its own**, the first `forked` of it. Who copies removes what stands behind his own mark and
//! nothing else, and has finished a copy only if it still begins with that: a log loses its front first.
//!
//! **It ends in time**, or when the server stops: who copies gives up after [`COPYING`], and an answer that is lost is no
//! reason, for it is found out whether it was stored.
//!
//! **What a crash leaves** is a copy without a record. In a cluster it is removed when the store is swept; whoever needs the id
//! before is told to try again later, and removes it once it [is left](super::mark::Marks::is_left): nobody copies for so long. Should he do
//! so all the same, the store refuses what he adds, since the log does not end there. In one process whoever needs the id removes
//! it at once; that a record which was to be stored before is not stored late, behind the removal, is asked of the store in turn.

use std::mem::take;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ports::log::{Batch, LogWriter, Loss, Pages, Trouble};
use ports::retry::Backoff;
use ports::{Error, EventLog, Record, Result};
use readmodel::history::Branch;
use readmodel::index::ConversationState;
use serde::Deserialize;
use tokio::time::{sleep, timeout};
use types::event::Head;
use types::log::{Control, LogRecord};
use types::{ConversationId, Epoch, LogId, Seq, announced};

use super::Conversations;
use super::mark::{COPYING, Mark, Others};
use crate::placement::Creation;

/// Records that are read at once.
const PAGE: usize = 256;
/// Bytes of records that are stored together, unless a single one has more.
const TOGETHER: usize = 256 * 1024;

/// Between two tries to store something.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
/// So many are made of each.
const TRIES: usize = 8;

/// Between two looks at whether somebody has withdrawn what he has stored under the id of a copy, and how often that is looked.
pub(super) const WITHDRAWING: Duration = Duration::from_millis(100);
pub(super) const WITHDRAWALS: usize = 20;

/// Copies have no incarnations, and no fences.
const NONE: Epoch = Epoch::BEFORE_ALL_WORKERS;

/// What of a log is copied.
pub(super) struct Which {
    /// Of its events; `None`: all.
    pub(super) branch: Option<Branch>,
    /// Whether what its models are and have cost is copied, too.
    pub(super) has_costs: bool,
}

/// A whole copy that no conversation has yet.
pub(super) struct Copied {
    /// Where it ends.
    tail: Seq,
    mark: Mark,
}

/// What of another conversation is in the log of one.
pub(super) enum Foreign {
    /// Somebody makes it, and may yet give way.
    Comes,
    /// A copy that nobody makes any more, and nothing else.
    IsLeft,
    /// What was written behind it is of both.
    Stays,
}

/// How far a copy has come.
struct Copy {
    writer: LogWriter,
    parts: Parts,
}

/// What of it is to be stored next.
#[derive(Default)]
struct Parts {
    events: u64,
    records: Vec<Bytes>,
    bytes: usize,
}

impl Conversations {
    /// Copies what `from` has now to `to`, the log of the conversation `id`. What goes wrong on the way leaves nothing. Whoever
    /// calls it has the id in hand.
    ///
    /// # Errors
    /// `Conflict`: that conversation is there. `Unavailable`: somebody else makes it, or the store is slow or away. `NotFound`: the
    /// source was deleted meanwhile. `Full`: there is no room. Those of the store.
    pub(super) async fn copy_log(
        &self,
        from: &LogId,
        id: ConversationId,
        to: &LogId,
        which: &Which,
    ) -> Result<Copied> {
        self.remove_left(id, to).await?;
        let mark = Mark::fresh();
        let _making = self.0.marks.making(mark);
        let mut copy = Copy::begun(Arc::clone(&self.0.log), to, mark)?;
        let copying = timeout(COPYING, self.copy_all(from, id, &mut copy, which));
        let copied = tokio::select! {
            copied = copying => copied.unwrap_or_else(|_| Err(away("copying takes too long"))),
            () = self.0.tasks.drain.cancelled() => Err(away("the server stops")),
        };
        match copied {
            Ok(()) => Ok(Copied { tail: copy.writer.tail(), mark }),
            // Somebody else has written there.
            Err(Error::Conflict { .. }) => Err(self.taken(id).await?),
            Err(error) => {
                self.discard(id, to, &mark).await;
                Err(error)
            }
        }
    }

    /// Whether somebody else makes a conversation in this log: a copy, or one that is brought from elsewhere. If a worker has
    /// written behind its beginning, that has become nothing: the worker has found a record.
    pub(super) async fn is_being_made(&self, log: &LogId) -> Result<bool> {
        let records = self.0.log.read_first(log, Seq::ZERO, 2).await?;
        let is_claim = records.first().is_some_and(|first| LogRecord::is_claim(&first.payload));
        Ok(is_claim && !records.get(1).is_some_and(is_of_a_worker))
    }

    /// What of another conversation is in the log of this one, or may be in a moment: whoever has just begun a copy finds the record,
    /// and gives way. Not of a copy. Of a log that was found to be its own none of this is read again.
    pub(super) async fn foreign_in(&self, entry: &ConversationState) -> Result<Option<Foreign>> {
        if entry.has_its_own_log() {
            return Ok(None);
        }
        let (read, has_events) = (entry.seq(), entry.events() > 0);
        let foreign = self.foreign_read(&entry.log).await?;
        // What has only been begun may become anything.
        if foreign.is_none() && has_events {
            entry.found_its_own_log(read);
        }
        Ok(foreign)
    }

    async fn foreign_read(&self, log: &LogId) -> Result<Option<Foreign>> {
        let records = self.0.log.read_first(log, Seq::ZERO, 2).await?;
        let Some(first) = records.first().filter(|first| LogRecord::is_claim(&first.payload)) else {
            return Ok(None);
        };
        let (mark, others) = (Mark::of(first), self.others());
        if records.get(1).is_none_or(is_of_a_worker) {
            let is_young = |mark| self.0.marks.is_young(log, mark, others, Instant::now());
            let may_come = records.len() == 1 && mark.is_some_and(is_young);
            return Ok(may_come.then_some(Foreign::Comes));
        }
        let is_copy = mark.is_some();
        let is_end = |control: &Control| match control {
            Control::Fence { epoch } => *epoch > Epoch::BEFORE_ALL_WORKERS,
            Control::Brought(_) => !is_copy,
            _ => false,
        };
        let end = self.find_control(log, is_end).await?;
        Ok(match (mark, end) {
            // All of what was brought is its own.
            (None, Some(Control::Brought(_))) => None,
            (Some(mark), None) if self.0.marks.is_left(log, mark, others, Instant::now()) => {
                Some(Foreign::IsLeft)
            }
            (Some(_), None) => Some(Foreign::Comes),
            (None | Some(_), _) => Some(Foreign::Stays),
        })
    }

    /// Whether other gateways make copies, too.
    fn others(&self) -> Others {
        match self.placement().creation() {
            Creation::Complete => Others::None,
            Creation::BeforeItsWorker => Others::Some,
        }
    }

    async fn find_control(&self, log: &LogId, wanted: impl Fn(&Control) -> bool) -> Result<Option<Control>> {
        let mut pages = Pages::new(self.0.log.as_ref(), log, Seq::ZERO, PAGE);
        while let Some(page) = pages.next().await? {
            for record in page.iter().filter(|record| LogRecord::is_control(&record.payload)) {
                let Ok(LogRecord::Control(control)) = LogRecord::decode(&record.payload) else { continue };
                if wanted(&control) {
                    return Ok(Some(control));
                }
            }
        }
        Ok(None)
    }

    /// Whether all of it is there still.
    pub(super) async fn is_whole(&self, log: &LogId, copied: &Copied) -> Result<bool> {
        let (mark, tail) = tokio::try_join!(self.mark_of(log), self.0.log.tail(log))?;
        Ok(mark.as_ref() == Some(&copied.mark) && tail >= copied.tail)
    }

    /// Removes what is in this log that no conversation has, and a copy only if nobody makes it any more. Whoever calls it has the
    /// id in hand.
    ///
    /// # Errors
    /// `Unavailable`: an import into the cluster brings it, or was cut off there and is to be given again. Those of the store.
    pub(super) async fn remove_left(&self, id: ConversationId, log: &LogId) -> Result<()> {
        // Most logs have nothing, and of those nothing else is asked.
        let Some(first) = self.first_of(log).await? else { return Ok(()) };
        let (mark, others) = (Mark::of(&first), self.others());
        if others == Others::Some && is_brought(&first) && self.0.index.read(id).await?.is_none() {
            return Err(away("a conversation is being brought to this id"));
        }
        match mark.is_none_or(|mark| self.0.marks.is_left(log, mark, others, Instant::now())) {
            true => self.remove_copy(id, log, mark.as_ref()).await,
            false => Ok(()),
        }
    }

    /// Removes what was copied, unless a conversation has it.
    pub(super) async fn discard_copy(&self, id: ConversationId, log: &LogId, copied: &Copied) {
        self.discard(id, log, &copied.mark).await;
    }

    async fn discard(&self, id: ConversationId, log: &LogId, mark: &Mark) {
        if let Err(error) = self.remove_copy(id, log, Some(mark)).await {
            tracing::warn!(%log, %error, "a copy that nobody knows of is left for now");
        }
    }

    /// Removes the copy with this mark, or what has none, unless a conversation has it. Another one may have been begun in its place
    /// at any moment: what was there before it was looked for is no part of that one.
    async fn remove_copy(&self, id: ConversationId, log: &LogId, mark: Option<&Mark>) -> Result<()> {
        let extent = self.0.log.extent(log).await?;
        if self.mark_of(log).await?.as_ref() != mark {
            return Ok(());
        }
        let record = self.0.index.read_in_turn(id).await?;
        match record.is_some_and(|record| record.sandbox == *log.sandbox()) {
            true => Ok(()),
            false => self.0.log.remove(log, extent).await,
        }
    }

    /// Whether somebody has the id who does not withdraw his record, as one does who has seen that the copy is begun.
    async fn stays_taken(&self, id: ConversationId) -> Result<bool> {
        for _ in 0..WITHDRAWALS {
            if self.0.index.read(id).await?.is_none() {
                return Ok(false);
            }
            sleep(WITHDRAWING).await;
        }
        Ok(self.0.index.read(id).await?.is_some())
    }

    /// What is told of an id under which something is stored.
    async fn taken(&self, id: ConversationId) -> Result<Error> {
        Ok(match self.0.index.read(id).await? {
            Some(_) => Error::Conflict { tail: None },
            None => away("another copy is made to this id, or was cut off"),
        })
    }

    async fn mark_of(&self, log: &LogId) -> Result<Option<Mark>> {
        Ok(self.first_of(log).await?.as_ref().and_then(Mark::of))
    }

    async fn first_of(&self, log: &LogId) -> Result<Option<Record>> {
        Ok(self.0.log.read(log, Seq::ZERO, 1).await?.into_iter().next())
    }

    async fn copy_all(&self, from: &LogId, id: ConversationId, copy: &mut Copy, which: &Which) -> Result<()> {
        copy.store().await?;
        // Whoever has stored it before the copy was begun may have opened it by now. The mark says nothing there.
        if self.stays_taken(id).await? {
            return Err(Error::Conflict { tail: None });
        }
        let end = self.0.log.tail(from).await?;
        let mut read = Seq::ZERO;
        let mut pages = Pages::new(self.0.log.as_ref(), from, Seq::ZERO, PAGE);
        while let Some(page) = pages.next().await? {
            for record in page.iter().take_while(|record| record.seq <= end) {
                if copy.parts.are_full_with(record.payload.len()) {
                    copy.store().await?;
                }
                copy.parts.take(record, which)?;
                read = record.seq;
            }
            // What is added meanwhile is not part of it.
            if page.last().is_some_and(|last| last.seq >= end) {
                break;
            }
        }
        // It was deleted meanwhile: its front goes first, or all at once.
        if read < end || self.0.log.tail(from).await? < end {
            return Err(Error::NotFound);
        }
        if copy.parts.are_full_with(0) {
            copy.store().await?;
        }
        copy.parts.push(LogRecord::Control(Control::Forked { at: None, by: None }))?;
        copy.store().await
    }
}

impl Copy {
    /// With nothing stored yet; its mark comes first.
    fn begun(log: Arc<dyn EventLog>, to: &LogId, mark: Mark) -> Result<Self> {
        let writer = LogWriter::new(log, to.clone(), NONE, Seq::ZERO, Some(NONE)).map_err(error_of)?;
        let mut parts = Parts::default();
        parts.push(mark.record())?;
        Ok(Self { writer, parts })
    }

    async fn store(&mut self) -> Result<()> {
        self.parts.bytes = 0;
        let batch = self.writer.batch(take(&mut self.parts.records)).map_err(error_of)?;
        let mut pauses = PAUSES;
        for _ in 1..TRIES {
            match self.try_to_store(&batch).await {
                Err(Error::Unavailable(_)) => sleep(pauses.pause()).await,
                stored => return stored,
            }
        }
        self.try_to_store(&batch).await
    }

    async fn try_to_store(&mut self, batch: &Batch) -> Result<()> {
        match self.writer.store(batch).await {
            Ok(_) => Ok(()),
            Err(Trouble::NotNow(error)) => Err(away(&error.to_string())),
            Err(Trouble::Lost(loss)) => Err(error_of(loss)),
        }
    }
}

impl Parts {
    /// Whether what is to be stored next has no room for a record of so many bytes.
    fn are_full_with(&self, bytes: usize) -> bool {
        !self.records.is_empty() && self.bytes.saturating_add(bytes) > TOGETHER
    }

    /// What cannot be read is not copied.
    fn take(&mut self, record: &Record, which: &Which) -> Result<()> {
        let Ok(read) = LogRecord::decode(&record.payload) else { return Ok(()) };
        match read {
            LogRecord::Event { event, .. } if which.has(record.seq, event.get()) => {
                let n = self.events;
                self.events += 1;
                self.push(LogRecord::Event { n, event })
            }
            LogRecord::Control(control) if which.has_control(&control) => {
                self.push(LogRecord::Control(control))
            }
            LogRecord::Event { .. } | LogRecord::Control(_) => Ok(()),
        }
    }

    fn push(&mut self, record: LogRecord) -> Result<()> {
        let record = encoded(record)?;
        self.bytes += record.len();
        self.records.push(record);
        Ok(())
    }
}

impl Which {
    /// What of a conversation's state has no place in its record is told by state updates, which are on no branch.
    fn has(&self, seq: Seq, event: &str) -> bool {
        let Some(branch) = &self.branch else { return true };
        if branch.contains(seq) {
            return true;
        }
        let Ok(head) = Head::of(event) else { return false };
        head.kind == "ConversationStateUpdateEvent" && is_of_the_agent(event)
    }

    fn has_control(&self, control: &Control) -> bool {
        match control {
            Control::Usage(_) | Control::Models { .. } => self.has_costs,
            // What another server said of all of it.
            Control::Brought(_) => self.has_costs && self.branch.is_none(),
            // It names an event, which keeps its id.
            Control::Answer { .. } => true,
            // A branch alone ends with its head.
            Control::Head { .. } => self.branch.is_none(),
            // They are of the workers that wrote them, and of an earlier copy.
            Control::Fence { .. } | Control::RunEnded {} | Control::Forked { .. } => false,
        }
    }
}

fn is_of_the_agent(update: &str) -> bool {
    #[derive(Deserialize)]
    struct Update {
        key: String,
    }
    let update: Option<Update> = serde_json::from_str(update).ok();
    update.is_some_and(|Update { key }| key == "agent" || announced::KEYS.contains(&key.as_str()))
}

fn encoded(record: LogRecord) -> Result<Bytes> {
    record.encode().map(Bytes::from).map_err(|error| Error::Internal(error.to_string()))
}

fn error_of(loss: Loss) -> Error {
    match loss {
        Loss::Refused(error) => error,
        Loss::Fenced | Loss::Changed => Error::Conflict { tail: None },
    }
}

fn away(why: &str) -> Error {
    Error::Unavailable(why.to_owned())
}

/// Whether a log with this record in front is brought from elsewhere.
fn is_brought(first: &Record) -> bool {
    fence_of(first) == Some(Epoch::BEFORE_ALL_WORKERS)
}

fn is_of_a_worker(record: &Record) -> bool {
    fence_of(record).is_some_and(|epoch| epoch > Epoch::BEFORE_ALL_WORKERS)
}

fn fence_of(record: &Record) -> Option<Epoch> {
    match LogRecord::decode(&record.payload) {
        Ok(LogRecord::Control(Control::Fence { epoch })) => Some(epoch),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use types::stats;

    use super::*;

    fn event(n: u64, id: &str) -> LogRecord {
        LogRecord::event(n, &json!({"id": id, "timestamp": "t", "kind": "MessageEvent"})).unwrap()
    }

    fn log() -> Vec<Vec<u8>> {
        let records = [
            LogRecord::Control(Control::Fence { epoch: Epoch(1) }),
            event(0, "a"),
            LogRecord::Control(Control::Models { usage_to_model: Vec::new() }),
            LogRecord::Control(Control::Usage(stats::Usage {
                usage_id: "agent".to_owned(),
                tokens: stats::TokenUsage::default(),
                cost: 1.0,
                latency: 1.0,
                at: 1.0,
            })),
            event(1, "b"),
            LogRecord::Control(Control::RunEnded {}),
            LogRecord::Control(Control::Head { event: Some("a".into()) }),
            event(2, "c"),
        ];
        let mut log: Vec<_> = records.map(|record| record.encode().unwrap()).into();
        log.insert(5, b"{torn".to_vec());
        log
    }

    /// What stands in the copy, in short.
    fn copied(which: &Which) -> Vec<String> {
        let mut copy = Parts::default();
        for (at, record) in log().into_iter().enumerate() {
            let record = Record { seq: Seq(at as u64 + 1), payload: record.into() };
            copy.take(&record, which).unwrap();
        }
        let short = |record: &Bytes| match LogRecord::decode(record).unwrap() {
            LogRecord::Event { n, event } => format!("{n}{}", Head::of(event.get()).unwrap().id),
            LogRecord::Control(control) => {
                serde_json::to_value(control).unwrap()["type"].as_str().unwrap().to_owned()
            }
        };
        copy.records.iter().map(short).collect()
    }

    #[test]
    fn a_whole_copy_has_what_clients_and_agents_know() {
        let which = Which { branch: None, has_costs: true };
        assert_eq!(copied(&which), ["0a", "models", "usage", "1b", "head", "2c"]);
        let which = Which { branch: None, has_costs: false };
        assert_eq!(copied(&which), ["0a", "1b", "head", "2c"]);
    }

    /// Else thoughts that an earlier model has signed went to the present one.
    #[test]
    fn a_branch_knows_of_all_changes_of_its_agent() {
        let update = |id: &str, key: &str| {
            let update =
                json!({"id": id, "timestamp": "t", "kind": "ConversationStateUpdateEvent", "key": key});
            update.to_string()
        };
        let which = Which { branch: Some(Branch::default()), has_costs: false };
        let has = |update: &str| which.has(Seq(1), update);
        assert!(has(&update("u", "agent")) && has(&update("v", "invoked_skills")));
        assert!(!has(&update("w", "tags")));
    }
}

//! Copying the log of a conversation to that of another one, which has no record yet.
//!
//! **A copy begins and ends with `forked`.** The store takes the beginning of a log from one writer alone, so of two that copy
//! to one log one is refused, with nothing mixed. The first `forked` also keeps a copy and a conversation that somebody else
//! makes under its id apart: the copy is begun and then the record looked for, a record is stored and then the log looked at. So
//! at least one of the two sees the other, and gives way: the copy ends where it has begun, or the record is withdrawn.
//!
//! **What a crash leaves** is a copy without a record. In one process it is removed by who needs its id; in a cluster another
//! gateway may be copying this moment, so the id is taken until the store is swept.

use std::mem::take;

use bytes::Bytes;
use ports::log::Pages;
use ports::storage::Sums;
use ports::{Error, Record, Result};
use serde::Deserialize;
use types::announced;
use types::branch::Branch;
use types::event::Head;
use types::log::{Control, LogRecord};
use types::{ConversationId, LogId, SandboxId, Seq};

use super::Conversations;
use crate::placement::Creation;

/// Records that are read at once.
const PAGE: usize = 256;
/// Bytes of records that are stored together, unless a single one has more.
const TOGETHER: usize = 256 * 1024;

const FULL: &str = "There is no room for a copy of this conversation: its sandbox stores as much as it may. Delete \
conversations of it first.";

/// What of a log is copied.
pub(super) struct Which {
    /// Of its events; `None`: all.
    pub(super) branch: Option<Branch>,
    /// Whether what its models are and have cost is copied, too.
    pub(super) has_costs: bool,
}

/// How far a copy has come.
struct Copy<'a> {
    to: &'a LogId,
    tail: Seq,
    events: u64,
    stored: u64,
    /// To be stored next.
    records: Vec<Bytes>,
    bytes: usize,
}

impl Conversations {
    /// Copies what `from` has now to `to`, the log of the conversation `id`. Where it ends. What goes wrong on the way leaves
    /// nothing.
    ///
    /// # Errors
    /// `Conflict`: that conversation is there, or somebody else makes it. `NotFound`: the source was deleted meanwhile. `Full`:
    /// there is no room. Those of the store.
    pub(super) async fn copy_log(
        &self,
        from: &LogId,
        id: ConversationId,
        to: &LogId,
        which: &Which,
    ) -> Result<Seq> {
        let mut copy = Copy { to, tail: Seq::ZERO, events: 0, stored: 0, records: Vec::new(), bytes: 0 };
        self.remove_left_copy(id, to).await?;
        if let Err(error) = self.begin_copy(&mut copy).await {
            if matches!(error, Error::Unavailable(_)) {
                // Perhaps it is begun all the same.
                self.discard_copy(to).await;
            }
            return Err(error);
        }
        // Whoever has stored it before the copy was begun may have opened it by now. The mark says nothing there.
        if self.0.index.read(id).await?.is_some() {
            return Err(Error::Conflict { tail: Some(copy.tail) });
        }
        let copied = self.copy_all(from, &mut copy, which).await;
        match copied {
            Ok(()) => Ok(copy.tail),
            // Somebody else has written there.
            Err(Error::Conflict { tail }) => Err(Error::Conflict { tail }),
            Err(error) => {
                self.discard_copy(to).await;
                self.count(to.sandbox(), -signed(copy.stored)).await;
                Err(error)
            }
        }
    }

    /// Whether the log begins as a copy does.
    pub(super) async fn is_copy(&self, log: &LogId) -> Result<bool> {
        let first = self.0.log.read(log, Seq::ZERO, 1).await?;
        let is_mark = |record: &Record| {
            matches!(LogRecord::decode(&record.payload), Ok(LogRecord::Control(Control::Forked {})))
        };
        Ok(first.first().is_some_and(is_mark))
    }

    /// Removes a copy to this log that a crash has left, where nobody else can be making one. Whoever calls it has the id
    /// in hand.
    pub(super) async fn remove_left_copy(&self, id: ConversationId, log: &LogId) -> Result<()> {
        let is_alone = self.placement().creation() == Creation::Complete;
        if is_alone && self.is_copy(log).await? && self.0.index.read(id).await?.is_none() {
            self.0.log.delete(log).await?;
        }
        Ok(())
    }

    /// Removes what was copied, unless a conversation has it.
    pub(super) async fn discard_copy(&self, log: &LogId) {
        let discarded = async {
            let extent = self.0.log.extent(log).await?;
            let id = log.of_conversation().ok_or(Error::NotFound)?;
            match self.0.index.read(id).await? {
                Some(_) => Ok(()),
                None => self.0.log.remove(log, extent).await,
            }
        };
        if let Err(error) = discarded.await {
            tracing::warn!(%log, %error, "a copy that nobody knows of is left for now");
        }
    }

    async fn begin_copy(&self, copy: &mut Copy<'_>) -> Result<()> {
        copy.push(LogRecord::Control(Control::Forked {}))?;
        self.store_copied(copy).await
    }

    async fn copy_all(&self, from: &LogId, copy: &mut Copy<'_>, which: &Which) -> Result<()> {
        let end = self.0.log.tail(from).await?;
        let mut read = Seq::ZERO;
        let mut pages = Pages::new(self.0.log.as_ref(), from, Seq::ZERO, PAGE);
        while let Some(page) = pages.next().await? {
            for record in page.iter().take_while(|record| record.seq <= end) {
                if copy.is_full_with(record.payload.len()) {
                    self.store_copied(copy).await?;
                }
                copy.take(&record.payload, which)?;
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
        if copy.is_full_with(0) {
            self.store_copied(copy).await?;
        }
        copy.push(LogRecord::Control(Control::Forked {}))?;
        self.store_copied(copy).await
    }

    async fn store_copied(&self, copy: &mut Copy<'_>) -> Result<()> {
        let bytes = copy.bytes as u64;
        if let Some(most) = self.0.most_stored {
            let sum = Sums::of(self.0.kv.as_ref()).get(copy.to.sandbox()).await?.unwrap_or_default();
            if sum.saturating_add(signed(bytes)) > signed(most) {
                return Err(Error::Full(FULL.to_owned()));
            }
        }
        copy.tail = self.0.log.append(copy.to, copy.tail, take(&mut copy.records)).await?.tail();
        copy.bytes = 0;
        copy.stored += bytes;
        self.count(copy.to.sandbox(), signed(bytes)).await;
        Ok(())
    }

    /// The sum is put right when the sandbox is weighed, whatever becomes of this.
    async fn count(&self, sandbox: &SandboxId, bytes: i64) {
        if self.0.most_stored.is_none() {
            return;
        }
        if let Err(error) = Sums::of(self.0.kv.as_ref()).add(sandbox, bytes).await {
            tracing::warn!(sandbox.id = %sandbox, %error, "what was copied is not counted");
        }
    }
}

impl Copy<'_> {
    /// Whether what is to be stored next has no room for a record of so many bytes.
    fn is_full_with(&self, bytes: usize) -> bool {
        !self.records.is_empty() && self.bytes.saturating_add(bytes) > TOGETHER
    }

    /// What cannot be read is not copied.
    fn take(&mut self, payload: &[u8], which: &Which) -> Result<()> {
        let Ok(record) = LogRecord::decode(payload) else { return Ok(()) };
        match record {
            LogRecord::Event { event, .. } if which.has(event.get()) => {
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
        let record = record.encode().map_err(|error| Error::Internal(error.to_string()))?;
        self.bytes += record.len();
        self.records.push(record.into());
        Ok(())
    }
}

impl Which {
    /// What of a conversation's state has no place in its record is told by state updates, which are on no branch.
    fn has(&self, event: &str) -> bool {
        let Some(branch) = &self.branch else { return true };
        let Ok(head) = Head::of(event) else { return false };
        branch.contains(&head.id) || head.kind == "ConversationStateUpdateEvent" && is_of_the_agent(event)
    }

    fn has_control(&self, control: &Control) -> bool {
        match control {
            Control::Usage(_) | Control::Models { .. } => self.has_costs,
            // What another server said of all of it.
            Control::Brought(_) => self.has_costs && self.branch.is_none(),
            // A branch alone ends with its head.
            Control::Head { .. } => self.branch.is_none(),
            // They are of the workers that wrote them, and of an earlier copy.
            Control::Fence { .. } | Control::RunEnded {} | Control::Forked {} => false,
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

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use types::branch::Tree;
    use types::{Epoch, stats};

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
        let to = LogId::conversation(&SandboxId::shared(), types::ConversationId::random());
        let mut copy = Copy { to: &to, tail: Seq::ZERO, events: 0, stored: 0, records: Vec::new(), bytes: 0 };
        log().iter().for_each(|record| copy.take(record, which).unwrap());
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
        assert!(which.has(&update("u", "agent")) && which.has(&update("v", "invoked_skills")));
        assert!(!which.has(&update("w", "tags")));
    }

    #[test]
    fn a_branch_has_its_events_numbered_anew() {
        let mut tree = Tree::default();
        tree.add("a", None);
        tree.add("b", Some("a"));
        tree.add("c", Some("a"));
        let which = Which { branch: tree.branch(Some("c")), has_costs: false };
        assert_eq!(copied(&which), ["0a", "1c"]);
    }
}

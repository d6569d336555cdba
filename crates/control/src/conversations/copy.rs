//! Copying the log of a conversation to that of another one, which has no record yet: nobody else knows of it, and the store
//! takes the beginning of a log from one writer alone. So of two that copy to one log one is refused, with nothing mixed.
//! A copy begins and ends with `forked`.

use std::mem::take;

use bytes::Bytes;
use ports::log::Pages;
use ports::storage::Sums;
use ports::{Error, Result};
use types::branch::Branch;
use types::event::Head;
use types::log::{Control, LogRecord};
use types::{LogId, SandboxId, Seq};

use super::Conversations;

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
    /// Copies what `from` has now to `to`, which is empty. What goes wrong on the way leaves nothing.
    ///
    /// # Errors
    /// `Conflict`: somebody else has begun that log. `Full`: there is no room. Those of the store.
    pub(super) async fn copy_log(&self, from: &LogId, to: &LogId, which: &Which) -> Result<()> {
        let mut copy = Copy { to, tail: Seq::ZERO, events: 0, stored: 0, records: Vec::new(), bytes: 0 };
        let copied = self.copy_all(from, &mut copy, which).await;
        if copied.is_err() && copy.tail > Seq::ZERO {
            self.discard_copy(to).await;
            self.count(to.sandbox(), -signed(copy.stored)).await;
        }
        copied
    }

    /// Removes a log that was copied and has no record.
    pub(super) async fn discard_copy(&self, log: &LogId) {
        if let Err(error) = self.0.log.delete(log).await {
            tracing::warn!(%log, %error, "a copy that nobody knows of is left for now");
        }
    }

    async fn copy_all(&self, from: &LogId, copy: &mut Copy<'_>, which: &Which) -> Result<()> {
        let end = self.0.log.tail(from).await?;
        // Whoever sweeps knows by it that the log may have no record yet.
        copy.push(LogRecord::Control(Control::Forked {}))?;
        let mut pages = Pages::new(self.0.log.as_ref(), from, Seq::ZERO, PAGE);
        while let Some(page) = pages.next().await? {
            for record in page.iter().take_while(|record| record.seq <= end) {
                if copy.is_full_with(record.payload.len()) {
                    self.store_copied(copy).await?;
                }
                copy.take(&record.payload, which)?;
            }
            // What is added meanwhile is not part of it.
            if page.last().is_some_and(|last| last.seq >= end) {
                break;
            }
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
    fn has(&self, event: &str) -> bool {
        let Some(branch) = &self.branch else { return true };
        Head::of(event).is_ok_and(|head| branch.contains(&head.id))
    }

    fn has_control(&self, control: &Control) -> bool {
        match control {
            Control::Usage(_) | Control::Models { .. } => self.has_costs,
            // A branch alone ends with its head.
            Control::Head { .. } => self.branch.is_none(),
            // They are of the workers that wrote them, and of an earlier copy.
            Control::Fence { .. } | Control::RunEnded {} | Control::Forked {} => false,
        }
    }
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

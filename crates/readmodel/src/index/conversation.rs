//! One conversation in memory: its record, the fold of its log, and who waits for either.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ports::EventLog;
use ports::mutants::{self, Mutant};
use ports::rpc::Fault;
use serde_json::value::RawValue;
use tokio::sync::watch;
use types::calls::{Command, ConversationCall};
use types::conversation::{ConversationRecord, Origin, Projection, Status};
use types::log::LogRecord;
use types::{ConversationId, LogId, Seq, TenantId};

use super::agent_text::{AgentText, SharedTexts};
use super::pulse::Pulse;
use super::records::Sighting;
use crate::followed::{Fold, Folded, FollowedLog, Mark, Taped};

/// One conversation. Everything in it is a copy of what is stored.
pub struct ConversationState {
    pub id: ConversationId,
    /// Whose it is, for ever.
    pub tenant: TenantId,
    pub log: LogId,
    pub(super) created_at: Arc<str>,
    /// Held while the first message is delivered, so that it is delivered once. Says what came of it last, and when: to those
    /// who waited for it.
    pub delivery: tokio::sync::Mutex<Option<(Instant, Result<bool, Fault>)>>,
    /// Held while its creation is completed.
    pub beginning: tokio::sync::Mutex<()>,
    /// When it was driven last, for the closing snapshots.
    pub pulse: Pulse,
    pub(crate) followed: FollowedLog<State>,
}

pub(crate) struct State {
    /// Without the agent object, which is in `agent`.
    pub(super) record: Arc<ConversationRecord>,
    pub(super) revision: u64,
    pub(super) agent: Arc<AgentText>,
    pub(super) projection: Projection,
    /// Where the stored projection stands.
    saved: Seq,
    pub(super) folded_at: Instant,
    /// Whether it was said that there are records that cannot be read.
    is_odd: bool,
}

/// What the orders of lists depend on.
pub(super) struct SortKey {
    pub(super) status: Status,
    /// UTC with `Z`.
    pub(super) updated: String,
}

impl ConversationState {
    pub(super) fn new(seen: Sighting, projection: Projection, texts: SharedTexts) -> Self {
        let Sighting { record, agent, revision } = seen;
        let log = LogId::conversation(&record.sandbox, record.id);
        let created_at: Arc<str> = record.created_at.as_str().into();
        let (id, tenant) = (record.id, record.tenant.clone());
        let state = State {
            record: Arc::new(record),
            revision,
            agent: Arc::new(AgentText::new(agent, texts)),
            saved: projection.seq,
            projection,
            folded_at: Instant::now(),
            is_odd: false,
        };
        Self {
            id,
            tenant,
            log: log.clone(),
            created_at,
            delivery: tokio::sync::Mutex::default(),
            beginning: tokio::sync::Mutex::default(),
            pulse: Pulse::default(),
            followed: FollowedLog::new(log, state),
        }
    }

    /// The record as stored, secrets sealed, its `agent` null.
    #[must_use]
    pub fn record(&self) -> Arc<ConversationRecord> {
        self.state().record.clone()
    }

    /// UTC with `Z`. Tells a conversation from an earlier one with its id.
    #[must_use]
    pub fn created_at(&self) -> Arc<str> {
        self.created_at.clone()
    }

    /// A command for this conversation, and for none that has its id after it.
    #[must_use]
    pub fn call(&self, command: Command) -> ConversationCall {
        ConversationCall { conversation: self.id, created_at: self.created_at.to_string(), command }
    }

    #[must_use]
    pub fn status(&self) -> Status {
        self.state().status()
    }

    /// The last record folded in.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.followed.mark().at
    }

    /// Events in the log.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.state().projection.events
    }

    /// Reads what the log says.
    pub fn with_projection<T>(&self, read: impl FnOnce(&Projection) -> T) -> T {
        read(&self.state().projection)
    }

    /// Whether nothing in its log is of another conversation, as far as its records have told.
    #[must_use]
    pub fn has_its_own_log(&self) -> bool {
        self.state().projection.origin == Origin::Own
    }

    /// Whoever has read the log up to `seq` has found nothing else in it.
    pub fn found_its_own_log(&self, seq: Seq) {
        let mut state = self.state();
        // Another log may have been begun in its place.
        if seq > Seq::ZERO && state.projection.seq >= seq {
            state.projection.origin = Origin::Own;
        }
    }

    /// Changes whenever what is shown of the conversation does.
    #[must_use]
    pub fn version(&self) -> (Seq, u64) {
        let state = self.state();
        (state.projection.seq, state.revision)
    }

    /// Tells of records folded in from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Mark> {
        self.followed.watch()
    }

    /// Begins to keep the newest records at hand, for [`ConversationState::after`].
    pub fn start_tape(&self) -> Seq {
        self.followed.start_tape()
    }

    pub fn stop_tape(&self) {
        self.followed.stop_tape();
    }

    /// As [`FollowedLog::after`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn after(&self, store: &dyn EventLog, at: Seq, limit: usize) -> ports::Result<Vec<Taped>> {
        self.followed.after(store, at, limit).await
    }

    pub(super) fn state(&self) -> Folded<'_, State> {
        self.followed.fold()
    }

    pub(super) fn sort_key(&self) -> SortKey {
        let state = self.state();
        SortKey { status: state.status(), updated: state.updated_at(&self.created_at) }
    }

    /// As [`ConversationRecord::is_same`].
    #[must_use]
    pub fn is_of(&self, record: &ConversationRecord) -> bool {
        self.record().is_same(record) || mutants::is(Mutant::IndexByName)
    }

    /// Takes over a newer record.
    pub(super) fn replace_record(&self, seen: Sighting) {
        let mut state = self.state();
        if seen.revision > state.revision {
            state.record = Arc::new(seen.record);
            state.agent = Arc::new(state.agent.followed_by(seen.agent));
            state.revision = seen.revision;
        }
    }

    /// The projection to store, if it is worth it: behind, at rest, and quiet for `quiet`.
    pub(super) fn due_for_saving(&self, quiet: Duration) -> Option<Projection> {
        let state = self.state();
        let behind = state.saved < state.projection.seq;
        let resting = state.projection.status != Status::Running && state.folded_at.elapsed() >= quiet;
        (behind && resting).then(|| state.projection.clone())
    }

    pub(super) fn saved(&self, seq: Seq) {
        let mut state = self.state();
        state.saved = state.saved.max(seq);
    }
}

impl Fold for State {
    /// Whether the order of lists may have changed.
    type News = bool;

    fn at(&self) -> Seq {
        self.projection.seq
    }

    fn take(&mut self, _: Seq, seq: Seq, payload: &Bytes) -> bool {
        self.folded_at = Instant::now();
        let record = match LogRecord::<&RawValue>::decode_as(payload) {
            Ok(record) => record,
            Err(error) => {
                // A worker may write as many as it likes.
                if !std::mem::replace(&mut self.is_odd, true) {
                    tracing::warn!(conversation.id = %self.record.id, seq = seq.0, %error,
                        "a record cannot be read; others of this log are passed over silently");
                }
                self.projection.seq = seq;
                return false;
            }
        };
        let status = self.projection.status;
        let leaf = matches!(record, LogRecord::Event { .. });
        self.projection.apply(seq, &record);
        leaf || self.projection.status != status
    }

    fn restart(&mut self) {
        (self.projection, self.saved) = (Projection::default(), Seq::ZERO);
    }
}

impl State {
    /// As clients are told: one whose first message was refused, and to which nothing else was said, has failed.
    pub(super) fn status(&self) -> Status {
        let is_refused = self.record.refused.is_some() && self.projection.last_user_message_id.is_none();
        match self.projection.status {
            Status::Idle if is_refused => Status::Error,
            status => status,
        }
    }

    pub(super) fn updated_at(&self, created_at: &str) -> String {
        let touched = self.projection.touched.as_deref().and_then(types::time::local_as_utc);
        touched.filter(|touched| touched.as_str() > created_at).unwrap_or_else(|| created_at.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    impl ConversationState {
        /// Some conversation without a log.
        pub(crate) fn sample() -> Self {
            entry()
        }
    }

    fn entry() -> ConversationState {
        let record = json!({"id": ConversationId::random(), "sandbox": "default", "created_at": "2026-11-23T00:00:00.000000Z",
            "title": null, "workspace": {"working_dir": "/w", "kind": "LocalWorkspace"}, "agent": {}, "max_iterations": 1,
            "stuck_detection": true, "confirmation_policy": {"kind": "NeverConfirm"}, "security_analyzer": null});
        let agent = serde_json::value::to_raw_value(&json!({})).unwrap();
        let record = serde_json::from_value(record).unwrap();
        let seen = Sighting { record, agent, revision: 1 };
        ConversationState::new(seen, Projection::default(), SharedTexts::default())
    }

    fn message(n: u64) -> Bytes {
        let event = json!({"id": "m", "timestamp": "2026-11-23T00:00:01", "kind": "MessageEvent"});
        LogRecord::event(n, &event).unwrap().encode().unwrap().into()
    }

    #[test]
    fn what_several_fold_at_once_is_announced_before_any_of_them_finds_it_known() {
        const RECORDS: u64 = 20_000;
        let (entry, payload) = (entry(), message(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..RECORDS {
                        entry.followed.take(Seq(n), Seq(n + 1), &payload);
                        assert!(entry.seq() > Seq(n));
                    }
                });
            }
        });
        assert_eq!(entry.seq(), Seq(RECORDS));
    }

    #[test]
    fn a_record_that_cannot_be_read_moves_the_position_and_nothing_else() {
        let entry = entry();
        let running = json!({"id": "u", "timestamp": "2026-11-23T00:00:01", "kind": "ConversationStateUpdateEvent",
            "key": "execution_status", "value": "running"});
        let running = LogRecord::event(0, &running).unwrap().encode().unwrap().into();
        entry.followed.take(Seq(0), Seq(10), &running);
        let before = entry.with_projection(Clone::clone);
        entry.followed.take(Seq(10), Seq(20), &Bytes::from_static(b"{torn"));
        assert_eq!(entry.with_projection(Clone::clone), Projection { seq: Seq(20), ..before });
        entry.followed.take(Seq(20), Seq(30), &message(1));
        assert_eq!((entry.events(), entry.seq()), (2, Seq(30)));
    }
}

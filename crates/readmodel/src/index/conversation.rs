//! One conversation in memory: its record, the fold of its log, and who waits for either.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ports::LogId;
use tokio::sync::watch;
use types::conversation::{ConversationRecord, Projection, Status};
use types::log::{Control, LogRecord};
use types::{ConversationId, Seq, TenantId};

use super::agent_text::AgentText;
use super::pulse::Pulse;
use super::records::Sighting;

/// How much of the newest records a conversation with sockets keeps at hand.
const TAPE_RECORDS: usize = 512;
const TAPE_BYTES: usize = 4 * 1024 * 1024;

/// One conversation. Everything in it is a copy of what is stored.
pub struct ConversationState {
    pub id: ConversationId,
    /// Whose it is, for ever.
    pub tenant: TenantId,
    pub log: LogId,
    pub(super) created_at: Arc<str>,
    /// Held while the first message is delivered, so that it is delivered once.
    pub delivery: tokio::sync::Mutex<()>,
    /// When it was driven last, for the closing snapshots.
    pub pulse: Pulse,
    folded: watch::Sender<Seq>,
    state: Mutex<State>,
}

pub(super) struct State {
    /// Without the agent object, which is in `agent`.
    pub(super) record: Arc<ConversationRecord>,
    pub(super) revision: u64,
    pub(super) agent: Arc<AgentText>,
    pub(super) projection: Projection,
    /// Where the stored projection stands.
    saved: Seq,
    folded_at: Instant,
    tape: Option<VecDeque<Taped>>,
    taped_bytes: usize,
}

/// A stored record with its position and the one before it.
#[derive(Clone, Debug)]
pub struct Taped {
    pub prev: Seq,
    pub seq: Seq,
    pub payload: Bytes,
}

/// What one more record did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Folded {
    /// It was known.
    Known,
    /// Records before it are missing: read the log.
    Gap,
    New {
        /// The order of lists may have changed.
        moved: bool,
    },
}

/// What the orders of lists depend on.
pub(super) struct SortKey {
    pub(super) status: Status,
    /// UTC with `Z`.
    pub(super) updated: String,
}

impl ConversationState {
    pub(super) fn new(seen: Sighting, projection: Projection) -> Self {
        let Sighting { record, agent, revision } = seen;
        Self {
            id: record.id,
            tenant: record.tenant.clone(),
            log: LogId::conversation(&record.sandbox, record.id),
            created_at: record.created_at.as_str().into(),
            delivery: tokio::sync::Mutex::default(),
            pulse: Pulse::default(),
            folded: watch::Sender::new(projection.seq),
            state: Mutex::new(State {
                record: Arc::new(record),
                revision,
                agent: Arc::new(AgentText::new(agent)),
                saved: projection.seq,
                projection,
                folded_at: Instant::now(),
                tape: None,
                taped_bytes: 0,
            }),
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

    #[must_use]
    pub fn status(&self) -> Status {
        self.state().projection.status
    }

    /// The last record folded in.
    #[must_use]
    pub fn seq(&self) -> Seq {
        *self.folded.borrow()
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

    /// Changes whenever what is shown of the conversation does.
    #[must_use]
    pub fn version(&self) -> (Seq, u64) {
        let state = self.state();
        (state.projection.seq, state.revision)
    }

    /// Tells of records folded in from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Seq> {
        self.folded.subscribe()
    }

    /// Begins to keep the newest records at hand, for [`ConversationState::taped_after`].
    pub fn start_tape(&self) -> Seq {
        let mut state = self.state();
        state.tape.get_or_insert_default();
        state.projection.seq
    }

    pub fn stop_tape(&self) {
        let mut state = self.state();
        state.tape = None;
        state.taped_bytes = 0;
    }

    /// All records after `at` that are folded in; `None` when some of them are not at hand any more.
    pub fn taped_after(&self, at: Seq) -> Option<Vec<Taped>> {
        let state = self.state();
        if at >= state.projection.seq {
            return Some(Vec::new());
        }
        let tape = state.tape.as_ref()?;
        let from = tape.iter().position(|taped| taped.prev == at)?;
        Some(tape.iter().skip(from).cloned().collect())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sort_key(&self) -> SortKey {
        let state = self.state();
        SortKey { status: state.projection.status, updated: state.updated_at(&self.created_at) }
    }

    /// Folds in one record; `prev` is the position before it.
    pub(super) fn fold(&self, prev: Seq, seq: Seq, payload: &Bytes) -> Folded {
        let mut state = self.state();
        let known = state.projection.seq;
        if seq <= known {
            return Folded::Known;
        }
        if prev != known {
            return Folded::Gap;
        }
        let moved = state.apply(seq, payload);
        state.keep(Taped { prev, seq, payload: payload.clone() });
        // Under the lock: who finds a record known finds it announced, and announcements keep their order.
        self.folded.send_replace(seq);
        Folded::New { moved }
    }

    /// The log ends before the fold does: it is another one, or was cut.
    pub(super) fn forget_projection(&self) {
        let mut state = self.state();
        state.projection = Projection::default();
        state.saved = Seq::ZERO;
        self.folded.send_replace(Seq::ZERO);
    }

    /// Whether `record` is of this conversation, and not of one that has its id after it, or before.
    pub(super) fn is_of(&self, record: &ConversationRecord) -> bool {
        let log = LogId::conversation(&record.sandbox, record.id);
        self.log == log && self.tenant == record.tenant && *self.created_at == *record.created_at
    }

    /// Takes over a newer record.
    pub(super) fn replace_record(&self, seen: Sighting) {
        let mut state = self.state();
        if seen.revision > state.revision {
            state.record = Arc::new(seen.record);
            state.agent = Arc::new(AgentText::new(seen.agent));
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

impl State {
    /// Whether the order of lists may have changed.
    fn apply(&mut self, seq: Seq, payload: &Bytes) -> bool {
        self.folded_at = Instant::now();
        let record = match LogRecord::decode(payload) {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(seq = seq.0, %error, "a record of a log cannot be read");
                LogRecord::Control(Control::RunEnded {})
            }
        };
        let status = self.projection.status;
        let leaf = matches!(record, LogRecord::Event { .. });
        self.projection.apply(seq, &record);
        leaf || self.projection.status != status
    }

    fn keep(&mut self, taped: Taped) {
        let Some(tape) = &mut self.tape else { return };
        self.taped_bytes += taped.payload.len();
        tape.push_back(taped);
        while tape.len() > TAPE_RECORDS || self.taped_bytes > TAPE_BYTES {
            let Some(oldest) = tape.pop_front() else { break };
            self.taped_bytes -= oldest.payload.len();
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

    fn entry() -> ConversationState {
        let record = json!({"id": ConversationId::random(), "sandbox": "default", "created_at": "2026-11-23T00:00:00.000000Z",
            "title": null, "workspace": {"working_dir": "/w", "kind": "LocalWorkspace"}, "agent": {}, "max_iterations": 1,
            "stuck_detection": true, "confirmation_policy": {"kind": "NeverConfirm"}, "security_analyzer": null});
        let agent = serde_json::value::to_raw_value(&json!({})).unwrap();
        let record = serde_json::from_value(record).unwrap();
        ConversationState::new(Sighting { record, agent, revision: 1 }, Projection::default())
    }

    fn message(n: u64) -> Bytes {
        let event = json!({"id": "m", "timestamp": "2026-11-23T00:00:01", "kind": "MessageEvent"});
        LogRecord::event(n, &event).unwrap().encode().unwrap().into()
    }

    #[test]
    fn a_record_is_folded_once_and_only_after_the_one_before_it() {
        let entry = entry();
        assert_eq!(entry.fold(Seq(0), Seq(10), &message(0)), Folded::New { moved: true });
        assert_eq!(entry.fold(Seq(0), Seq(10), &message(0)), Folded::Known);
        assert_eq!(entry.fold(Seq(20), Seq(30), &message(2)), Folded::Gap);
        assert_eq!((entry.events(), entry.seq()), (1, Seq(10)));
        assert_eq!(entry.fold(Seq(10), Seq(20), &message(1)), Folded::New { moved: true });
        assert_eq!(entry.events(), 2);
    }

    #[test]
    fn what_several_fold_at_once_is_announced_before_any_of_them_finds_it_known() {
        const RECORDS: u64 = 20_000;
        let (entry, payload) = (entry(), message(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..RECORDS {
                        entry.fold(Seq(n), Seq(n + 1), &payload);
                        assert!(entry.seq() > Seq(n));
                    }
                });
            }
        });
        assert_eq!(entry.seq(), Seq(RECORDS));
    }

    #[test]
    fn a_record_that_cannot_be_read_does_not_hold_up_those_after_it() {
        let entry = entry();
        entry.fold(Seq(0), Seq(10), &Bytes::from_static(b"{torn"));
        entry.fold(Seq(10), Seq(20), &message(0));
        assert_eq!((entry.events(), entry.seq()), (1, Seq(20)));
    }

    #[test]
    fn a_tape_gives_all_records_after_a_position_or_says_that_it_cannot() {
        let entry = entry();
        entry.fold(Seq(0), Seq(1), &message(0));
        assert_eq!(entry.start_tape(), Seq(1));
        let last = TAPE_RECORDS as u64 + 11;
        for n in 1..last {
            entry.fold(Seq(n), Seq(n + 1), &message(n));
        }
        assert!(entry.taped_after(Seq(1)).is_none());
        let seqs =
            |at| entry.taped_after(Seq(at)).map(|tape| tape.iter().map(|t| t.seq.0).collect::<Vec<_>>());
        assert_eq!(seqs(last - 2), Some(vec![last - 1, last]));
        assert_eq!(seqs(last), Some(vec![]));
        entry.stop_tape();
        assert!(entry.taped_after(Seq(1)).is_none());
    }
}

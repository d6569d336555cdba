//! The names of everything on the bus. `<s>` is a sandbox, `<c>` a log name.

use crate::{ConversationId, Epoch, LogId, SandboxId};

/// Commands to the worker of a sandbox, by service: `conversation`, `bash`, `file`, `git`, `rest`.
#[must_use]
pub fn command(sandbox: &SandboxId, service: &str) -> String {
    format!("mh.cmd.{sandbox}.{service}")
}

/// The same to one incarnation alone, since an older one may still listen; `None` where there is never another.
#[must_use]
pub fn command_to(sandbox: &SandboxId, incarnation: Option<Epoch>, service: &str) -> String {
    let any = command(sandbox, service);
    match incarnation {
        Some(epoch) => format!("{any}.{}", epoch.0),
        None => any,
    }
}

/// Calls from a worker for conversation records.
#[must_use]
pub fn records(sandbox: &SandboxId) -> String {
    format!("mh.rec.{sandbox}")
}

/// What the gateways answer: [`records`] of every sandbox.
pub const ALL_RECORDS: &str = "mh.rec.*";

/// Model calls from a worker, for the broker.
#[must_use]
pub fn models(sandbox: &SandboxId) -> String {
    format!("mh.llm.{sandbox}")
}

/// What the brokers answer: [`models`] of every sandbox.
pub const ALL_MODELS: &str = "mh.llm.*";

/// What a worker adds to one of its model calls.
#[must_use]
pub fn model_notes(sandbox: &SandboxId, call: &str) -> String {
    format!("mh.llm.{sandbox}.{call}")
}

/// The pieces of the answer to one model call: below the caller's own inbox, so that nobody can have them
/// sent elsewhere.
#[must_use]
pub fn model_pieces(sandbox: &SandboxId, epoch: Epoch, call: &str) -> String {
    format!("_INBOX_{sandbox}_{}.llm.{call}", epoch.0)
}

/// Calls from one incarnation of a worker for what only the control plane may read: its logs and its lease. It may
/// use no other epoch than its own.
#[must_use]
pub fn storage(sandbox: &SandboxId, epoch: Epoch) -> String {
    format!("mh.hist.{sandbox}.{}", epoch.0)
}

/// What the control plane answers: [`storage`] of every incarnation.
pub const ALL_STORAGE: &str = "mh.hist.*.*";

/// Stored records of one log.
#[must_use]
pub fn stored(log: &LogId) -> String {
    format!("mh.pub.evt.{log}")
}

/// Stored records of every log.
pub const ALL_STORED: &str = "mh.pub.evt.>";

/// The log of a [`stored`] subject.
#[must_use]
pub fn log_of(subject: &str) -> Option<LogId> {
    LogId::parse(subject.strip_prefix("mh.pub.evt.")?)
}

/// Streamed pieces of answers: never stored.
#[must_use]
pub fn live(sandbox: &SandboxId, conversation: ConversationId) -> String {
    format!("mh.live.{sandbox}.{}", conversation.hex())
}

/// What answers to a worker's calls come below.
#[must_use]
pub fn inbox(sandbox: &SandboxId, epoch: Epoch) -> String {
    format!("_INBOX_{sandbox}_{}", epoch.0)
}

/// Whether a call on `subject` may be answered on `reply`. A worker's may only be in its own inbox: it may
/// name any subject as its reply, and an answerer may publish where the worker may not.
#[must_use]
pub fn may_answer(subject: &str, reply: &str) -> bool {
    let from_worker = ["mh.rec.", "mh.hist.", "mh.llm."].iter().find_map(|start| subject.strip_prefix(start));
    let Some(caller) = from_worker.and_then(|rest| rest.split('.').next()) else { return true };
    let inbox = reply.split_once('.').and_then(|(inbox, _)| inbox.strip_prefix("_INBOX_"));
    let Some((sandbox, epoch)) = inbox.and_then(|inbox| inbox.rsplit_once('_')) else { return false };
    sandbox == caller && epoch.parse::<u64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BashScope;

    #[test]
    fn a_stored_subject_names_its_log() {
        let log = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);
        assert_eq!(log_of(&stored(&log)), Some(log));
        assert_eq!(log_of("mh.live.default.x"), None);
    }

    #[test]
    fn a_worker_is_answered_in_its_own_inbox_only() {
        let sandbox = SandboxId::parse("a_1").unwrap();
        let own = format!("{}.x", inbox(&sandbox, Epoch(2)));
        for call in [records(&sandbox), storage(&sandbox, Epoch(2)), models(&sandbox) + ".cancel"] {
            assert!(may_answer(&call, &own));
            for other in ["_INBOX_a_2.x", "_INBOX_a_1_x.y", "_INBOX_a_1_2", "mh.evt.0.b.c", "$KV.LEASES.b"] {
                assert!(!may_answer(&call, other), "{call} {other}");
            }
        }
        assert!(!may_answer("mh.rec.a", &own));
        assert!(may_answer(&command(&sandbox, "bash"), "_INBOX_gateway.x"));
    }
}

//! The names of everything on the bus: the only place where they are made and read.
//!
//! Each is made for one sandbox, for [`Every`] one (a pattern), or for [`Own`], the sandbox that a worker's
//! token names. So who speaks, who listens and who may do either use the same words: what a part may do on NATS
//! (`crates/credentials`) is put together from them. Those of what is stored are in [`store`].

mod pattern;
pub mod store;
mod token;

pub use pattern::covers;
pub use token::{Every, Own, Token};

use crate::brokering::ModelCall;
use crate::calls::{RecordCall, RestCall};
use crate::placement::Renewal;
use crate::service::{OfControlPlane, Service};
use crate::{ConversationId, Epoch, LogId, SandboxId};

/// The service of what only the control plane may touch; what it is asked, the adapter of a cluster knows alone.
pub const STORAGE: &str = "hist";

/// Commands to the worker of a sandbox, by service: `conversation`, `bash`, `file`, `git`, `rest`.
#[must_use]
pub fn command(sandbox: impl Token<SandboxId>, service: &str) -> String {
    format!("mh.cmd.{}.{service}", sandbox.token())
}

/// The same to one incarnation alone, since an older one may still listen; `None` where there is never another.
#[must_use]
pub fn command_to(sandbox: impl Token<SandboxId>, incarnation: Option<Epoch>, service: &str) -> String {
    match incarnation {
        Some(epoch) => command_of(sandbox, service, epoch),
        None => command(sandbox, service),
    }
}

fn command_of(sandbox: impl Token<SandboxId>, service: &str, epoch: impl Token<Epoch>) -> String {
    format!("{}.{}", command(sandbox, service), epoch.token())
}

/// All that is sent to one incarnation of a sandbox's worker: neither what its successor is asked nor the credentials that
/// this one is given.
#[must_use]
pub fn commands(sandbox: impl Token<SandboxId>, epoch: impl Token<Epoch>) -> String {
    command_of(sandbox, "*", epoch)
}

/// Where a call to one incarnation is answered: it may publish there whenever it has signed in, and nobody else may. Each
/// call has a `token` of its own. `None` for every other call.
#[must_use]
pub fn answer(call: &str, token: &str) -> Option<String> {
    let (sandbox, rest) = call.strip_prefix("mh.cmd.")?.split_once('.')?;
    let (service, epoch) = rest.split_once('.')?;
    epoch.parse::<u64>().is_ok().then(|| format!("mh.ans.{sandbox}.{epoch}.{service}.{token}"))
}

/// What one incarnation answers to the calls of a service; `*` for all of them.
#[must_use]
pub fn answers(sandbox: impl Token<SandboxId>, epoch: impl Token<Epoch>, service: &str) -> String {
    format!("mh.ans.{}.{}.{service}.*", sandbox.token(), epoch.token())
}

/// New credentials for one incarnation of a worker.
#[must_use]
pub fn credentials(sandbox: impl Token<SandboxId>, epoch: impl Token<Epoch>) -> String {
    command_of(sandbox, Renewal::NAME, epoch)
}

/// The question to one incarnation whether it rests.
#[must_use]
pub fn rests(sandbox: impl Token<SandboxId>, epoch: impl Token<Epoch>) -> String {
    command_of(sandbox, RestCall::NAME, epoch)
}

/// What every trusted part may publish to and nobody hears.
#[must_use]
pub fn nobody() -> String {
    format!("mh.cmd.nobody.{}.0", Renewal::NAME)
}

/// What one incarnation of a worker may publish to and nobody hears: no call has this token.
#[must_use]
pub fn nobody_of(sandbox: &SandboxId, epoch: Epoch) -> String {
    format!("mh.ans.{sandbox}.{}.nobody.0", epoch.0)
}

/// Calls from a worker for a service of the control plane.
#[must_use]
pub fn calls<S: OfControlPlane>(sandbox: impl Token<SandboxId>) -> String {
    calls_named(S::NAME, sandbox)
}

/// The same from one incarnation, which may use no other epoch than its own.
#[must_use]
pub fn calls_of<S: OfControlPlane>(sandbox: impl Token<SandboxId>, epoch: impl Token<Epoch>) -> String {
    format!("{}.{}", calls::<S>(sandbox), epoch.token())
}

/// Calls from a worker for conversation records.
#[must_use]
pub fn records(sandbox: impl Token<SandboxId>) -> String {
    calls::<RecordCall>(sandbox)
}

/// Model calls from a worker, for the broker.
#[must_use]
pub fn models(sandbox: impl Token<SandboxId>) -> String {
    calls::<ModelCall>(sandbox)
}

/// Calls from one incarnation of a worker for what only the control plane may touch: its logs and its lease.
#[must_use]
pub fn storage(sandbox: impl Token<SandboxId>, epoch: impl Token<Epoch>) -> String {
    format!("{}.{}", calls_named(STORAGE, sandbox), epoch.token())
}

fn calls_named(service: &str, sandbox: impl Token<SandboxId>) -> String {
    format!("mh.{service}.{}", sandbox.token())
}

/// What a worker adds to one of its model calls; `*` for all of them.
#[must_use]
pub fn model_notes(sandbox: impl Token<SandboxId>, call: &str) -> String {
    format!("{}.{call}", models(sandbox))
}

/// The pieces of the answer to one model call: below the caller's own inbox, so that nobody can have them
/// sent elsewhere.
#[must_use]
pub fn model_pieces(sandbox: &SandboxId, epoch: Epoch, call: &str) -> String {
    format!("{}.llm.{call}", inbox(sandbox, epoch))
}

/// [`model_pieces`] of every call. A pattern cannot tell whose inbox: a token is a star or it is none.
pub const ALL_MODEL_PIECES: &str = "*.llm.*";

/// What begins all that streams publish.
pub const PUBLISHED: &str = "mh.pub.";

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
pub fn live(sandbox: impl Token<SandboxId>, conversation: impl Token<ConversationId>) -> String {
    format!("mh.live.{}.{}", sandbox.token(), conversation.token())
}

/// What answers to a worker's calls come below.
#[must_use]
pub fn inbox(sandbox: impl Token<SandboxId>, epoch: impl Token<Epoch>) -> String {
    format!("_INBOX_{}_{}", sandbox.token(), epoch.token())
}

/// What answers to the calls of a trusted part come below.
#[must_use]
pub fn inbox_of_part(name: &str) -> String {
    format!("_INBOX_{name}")
}

/// The sandbox of a worker's call for the control plane; NATS lets a worker publish about no other.
#[must_use]
pub fn caller(subject: &str) -> Option<SandboxId> {
    let (sandbox, note) = called(subject)?;
    SandboxId::parse(sandbox).filter(|_| note.is_none())
}

/// The incarnation of a call that says which; NATS lets it publish about no other.
#[must_use]
pub fn calling_incarnation(subject: &str) -> Option<(SandboxId, Epoch)> {
    let (sandbox, epoch) = called(subject)?;
    Some((SandboxId::parse(sandbox)?, Epoch(epoch?.parse().ok()?)))
}

/// Whether a call on `subject` may be answered on `reply`. A worker's may only be in its own inbox: it may
/// name any subject as its reply, and an answerer may publish where the worker may not.
#[must_use]
pub fn may_answer(subject: &str, reply: &str) -> bool {
    let Some((caller, _)) = called(subject) else { return true };
    let inbox = reply.split_once('.').and_then(|(inbox, _)| inbox.strip_prefix("_INBOX_"));
    let Some((sandbox, epoch)) = inbox.and_then(|inbox| inbox.rsplit_once('_')) else { return false };
    sandbox == caller && epoch.parse::<u64>().is_ok()
}

/// The sandbox of a worker's call, and what follows it.
fn called(subject: &str) -> Option<(&str, Option<&str>)> {
    let (service, rest) = subject.strip_prefix("mh.")?.split_once('.')?;
    let is_called = [RecordCall::NAME, ModelCall::NAME, STORAGE].contains(&service);
    let (sandbox, note) = rest.split_once('.').map_or((rest, None), |(sandbox, note)| (sandbox, Some(note)));
    is_called.then_some((sandbox, note))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BashScope;

    #[test]
    fn a_stored_subject_names_its_log() {
        let log = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);
        assert_eq!(log_of(&stored(&log)), Some(log));
        for other in ["mh.live.default.x", "mh.pub.evt.default.x", "mh.pub.kv.LEASES.a"] {
            assert_eq!(log_of(other), None, "{other}");
        }
    }

    #[test]
    fn names_on_the_wire_never_change() {
        let sandbox = SandboxId::parse("a").unwrap();
        assert_eq!(records(&sandbox), "mh.rec.a");
        assert_eq!(models(Every), "mh.llm.*");
        assert_eq!(model_notes(&sandbox, "c"), "mh.llm.a.c");
        assert_eq!(storage(Own, Own), "mh.hist.{{tag(sandbox)}}.{{tag(epoch)}}");
        assert_eq!(storage(&sandbox, Epoch(3)), "mh.hist.a.3");
        assert_eq!(credentials(&sandbox, Epoch(3)), "mh.cmd.a.creds.3");
        assert_eq!(answers(Own, Own, "*"), "mh.ans.{{tag(sandbox)}}.{{tag(epoch)}}.*.*");
        assert_eq!(command_to(&sandbox, Some(Epoch(3)), "git"), "mh.cmd.a.git.3");
        assert_eq!(commands(Own, Own), "mh.cmd.{{tag(sandbox)}}.*.{{tag(epoch)}}");
        assert_eq!(model_pieces(&sandbox, Epoch(3), "c"), "_INBOX_a_3.llm.c");
        assert!(covers(ALL_MODEL_PIECES, &model_pieces(&sandbox, Epoch(1), "x")));
        assert!(covers(&credentials(Every, Every), &nobody()));
        assert!(covers(&answers(&sandbox, Epoch(3), "*"), &nobody_of(&sandbox, Epoch(3))));
    }

    #[test]
    fn a_worker_answers_where_only_it_may() {
        let sandbox = SandboxId::parse("a").unwrap();
        let answer = |call: &str| super::answer(call, "t");
        let of_git = answer(&command_to(&sandbox, Some(Epoch(3)), "git")).unwrap();
        assert_eq!(of_git, "mh.ans.a.3.git.t");
        assert!(covers(&answers(&sandbox, Epoch(3), "git"), &of_git));
        assert!(!covers(&answers(&sandbox, Epoch(4), "*"), &of_git));
        for other in [command_to(&sandbox, None, "git"), records(&sandbox), storage(&sandbox, Epoch(3))] {
            assert_eq!(answer(&other), None, "{other}");
        }
    }

    #[test]
    fn a_callers_sandbox_is_read_from_the_subject() {
        let sandbox = SandboxId::parse("a_1").unwrap();
        for call in [records(&sandbox), models(&sandbox)] {
            assert_eq!(caller(&call), Some(sandbox.clone()), "{call}");
            assert_eq!(calling_incarnation(&call), None, "{call}");
        }
        let call = storage(&sandbox, Epoch(7));
        assert_eq!((caller(&call), calling_incarnation(&call)), (None, Some((sandbox.clone(), Epoch(7)))));
        assert_eq!(calling_incarnation(&format!("{call}.1")), None);
        for other in
            [command(&sandbox, "bash"), model_notes(&sandbox, "x"), "mh.rec.".into(), "mh.rec.a b".into()]
        {
            assert_eq!(caller(&other), None, "{other}");
        }
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

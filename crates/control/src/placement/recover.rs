//! Runs and goals that lost their worker: what the log calls running and nobody runs is closed by the next worker, once
//! it is told to look.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use ports::retry::Backoff;
use ports::rpc::Code;
use readmodel::index::{ConversationState, Index};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use types::calls::{Command, CommandDone};
use types::conversation::{Projection, Status};
use types::{Epoch, SandboxId};

use super::Workers;
use super::fleet::Fleet;
use crate::Tasks;

/// What the opening of a conversation may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Workers may answer later than the gateway, and than they have their leases; and the store may be away in part.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(60));

/// Before who waits for so long is told of.
const LONG: Duration = Duration::from_secs(10);

/// How long a server of one process waits for its worker to close them, before it is ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway that starts waits no longer than this for the workers of runs that were cut off: another supervisor takes over
/// within seconds, and starts them at once.
const SETTLED_AFTER: Duration = Duration::from_secs(15);

/// Cut-off runs that are closed at the same time.
const AT_ONCE: usize = 16;

/// Has the worker that is always there look at the runs that were cut off. What it answers is cancelled when they are
/// closed.
pub(crate) fn follow(workers: &Workers, index: &Index, tasks: &Tasks) -> CancellationToken {
    let (workers, index) = (workers.clone(), index.clone());
    let (cut_off, closed) = (cut_off(&index), CancellationToken::new());
    if cut_off.is_empty() {
        closed.cancel();
        return closed;
    }
    let when_closed = closed.clone().drop_guard();
    tasks.spawn_until_drain(async move {
        let _when_closed = when_closed;
        close(cut_off, &workers, &index).await;
    });
    cancel_after(&closed, PATIENCE, tasks);
    closed
}

/// Starts the workers that are missing, and tells every worker that comes which runs to look at, until the server
/// stops. What it answers is cancelled when those that are called running now were looked at, or when that takes too long:
/// one worker that does not start must not keep a gateway from serving the others.
pub(crate) fn follow_fleet(
    fleet: &Fleet,
    workers: &Workers,
    index: &Index,
    tasks: &Tasks,
) -> CancellationToken {
    let settled = CancellationToken::new();
    let looking = Arc::new(settled.clone().drop_guard());
    let mut of_sandboxes: BTreeMap<SandboxId, Vec<Arc<ConversationState>>> = BTreeMap::new();
    for entry in cut_off(index) {
        of_sandboxes.entry(entry.log.sandbox().clone()).or_default().push(entry);
    }
    let leases = fleet.leases.clone();
    leases.note_changes();
    // Those that are there are told below.
    let mut told: BTreeMap<String, Epoch> = leases
        .read(|leases| leases.iter().map(|(sandbox, seen)| (sandbox.clone(), seen.value.epoch)).collect());
    for (sandbox, entries) in of_sandboxes {
        let (workers, index, looking) = (workers.clone(), index.clone(), looking.clone());
        tasks.spawn_until_drain(async move {
            let _looking = looking;
            match workers.placement().ready(&sandbox).await {
                Ok(_) => close(entries, &workers, &index).await,
                Err(fault) => {
                    tracing::warn!(sandbox.id = %sandbox, %fault, "a worker that is missing does not start");
                }
            }
        });
    }
    cancel_after(&settled, SETTLED_AFTER, tasks);
    let (workers, index, telling) = (workers.clone(), index.clone(), tasks.clone());
    tasks.spawn_vital("telling new workers of runs that were cut off", async move {
        loop {
            let mut changed = leases.changed().await;
            changed.retain(|sandbox| {
                let epoch = leases.get(sandbox).map(|seen| seen.value.epoch);
                is_newcomer(sandbox, epoch, &mut told)
            });
            for sandbox in changed.iter().filter_map(|sandbox| SandboxId::parse(sandbox)) {
                let (workers, index) = (workers.clone(), index.clone());
                let mut entries = index.in_sandbox(&sandbox);
                entries.retain(is_cut_off);
                if !entries.is_empty() {
                    telling.spawn_until_drain(async move { close(entries, &workers, &index).await });
                }
            }
        }
    });
    settled
}

/// Unless somebody has done so before.
fn cancel_after(token: &CancellationToken, patience: Duration, tasks: &Tasks) {
    let token = token.clone();
    tasks.spawn_until_drain(async move {
        // Whichever comes first.
        let _ = tokio::time::timeout(patience, token.cancelled()).await;
        token.cancel();
    });
}

/// Whether a lease is another worker's than before, and not only renewed.
fn is_newcomer(sandbox: &str, epoch: Option<Epoch>, told: &mut BTreeMap<String, Epoch>) -> bool {
    match epoch {
        Some(epoch) => told.insert(sandbox.to_owned(), epoch) != Some(epoch),
        None => {
            told.remove(sandbox);
            false
        }
    }
}

fn cut_off(index: &Index) -> Vec<Arc<ConversationState>> {
    let mut entries = index.all();
    entries.retain(is_cut_off);
    entries
}

/// Whether its log says that it runs, or that a goal is worked on: between two runs only a judge thinks. One that is paused may
/// still be in its last step, which has then left actions without a result.
fn is_cut_off(entry: &Arc<ConversationState>) -> bool {
    let is_at_work = |projection: &Projection| {
        projection.status == Status::Running
            || projection.status == Status::Paused && projection.open_actions > 0
            || projection.goal.as_ref().is_some_and(|goal| goal.active)
    };
    entry.with_projection(is_at_work)
}

async fn close(entries: Vec<Arc<ConversationState>>, workers: &Workers, index: &Index) {
    let turns = Semaphore::new(AT_ONCE);
    // Those that cannot be closed yet hold no turn: a part of the store may be away alone.
    let wake = async |entry| wake(workers, index, &turns, &entry).await;
    stream::iter(entries).for_each_concurrent(None, wake).await;
}

/// Has the conversation opened, and waits until the index shows what came of it; for one that runs nothing changes. Nobody
/// tells this worker a second time: it is asked until it has answered, or is over.
async fn wake(workers: &Workers, index: &Index, turns: &Semaphore, entry: &Arc<ConversationState>) {
    let (sandbox, mut pauses) = (entry.log.sandbox(), PAUSES);
    let call = entry.call(Command::Wake {});
    let placement = workers.placement();
    let mut worker = placement.incarnation(sandbox);
    let is_cut_off = || {
        let is_there = index.any(entry.id).is_some_and(|present| Arc::ptr_eq(&present, entry));
        is_there && is_cut_off(entry)
    };
    loop {
        let called = {
            let _turn = turns.acquire().await;
            workers.call_if_awake::<_, CommandDone>(sandbox, &call, DEADLINE).await
        };
        match called {
            Ok((done, _)) => {
                if let Err(error) = index.wait_for(entry, done.seq, DEADLINE).await {
                    tracing::warn!(conversation.id = %entry.id, %error, "the end of a run that was cut off is not known");
                }
                return;
            }
            Err(fault) if is_for_now(fault.code) => {
                let pause = pauses.pause();
                if pause >= LONG {
                    tracing::warn!(conversation.id = %entry.id, error = %fault, "a run that was cut off is not closed yet");
                }
                tokio::time::sleep(pause).await;
                worker = worker.or_else(|| placement.incarnation(sandbox));
                // The next one is told by itself.
                let is_over = worker.is_some() && placement.ended(sandbox, worker).now_or_never().is_some();
                if is_over || !is_cut_off() {
                    return;
                }
            }
            Err(fault) => {
                tracing::warn!(conversation.id = %entry.id, error = %fault, "a run that was cut off is not closed");
                return;
            }
        }
    }
}

fn is_for_now(code: Code) -> bool {
    matches!(code, Code::Absent | Code::Unavailable | Code::Busy)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parking_lot::Mutex;
    use ports::rpc::{Address, Call, Fault, Limits, Reason, Server};
    use serde_json::json;
    use tokio::time::Instant;
    use types::calls::ConversationCall;
    use types::log::LogRecord;
    use types::{ConversationId, LogId, Seq};

    use super::*;
    use crate::placement::Single;

    struct Stored {
        ports: ports::Ports,
        index: Index,
        /// The index is followed as long as they are there.
        tasks: Tasks,
        _guard: embedded::Guard,
        _folder: tempfile::TempDir,
    }

    /// Nothing yet.
    async fn stored() -> Stored {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
        let (ports, guard) = embedded::open(options).await.unwrap();
        let tasks = Tasks::default();
        let index = Index::start(&ports, &tasks.tracker, &tasks.drain).await.unwrap();
        Stored { ports, index, tasks, _guard: guard, _folder: folder }
    }

    #[tokio::test]
    async fn a_run_that_was_cut_off_is_closed_however_long_its_worker_cannot_open_it() {
        let Stored { ports, index, tasks, .. } = &stored().await;
        let mut entries = Vec::new();
        for _ in 0..=AT_ONCE {
            entries.push(running(ports, index).await);
        }
        let able_at = Instant::now() + Duration::from_secs(600);
        let at_once = entries.last().unwrap().id;
        let closed = Arc::new(Mutex::new(BTreeMap::new()));
        let closing = closed.clone();
        let open = move |call: Call<ConversationCall>| {
            let (id, now) = (call.body.conversation, Instant::now());
            std::future::ready(match id == at_once || now >= able_at {
                true => {
                    closing.lock().insert(id, now);
                    Ok((CommandDone::default(), Bytes::new()))
                }
                false => Err(Fault::from(Reason::Overloaded)),
            })
        };
        let server = Server::new(ports.bus.clone(), tasks.tracker.clone(), tasks.drain.clone());
        let limits = Limits::new(64, 1 << 20);
        server.serve(&Address::of_worker(&SandboxId::shared(), None), None, limits, open).await.unwrap();
        tokio::time::pause();
        close(entries, &Workers::new(ports.bus.clone(), Arc::new(Single)), index).await;
        let closed = closed.lock();
        assert_eq!(closed.len(), AT_ONCE + 1);
        assert!(closed[&at_once] < able_at, "it has waited for the others");
    }

    /// Its worker was killed while the judge thought: nothing ran then.
    #[tokio::test]
    async fn a_goal_that_nobody_works_on_is_looked_at_as_well() {
        let Stored { ports, index, .. } = &stored().await;
        let goal = |active| json!({"active": active, "status": "running", "iteration": 0, "max_iterations": 1, "objective": "o"});
        let judged = saying(ports, index, "goal", goal(true)).await;
        saying(ports, index, "goal", goal(false)).await;
        saying(ports, index, "execution_status", json!("finished")).await;
        let found: Vec<_> = cut_off(index).iter().map(|entry| entry.id).collect();
        assert_eq!(found, [judged.id]);
    }

    /// Its worker was killed in the last step before the pause.
    #[tokio::test]
    async fn a_paused_one_of_which_an_action_has_no_result_is_looked_at_as_well() {
        let Stored { ports, index, .. } = &stored().await;
        let paused = json!({"id": "r", "timestamp": "2026-11-23T00:00:01", "source": "environment",
            "kind": "ConversationStateUpdateEvent", "key": "execution_status", "value": "paused"});
        let action =
            json!({"id": "a", "timestamp": "2026-11-23T00:00:02", "source": "agent", "kind": "ActionEvent"});
        let result = json!({"id": "o", "timestamp": "2026-11-23T00:00:03", "source": "environment",
            "kind": "ObservationEvent"});
        let in_step = with(ports, index, &[&paused, &action]).await;
        with(ports, index, &[&paused, &action, &result]).await;
        let found: Vec<_> = cut_off(index).iter().map(|entry| entry.id).collect();
        assert_eq!(found, [in_step.id]);
    }

    /// A conversation whose log says that it runs.
    async fn running(ports: &ports::Ports, index: &Index) -> Arc<ConversationState> {
        let entry = saying(ports, index, "execution_status", json!("running")).await;
        assert_eq!(entry.status(), Status::Running);
        entry
    }

    /// A conversation whose log says so of its state.
    async fn saying(
        ports: &ports::Ports,
        index: &Index,
        key: &str,
        value: serde_json::Value,
    ) -> Arc<ConversationState> {
        let said = json!({"id": "r", "timestamp": "2026-11-23T00:00:01", "source": "environment",
            "kind": "ConversationStateUpdateEvent", "key": key, "value": value});
        with(ports, index, &[&said]).await
    }

    /// A conversation with these events.
    async fn with(
        ports: &ports::Ports,
        index: &Index,
        events: &[&serde_json::Value],
    ) -> Arc<ConversationState> {
        let record = json!({"id": ConversationId::random(), "sandbox": "default",
            "created_at": "2026-11-23T00:00:00.000000Z", "title": null,
            "workspace": {"working_dir": "/w", "kind": "LocalWorkspace"}, "agent": {}, "max_iterations": 1,
            "stuck_detection": true, "confirmation_policy": {"kind": "NeverConfirm"}, "security_analyzer": null});
        let record: types::conversation::ConversationRecord = serde_json::from_value(record).unwrap();
        let encoded = |(n, event)| LogRecord::event(n, event).unwrap().encode().unwrap().into();
        let events = (0..).zip(events.iter().copied()).map(encoded).collect();
        let log = LogId::conversation(&record.sandbox, record.id);
        ports.log.append(&log, Seq::ZERO, events).await.unwrap();
        index.create(&record).await.unwrap();
        index.any(record.id).unwrap()
    }
}

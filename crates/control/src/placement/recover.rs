//! Runs that lost their worker: what the log calls running and nobody runs is closed by the next worker, once
//! it is told to look.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use ports::retry::Backoff;
use ports::rpc::Code;
use readmodel::index::{ConversationState, Index};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::calls::{Command, CommandDone, ConversationCall};
use types::conversation::Status;
use types::placement::Lease;
use types::{Epoch, SandboxId};

use super::Workers;
use super::fleet::Fleet;
use super::mirror::Seen;
use crate::Tasks;

/// What the opening of a conversation may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Workers may answer later than the gateway, and than they have their leases.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSES: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// A gateway that starts waits no longer than this for the workers of runs that were cut off: another supervisor takes over
/// within seconds, and starts them at once.
const SETTLED_AFTER: Duration = Duration::from_secs(15);

/// Cut-off runs that are closed at the same time.
const AT_ONCE: usize = 16;

/// Has the worker that is always there look at the runs that were cut off. What it answers is cancelled when they are
/// closed.
pub(crate) fn follow(workers: &Workers, index: &Index, tasks: &Tasks) -> CancellationToken {
    let (workers, index) = (workers.clone(), index.clone());
    let (cut_off, closed) = (running(&index), CancellationToken::new());
    if cut_off.is_empty() {
        closed.cancel();
        return closed;
    }
    let when_closed = closed.clone().drop_guard();
    tasks.spawn_until_drain(async move {
        let _when_closed = when_closed;
        close(cut_off, &workers, &index).await;
    });
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
    let mut cut_off: BTreeMap<SandboxId, Vec<Arc<ConversationState>>> = BTreeMap::new();
    for entry in running(index) {
        cut_off.entry(entry.log.sandbox().clone()).or_default().push(entry);
    }
    let mut leases = fleet.leases.changes();
    // Those that are there are told below.
    let mut told = BTreeMap::new();
    newcomers(&leases.borrow_and_update(), &mut told);
    for (sandbox, entries) in cut_off {
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
    let too_long = settled.clone();
    tasks.spawn_until_drain(async move {
        // Whichever comes first.
        let _ = tokio::time::timeout(SETTLED_AFTER, too_long.cancelled()).await;
        too_long.cancel();
    });
    let (workers, index, telling) = (workers.clone(), index.clone(), tasks.clone());
    tasks.spawn_vital("telling new workers of runs that were cut off", async move {
        loop {
            let newcomers = newcomers(&leases.borrow_and_update(), &mut told);
            for sandbox in newcomers.iter().filter_map(|sandbox| SandboxId::parse(sandbox)) {
                let (workers, index) = (workers.clone(), index.clone());
                let mut entries = index.in_sandbox(&sandbox);
                entries.retain(|entry| entry.status() == Status::Running);
                if !entries.is_empty() {
                    telling.spawn_until_drain(async move { close(entries, &workers, &index).await });
                }
            }
            if leases.changed().await.is_err() {
                return;
            }
        }
    });
    settled
}

fn newcomers(leases: &BTreeMap<String, Seen<Lease>>, told: &mut BTreeMap<String, Epoch>) -> Vec<String> {
    told.retain(|sandbox, _| leases.contains_key(sandbox));
    let epochs = leases.iter().map(|(sandbox, seen)| (sandbox.clone(), seen.value.epoch));
    let news: Vec<_> = epochs.filter(|(sandbox, epoch)| told.get(sandbox) != Some(epoch)).collect();
    told.extend(news.iter().cloned());
    news.into_iter().map(|(sandbox, _)| sandbox).collect()
}

fn running(index: &Index) -> Vec<Arc<ConversationState>> {
    let mut entries = index.all();
    entries.retain(|entry| entry.status() == Status::Running);
    entries
}

async fn close(entries: Vec<Arc<ConversationState>>, workers: &Workers, index: &Index) {
    let waking = stream::iter(entries).map(|entry| async move { wake(workers, index, &entry).await });
    waking.buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// Has the conversation opened, and waits until the index shows what came of it; for one that runs nothing changes.
async fn wake(workers: &Workers, index: &Index, entry: &Arc<ConversationState>) {
    let (give_up, mut pauses) = (Instant::now() + PATIENCE, PAUSES);
    let call = ConversationCall { conversation: entry.id, command: Command::Wake {} };
    loop {
        let waking = workers.call_if_awake::<_, CommandDone>(entry.log.sandbox(), &call, DEADLINE);
        match waking.await {
            Ok(done) => {
                if let Err(error) = index.wait_for(entry, done.seq, DEADLINE).await {
                    tracing::warn!(conversation.id = %entry.id, %error, "the end of a run that was cut off is not known");
                }
                return;
            }
            Err(fault)
                if matches!(fault.code, Code::Absent | Code::Unavailable) && Instant::now() < give_up =>
            {
                tokio::time::sleep(pauses.pause()).await;
            }
            Err(fault) => {
                tracing::warn!(conversation.id = %entry.id, error = %fault, "a run that was cut off is not closed");
                return;
            }
        }
    }
}

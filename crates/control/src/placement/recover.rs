//! Runs that lost their worker: what the log calls running and nobody runs is closed by the next worker, once
//! it is told to look.

use std::collections::{BTreeMap, BTreeSet};
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

/// Cut-off runs that are closed at the same time.
const AT_ONCE: usize = 16;

/// Has the worker that is always there look at the runs that were cut off. What it answers is cancelled when they are
/// closed.
pub(crate) fn follow(workers: &Workers, index: &Index, tasks: &Tasks) -> CancellationToken {
    let (workers, cut_off, closed) = (workers.clone(), running(index), CancellationToken::new());
    if cut_off.is_empty() {
        closed.cancel();
        return closed;
    }
    let when_closed = closed.clone().drop_guard();
    tasks.spawn_until_drain(async move {
        let _when_closed = when_closed;
        close(cut_off, &workers).await;
    });
    closed
}

/// Starts the workers that are missing, and tells every worker that comes which runs to look at, until the server
/// stops.
pub(crate) fn follow_fleet(fleet: &Fleet, workers: &Workers, index: &Index, tasks: &Tasks) {
    let cut_off: BTreeSet<SandboxId> =
        running(index).iter().map(|entry| entry.log.sandbox().clone()).collect();
    for sandbox in cut_off {
        let placement = workers.placement().clone();
        tasks.spawn_until_drain(async move {
            if let Err(fault) = placement.ready(&sandbox).await {
                tracing::warn!(sandbox.id = %sandbox, %fault, "a worker that is missing does not start");
            }
        });
    }
    let (mut leases, mut told) = (fleet.leases.changes(), BTreeMap::new());
    let (workers, index, telling) = (workers.clone(), index.clone(), tasks.clone());
    tasks.spawn_vital("telling new workers of runs that were cut off", async move {
        loop {
            let newcomers = newcomers(&leases.borrow_and_update(), &mut told);
            for sandbox in newcomers.iter().filter_map(|sandbox| SandboxId::parse(sandbox)) {
                let (workers, mut entries) = (workers.clone(), index.in_sandbox(&sandbox));
                entries.retain(|entry| entry.status() == Status::Running);
                if !entries.is_empty() {
                    telling.spawn_until_drain(async move { close(entries, &workers).await });
                }
            }
            if leases.changed().await.is_err() {
                return;
            }
        }
    });
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

async fn close(entries: Vec<Arc<ConversationState>>, workers: &Workers) {
    let waking = stream::iter(entries).map(|entry| async move { wake(workers, &entry).await });
    waking.buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// Has the conversation opened; for one that runs nothing changes.
async fn wake(workers: &Workers, entry: &ConversationState) {
    let (give_up, mut pauses) = (Instant::now() + PATIENCE, PAUSES);
    let call = ConversationCall { conversation: entry.id, command: Command::Wake {} };
    loop {
        let waking = workers.call_if_awake::<_, CommandDone>(entry.log.sandbox(), &call, DEADLINE);
        match waking.await {
            Ok(_) => return,
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

//! Runs that lost their worker: what the log calls running and nobody runs is closed by the next worker, once
//! it is told to look.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ports::rpc::{self, Code};
use ports::subjects;
use readmodel::index::Entry;
use tokio::time::Instant;
use types::calls::{Command, CommandDone, ConversationCall};
use types::conversation::Status;
use types::placement::Lease;
use types::{Epoch, SandboxId};

use super::fleet::Fleet;
use super::mirror::Seen;
use crate::App;

/// What the opening of a conversation may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Workers may answer later than the gateway, and than they have their leases.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(200);

/// Sees to cut-off runs until the server stops.
pub(crate) fn follow(app: &App) {
    let seeing = app.clone();
    spawn(app, async move {
        match &seeing.sandboxes.0 {
            Some(fleet) => follow_fleet(&seeing, fleet).await,
            None => close(running(&seeing), &seeing).await,
        }
    });
}

/// Starts the workers that are missing, and tells every worker that comes which runs to look at.
async fn follow_fleet(app: &App, fleet: &Fleet) {
    let mut leases = fleet.leases.changes();
    let cut_off: BTreeSet<SandboxId> = running(app).iter().map(|entry| entry.log.sandbox.clone()).collect();
    for sandbox in cut_off {
        let starting = app.clone();
        spawn(app, async move {
            if let Err(fault) = starting.sandboxes.ready(&sandbox).await {
                tracing::warn!(sandbox.id = %sandbox, %fault, "a worker that is missing does not start");
            }
        });
    }
    let mut told = BTreeMap::new();
    loop {
        for sandbox in newcomers(&leases.borrow_and_update(), &mut told) {
            let mut entries = running(app);
            entries.retain(|entry| entry.log.sandbox.as_str() == sandbox);
            let closing = app.clone();
            spawn(app, async move { close(entries, &closing).await });
        }
        if leases.changed().await.is_err() {
            return;
        }
    }
}

fn newcomers(leases: &BTreeMap<String, Seen<Lease>>, told: &mut BTreeMap<String, Epoch>) -> Vec<String> {
    told.retain(|sandbox, _| leases.contains_key(sandbox));
    let epochs = leases.iter().map(|(sandbox, seen)| (sandbox.clone(), seen.value.epoch));
    let news: Vec<_> = epochs.filter(|(sandbox, epoch)| told.get(sandbox) != Some(epoch)).collect();
    told.extend(news.iter().cloned());
    news.into_iter().map(|(sandbox, _)| sandbox).collect()
}

fn running(app: &App) -> Vec<Arc<Entry>> {
    let mut entries = app.index.all();
    entries.retain(|entry| entry.status() == Status::Running);
    entries
}

async fn close(entries: Vec<Arc<Entry>>, app: &App) {
    for entry in entries {
        wake(app, &entry).await;
    }
}

/// Has the conversation opened; for one that runs nothing changes.
async fn wake(app: &App, entry: &Entry) {
    let give_up = Instant::now() + PATIENCE;
    let call = ConversationCall { conversation: entry.id, command: Command::Wake {} };
    loop {
        let (bus, sandbox) = (app.ports.bus.as_ref(), &entry.log.sandbox);
        let subject = subjects::command_to(sandbox, app.sandboxes.incarnation(sandbox), "conversation");
        match rpc::call::<_, CommandDone>(bus, &subject, &call, Bytes::new(), DEADLINE).await {
            Ok(_) => return,
            Err(fault)
                if matches!(fault.code, Code::Absent | Code::Unavailable) && Instant::now() < give_up =>
            {
                tokio::time::sleep(AGAIN).await;
            }
            Err(fault) => {
                tracing::warn!(conversation.id = %entry.id, error = %fault, "a run that was cut off is not closed");
                return;
            }
        }
    }
}

fn spawn(app: &App, work: impl Future<Output = ()> + Send + 'static) {
    app.tasks.spawn(app.drain.clone().run_until_cancelled_owned(work));
}

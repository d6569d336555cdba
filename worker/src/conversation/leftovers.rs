//! What tools have kept for conversations that were deleted while there was no worker to remove it.
//!
//! A worker that begins looks which conversations have a folder, asks which of them there are, and removes what was kept for
//! the others. It listens first: one that is deleted from then on is removed by the call that says so. Those that are there have
//! again what was set aside for a deletion of which nobody has said that it was given up.
//!
//! What another agent server has written in the same place is not ours to remove, also where the conversation was brought here
//! and is gone again: whether it was, or was only begun to be brought, cannot be told from its folder.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use ports::Bus;
use ports::retry::Backoff;
use ports::rpc::{self, Address, Code, Fault};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use types::calls::{RecordCall, Survivors};
use types::{ConversationId, SandboxId};
use uuid::Uuid;

use crate::services::Gone;

/// Conversations that are asked for at once.
const AT_ONCE: usize = 500;
const ANSWER: Duration = Duration::from_secs(10);
/// For a control plane that begins after the worker.
const PATIENCE: Duration = Duration::from_secs(120);
const AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));

/// What other agent servers keep in the folder of each conversation, and this one never does.
const OF_ANOTHER_SERVER: [&str; 2] = ["meta.json", "base_state.json"];

pub(super) async fn remove(bus: &dyn Bus, sandbox: &SandboxId, deleted: &Gone) {
    match try_to_remove(bus, sandbox, deleted).await {
        Ok(0) => {}
        Ok(removed) => tracing::info!(removed, "removed what was kept for conversations that are deleted"),
        Err(fault) => {
            tracing::warn!(%fault, "what was kept for conversations that are deleted stays for now")
        }
    }
}

async fn try_to_remove(bus: &dyn Bus, sandbox: &SandboxId, deleted: &Gone) -> Result<usize, Fault> {
    let Survivors { folder, .. } = ask(bus, sandbox, &[]).await?;
    let root = std::path::absolute(folder).map_err(Fault::internal)?;
    let kept = {
        let root = root.clone();
        spawn_blocking(move || with_folders(root)).await.map_err(Fault::internal)?.map_err(Fault::internal)?
    };
    let mut removed = 0;
    for some in kept.chunks(AT_ONCE) {
        let there: HashSet<_> = ask(bus, sandbox, some).await?.conversations.into_iter().collect();
        let (stay, gone): (Vec<ConversationId>, Vec<_>) = some.iter().partition(|id| there.contains(id));
        let folder = |id: ConversationId| root.join(id.hex());
        // What is set aside from now on is for a deletion that is under way.
        let stay: Vec<_> = stay.into_iter().filter(|id| !deleted.has(*id)).map(folder).collect();
        let gone: Vec<_> = gone.into_iter().map(folder).collect();
        removed += gone.len();
        // All of them at once: one may be made anew while others are removed.
        let removing = spawn_blocking(move || {
            let set_aside = gone
                .iter()
                .map(|folder| tools::set_aside(folder, Uuid::new_v4(), || true))
                .fold(Ok(()), Result::and);
            let removed =
                gone.iter().map(|folder| tools::remove_set_aside(folder)).fold(set_aside, Result::and);
            stay.iter().map(|folder| tools::put_all_back(folder)).fold(removed, Result::and)
        });
        removing.await.map_err(Fault::internal)?.map_err(Fault::internal)?;
    }
    Ok(removed)
}

async fn ask(bus: &dyn Bus, sandbox: &SandboxId, some: &[ConversationId]) -> Result<Survivors, Fault> {
    let (give_up, mut again) = (Instant::now() + PATIENCE, AGAIN);
    let call = RecordCall::Survivors { conversations: some.to_vec() };
    loop {
        let address = Address::of_control_plane(sandbox);
        match rpc::call(bus, &address, &call, Bytes::new(), ANSWER).await {
            Err(fault)
                if matches!(fault.code, Code::Absent | Code::Unavailable | Code::Busy)
                    && Instant::now() < give_up =>
            {
                tokio::time::sleep(again.pause()).await;
            }
            outcome => return outcome.map(|(survivors, _)| survivors),
        }
    }
}

/// The conversations that have a folder.
fn with_folders(root: PathBuf) -> io::Result<Vec<ConversationId>> {
    let entries = match fs::read_dir(&root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let folder = root.join(name);
        if OF_ANOTHER_SERVER.iter().any(|file| folder.join(file).symlink_metadata().is_ok()) {
            continue;
        }
        found.extend(name.parse().ok().filter(|id: &ConversationId| id.hex() == name));
    }
    Ok(found)
}

//! Conversations: each event as a file, and what the log comes to in two others.

use std::path::Path;

use control::records::Sealer;
use futures_util::TryStreamExt;
use ports::log::Pages;
use ports::{Bucket, Update};
use serde_json::value::RawValue;
use types::agent::document::map_secrets;
use types::brought::Brought;
use types::buckets::CONVERSATIONS;
use types::conversation::{ConversationRecord, Projection, Status};
use types::event::Head;
use types::log::{Control, LogRecord};
use types::peer::{self, Written};
use types::secrets::SecretSource;
use types::time::local_as_utc;
use types::{ConversationId, LogId, Seq, TenantId};
use vault::{PEERS_TENANT, Vault};

use super::ledger::Ledger;
use super::{CONVERSATIONS as FOLDER, write};
use crate::moving::files;
use crate::moving::folder::{self, Unread};
use crate::moving::progress::Progress;
use crate::moving::report::Report;
use crate::moving::store::Store;

const KIND: &str = "conversations";
/// Records in memory at once.
const PAGE: usize = 100;

const EVENTS: &str = "events";
const STATE: &str = "base_state.json";
const META: &str = "meta.json";

/// # Errors
/// Those of the store, and of writing.
pub async fn carry(store: &Store, to: &Path, tenant: &TenantId, report: &mut Report) -> anyhow::Result<()> {
    let ids = all_of(store, tenant, report).await?;
    let mut progress = Progress::new(KIND, ids.len());
    for id in ids {
        one(store, to, id, report).await?;
        progress.step();
    }
    Ok(())
}

async fn all_of(
    store: &Store,
    tenant: &TenantId,
    report: &mut Report,
) -> anyhow::Result<Vec<ConversationId>> {
    let records = Bucket::<ConversationRecord>::new(&*store.ports.kv, CONVERSATIONS);
    let mut scan = records.scan();
    let mut ids = Vec::new();
    while let Some(update) = scan.try_next().await? {
        match update {
            Update::Put { stored, .. } if stored.value.tenant == *tenant => ids.push(stored.value.id),
            Update::Damaged { key, .. } => report.left_out(KIND, &key, "its record cannot be read"),
            Update::Put { .. } | Update::Deleted { .. } | Update::Lagged => {}
        }
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}

async fn one(store: &Store, to: &Path, id: ConversationId, report: &mut Report) -> anyhow::Result<()> {
    let records = Bucket::<ConversationRecord>::new(&*store.ports.kv, CONVERSATIONS);
    // It may have been deleted meanwhile.
    let Some(stored) = records.get(&id.hex()).await? else { return Ok(()) };
    let mut record = stored.value;
    if !reseal(&store.vault, &mut record) {
        report.left_out(KIND, &format!("conversation {id}"), "its secrets were sealed with another key");
        return Ok(());
    }
    let root = folder::make(to, &format!("{FOLDER}/{}", id.hex()))?;
    let mut ledger = Ledger::of(&root)?;
    if let Err(why) = is_as_written(&root, &ledger) {
        report.left_out(KIND, &format!("conversation {id}"), why);
        return Ok(());
    }
    if !ledger.is_new() {
        // What is to be there is noted before any of it is.
        let mut unread = Report::default();
        let count = events(store, &record, None, &mut unread).await?.count;
        ledger.set_count(EVENTS, count)?;
    }
    let Folded { mut projection, brought, count } = events(store, &record, Some(&root), report).await?;
    ledger.set_count(EVENTS, count)?;
    if projection.status == Status::Running {
        // Nobody runs it any more.
        projection.status = Status::Paused;
    }
    let touched = projection.touched.as_deref().and_then(local_as_utc);
    let written = peer::write(&Written {
        record: &record,
        projection: &projection,
        brought: brought.as_ref(),
        persistence_dir: &root.to_string_lossy(),
        updated_at: touched.as_deref().unwrap_or(&record.created_at),
    })?;
    if let Some(kept) = store.files_of_conversations() {
        // It changes as the conversation goes on.
        files::remove(&root.join(files::PLAN))?;
        for (name, why) in files::copy(&kept.join(id.hex()), &root) {
            report.left_out("outputs", &format!("{}/{name}", id.hex()), why);
        }
    }
    // The peer knows a conversation by the last of these.
    for (name, content) in [(STATE, written.state), (META, written.meta)] {
        if let Err(why) = ledger.write(name, content.as_bytes())? {
            report.left_out(KIND, &format!("conversation {id}"), why);
            return Ok(());
        }
    }
    report.moved(KIND);
    Ok(())
}

/// Whether nobody has used what was exported before: its files are as they were written, and there is no event but those.
fn is_as_written(root: &Path, ledger: &Ledger) -> Result<(), String> {
    let is_there = |name: &str| root.join(name).symlink_metadata().is_ok();
    if is_there("owner_lease.json") {
        return Err("the other server has had it since it was exported: it stays as it is there".to_owned());
    }
    if !is_there(STATE) && !is_there(META) {
        return Ok(());
    }
    let names = folder::names(root, EVENTS).map_err(|why: Unread| why.to_string())?;
    let last = names.iter().filter_map(|name| peer::event_of_file(name)).max();
    let is_longer = last.is_some_and(|last| last >= ledger.count(EVENTS));
    if is_longer || !ledger.is_ours(STATE) || !ledger.is_ours(META) {
        return Err("it has gone on there since it was exported, and stays as it is".to_owned());
    }
    Ok(())
}

struct Folded {
    projection: Projection,
    brought: Option<Brought>,
    count: u64,
}

/// What the log comes to. Its events go into files below `root`, where there is one.
async fn events(
    store: &Store,
    record: &ConversationRecord,
    root: Option<&Path>,
    report: &mut Report,
) -> anyhow::Result<Folded> {
    let log = LogId::conversation(&record.sandbox, record.id);
    let mut pages = Pages::new(&*store.ports.log, &log, Seq::ZERO, PAGE);
    let (mut projection, mut brought, mut count) = (Projection::default(), None, 0);
    while let Some(page) = pages.next().await? {
        for entry in &page {
            let read = LogRecord::<&RawValue>::decode_as(&entry.payload);
            let head = read.as_ref().ok().and_then(|read| match read {
                LogRecord::Event { event, .. } => Head::of(event.get()).ok().map(|head| (head, *event)),
                LogRecord::Control(_) => None,
            });
            match (&read, head) {
                (Ok(LogRecord::Event { .. }), Some((head, event))) => {
                    let name = format!("{EVENTS}/{}", peer::event_file(count, &head.id));
                    if let Some(root) = root {
                        write::file(root, &name, event.get().as_bytes())?;
                    }
                    count += 1;
                }
                (Ok(LogRecord::Control(Control::Brought(said))), _) => brought = Some((**said).clone()),
                (Ok(LogRecord::Control(_)), _) => {}
                (Ok(LogRecord::Event { .. }), None) | (Err(_), _) => {
                    let name = format!("the record at {} of conversation {}", entry.seq.0, record.id);
                    report.left_out("events", &name, "it cannot be read");
                }
            }
            if let Ok(read) = &read {
                projection.apply(entry.seq, read);
            }
        }
    }
    Ok(Folded { projection, brought, count })
}

/// With the peer's tokens in the place of our own seals. False where one does not open.
fn reseal(vault: &Vault, record: &mut ConversationRecord) -> bool {
    let sealer = Sealer::new(vault, record.id);
    let is_open = sealer.open_object(&mut record.agent);
    let are_open = sealer.open_sources(&mut record.secrets);
    let token = |plain: &str| vault.token(plain, PEERS_TENANT);
    map_secrets(&mut record.agent, &mut |plain| token(plain).into());
    for source in record.secrets.values_mut() {
        match source {
            SecretSource::StaticSecret { value, .. } => *value = value.as_deref().map(token),
            SecretSource::LookupSecret { headers, .. } => {
                headers.values_mut().for_each(|value| *value = token(value));
            }
        }
    }
    is_open && are_open
}

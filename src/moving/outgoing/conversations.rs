//! Conversations: each event as a file, and what the log comes to in two others.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
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
use types::peer::{self, Lineage, Written};
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
        match one(store, to, id, report).await {
            Err(error) if is_its_own(&error) => {
                report.left_out(KIND, &format!("conversation {id}"), format!("{error:#}"));
            }
            outcome => outcome?,
        }
        progress.step();
    }
    Ok(())
}

/// Whether what stands in the way is in its folder alone: others may be whole.
fn is_its_own(error: &anyhow::Error) -> bool {
    const OF_ALL: [ErrorKind; 3] =
        [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::ReadOnlyFilesystem];
    match error.downcast_ref::<io::Error>() {
        Some(error) => !OF_ALL.contains(&error.kind()),
        None => error.is::<Unread>() || error.is::<serde_json::Error>(),
    }
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
    if let Err(why) = is_as_written(store, &record, &root, &ledger).await? {
        report.left_out(KIND, &format!("conversation {id}"), why);
        return Ok(());
    }
    let write = |name: &str, event: &str| write::file(&root, &format!("{EVENTS}/{name}"), event.as_bytes());
    let Folded { mut projection, brought } = events(store, &record, write, report).await?;
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

/// Whether nobody has used what was exported before: its files are as they were written, and there is no event but those of
/// this conversation, which may be another one than was exported under its id.
async fn is_as_written(
    store: &Store,
    record: &ConversationRecord,
    root: &Path,
    ledger: &Ledger,
) -> anyhow::Result<Result<(), &'static str>> {
    if root.join("owner_lease.json").symlink_metadata().is_ok() {
        return Ok(Err("the other server has had it since it was exported: it stays as it is there"));
    }
    if !ledger.is_ours(STATE) || !ledger.is_ours(META) {
        return Ok(Err("it has gone on there since it was exported, and stays as it is"));
    }
    let mut others: HashSet<String> = folder::names(root, EVENTS)?.into_iter().collect();
    others.retain(|name| peer::event_of_file(name).is_some());
    if !others.is_empty() {
        let ours = |name: &str, _: &str| {
            others.remove(name);
            Ok(())
        };
        events(store, record, ours, &mut Report::default()).await?;
    }
    match others.is_empty() {
        true => Ok(Ok(())),
        false => Ok(Err(
            "it has events there that it has not here, and stays as it is: export it to another folder",
        )),
    }
}

struct Folded {
    projection: Projection,
    brought: Option<Brought>,
}

/// What the log comes to. Each event is given to `take`, with the name of its file.
async fn events(
    store: &Store,
    record: &ConversationRecord,
    mut take: impl FnMut(&str, &str) -> io::Result<()>,
    report: &mut Report,
) -> anyhow::Result<Folded> {
    let log = LogId::conversation(&record.sandbox, record.id);
    let mut pages = Pages::new(&*store.ports.log, &log, Seq::ZERO, PAGE);
    let (mut projection, mut brought, mut count) = (Projection::default(), None, 0);
    // What hangs below an event that does not go out hangs below the one before that.
    let mut lineage = Lineage::new(None, false);
    while let Some(page) = pages.next().await? {
        for entry in &page {
            let read = LogRecord::<&RawValue>::decode_as(&entry.payload);
            match &read {
                Ok(LogRecord::Event { event, .. }) => match file_of(event.get(), count) {
                    Ok(name) => {
                        let mended = lineage.add(event.get());
                        take(&name, mended.as_deref().unwrap_or(event.get()))?;
                        count += 1;
                    }
                    Err(why) => report.left_out("events", &at(entry.seq, record), why),
                },
                Ok(LogRecord::Control(Control::Brought(said))) => brought = Some((**said).clone()),
                Ok(LogRecord::Control(_)) => {}
                Err(_) => report.left_out("events", &at(entry.seq, record), "it cannot be read"),
            }
            if let Ok(read) = &read {
                projection.apply(entry.seq, read);
            }
        }
    }
    Ok(Folded { projection, brought })
}

fn at(seq: Seq, record: &ConversationRecord) -> String {
    format!("the record at {} of conversation {}", seq.0, record.id)
}

/// Under a name that is none of an event the peer would find neither this one nor any behind it.
fn file_of(event: &str, number: u64) -> Result<String, &'static str> {
    let head = Head::of(event).map_err(|_| "it cannot be read")?;
    let name = peer::event_file(number, &head.id);
    let is_known = peer::event_of_file(&name).is_some() && name.ends_with(&format!("-{}.json", head.id));
    if is_known { Ok(name) } else { Err("no file can be called by its id") }
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

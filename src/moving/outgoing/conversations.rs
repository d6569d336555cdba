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

use super::write;
use crate::moving::progress::Progress;
use crate::moving::report::Report;
use crate::moving::store::Store;

const KIND: &str = "conversations";
/// Records in memory at once.
const PAGE: usize = 100;

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
    let folder = to.join(id.hex());
    write::folder(&folder.join("events"))?;
    let Folded { mut projection, brought } = events(store, &record, &folder, report).await?;
    if projection.status == Status::Running {
        // Nobody runs it any more.
        projection.status = Status::Paused;
    }
    let touched = projection.touched.as_deref().and_then(local_as_utc);
    let files = peer::write(&Written {
        record: &record,
        projection: &projection,
        brought: brought.as_ref(),
        persistence_dir: &folder.to_string_lossy(),
        updated_at: touched.as_deref().unwrap_or(&record.created_at),
    })?;
    if let Some(kept) = store.files_of_conversations()
        && let Err(why) = crate::moving::files::copy(&kept.join(id.hex()), &folder)
    {
        report.note(&format!("conversation {id}"), why);
    }
    // The peer knows a conversation by this file, so it comes last.
    write::file(&folder.join("base_state.json"), files.state.as_bytes())?;
    write::file(&folder.join("meta.json"), files.meta.as_bytes())?;
    report.moved(KIND);
    Ok(())
}

struct Folded {
    projection: Projection,
    brought: Option<Brought>,
}

async fn events(
    store: &Store,
    record: &ConversationRecord,
    folder: &Path,
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
                    let name = peer::event_file(count, &head.id);
                    write::file(&folder.join("events").join(name), event.get().as_bytes())?;
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
    Ok(Folded { projection, brought })
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

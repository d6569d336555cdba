//! Conversations: of each the log first, then its record, with which it is there.
//!
//! **Beside the gateways of a cluster.** The log is begun and then the record looked for; whoever makes a conversation stores the
//! record and then looks at the log. So at least one of the two sees the other: who has stored a record takes it back, for which
//! an import waits for a moment. In the same way an import that was taken for dead looks at its log once more when the record is
//! stored: the one that was begun in its stead has put a fence behind it, and drops it only where it then finds no record.
//!
//! **What is left out leaves nothing** in the log, so that its id is free.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::mem::take;
use std::path::Path;
use std::time::Duration;

use ports::{Bucket, Expect, LARGEST, fits};
use tokio::time::sleep;
use types::brought::Brought;
use types::buckets::CONVERSATIONS;
use types::conversation::ConversationRecord;
use types::log::{Control, LogRecord};
use types::peer::{self, Lineage, Moved};
use types::time::unix_ms;
use types::{ConversationId, LogId, TenantId};

use super::appending::{Appending, Stop, is_unused};
use super::{events, folder, opened, unknown_tools};
use crate::moving::files;
use crate::moving::progress::Progress;
use crate::moving::report::Report;
use crate::moving::store::Store;

const KIND: &str = "conversations";
const META: &str = "meta.json";

/// Bytes of `meta.json` and of `base_state.json`.
const MOST_STATE: u64 = LARGEST as u64;

const MOST_LEASE: u64 = 64 << 10;

/// Between two looks at whether somebody has taken his record back, and how often that is looked.
const WITHDRAWING: Duration = Duration::from_millis(100);
const WITHDRAWALS: usize = 20;

const OTHER: &str = "another conversation has its id here";
const MEANWHILE: &str = "somebody else makes a conversation of its id at this moment: bring it again";

/// As deep as JSON is read, less what is around an event in a page of them.
pub(super) const DEEPEST: usize = 120;

/// Why a conversation is left out, or everything that follows.
pub(super) enum Failure {
    LeftOut(String),
    Over(ports::Error),
}

impl From<ports::Error> for Failure {
    fn from(error: ports::Error) -> Self {
        match error {
            ports::Error::TooLarge(why) => Self::LeftOut(format!("it is more than is taken: {why}")),
            // Of one key alone: others may be whole.
            ports::Error::Internal(why) => {
                Self::LeftOut(format!("what is stored under its id cannot be used: {why}"))
            }
            error @ (ports::Error::Conflict { .. }
            | ports::Error::NotFound
            | ports::Error::Unavailable(_)
            | ports::Error::Full(_)) => Self::Over(error),
        }
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Store(error) => error.into(),
            stop @ (Stop::Used | Stop::Other | Stop::Refused(_)) => Self::LeftOut(stop.to_string()),
        }
    }
}

/// # Errors
/// Those of the store.
pub async fn bring(store: &Store, from: &Path, tenant: &TenantId, report: &mut Report) -> anyhow::Result<()> {
    let names = match folder::names(from, "") {
        Ok(names) => names,
        Err(why) => {
            report.left_out(KIND, &from.to_string_lossy(), why);
            return Ok(());
        }
    };
    let named = named(from, &names, report);
    let mut progress = Progress::new(KIND, named.len());
    for (id, name) in named {
        match one(store, &from.join(name), id, tenant, report).await {
            Ok(true) => report.moved(KIND),
            Ok(false) => report.there(KIND),
            Err(Failure::LeftOut(why)) => report.left_out(KIND, &format!("conversation {id}"), why),
            Err(Failure::Over(error)) => return Err(error.into()),
        }
        progress.step();
    }
    Ok(())
}

/// Folders of conversations are called by their ids, as a rule by the digits alone. What has another name is told where it
/// looks like one.
fn named<'a>(from: &Path, names: &'a [String], report: &mut Report) -> BTreeMap<ConversationId, &'a str> {
    let mut named = BTreeMap::new();
    let (usual, unusual): (Vec<_>, Vec<_>) = names.iter().partition(|name| is_usual(name));
    for name in usual.into_iter().chain(unusual) {
        let id = name.parse::<ConversationId>().ok();
        match id.map(|id| named.entry(id)) {
            Some(Entry::Vacant(entry)) => drop(entry.insert(name.as_str())),
            Some(Entry::Occupied(_)) => report.left_out(KIND, name, "another folder has its id"),
            None if !name.starts_with('.') && from.join(name).join(META).symlink_metadata().is_ok() => {
                report.left_out(KIND, name, "a folder of a conversation is called by its id");
            }
            None => {}
        }
    }
    named
}

fn is_usual(name: &str) -> bool {
    name.parse().is_ok_and(|id: ConversationId| id.hex() == name)
}

/// Whether it was not here before.
async fn one(
    store: &Store,
    from: &Path,
    id: ConversationId,
    tenant: &TenantId,
    report: &mut Report,
) -> Result<bool, Failure> {
    let left_out = |why: &str| Err(Failure::LeftOut(why.to_owned()));
    if !folder::is_folder(from) {
        return left_out("it is no folder");
    }
    let records = Bucket::<ConversationRecord>::new(&*store.ports.kv, CONVERSATIONS);
    if let Some(there) = records.get(&id.hex()).await? {
        if there.value.tenant != *tenant {
            return left_out("its id is taken");
        }
        if is_another(from, &there.value) {
            return left_out(OTHER);
        }
        if !is_lost(store, &there.value).await? {
            outputs(store, from, id, report);
            return Ok(false);
        }
        records.remove(&id.hex(), Expect::Revision(there.revision)).await?;
    }
    if is_held(from) {
        return left_out("the other server has it still: stop that one, and bring it again a minute later");
    }
    let named = format!("conversation {id}");
    let mut moved = read(from, id)?;
    let Moved { record, brought, notes, .. } = &mut moved;
    record.tenant = tenant.clone();
    let unknown = unknown_tools::leave_out(&mut record.agent, brought);
    if !unknown.is_empty() {
        report.note(&named, format!("its agent goes on without {}", unknown.join(", ")));
    }
    if opened::seal(&store.vault, record).map_err(Failure::LeftOut)? {
        report.note(&named, "a secret of it is masked in its files, and is not there here");
    }
    record.sandbox = store.sandbox_of(record).await?;
    can_be_read(record)?;
    take(notes).into_iter().for_each(|note| report.note(&named, note));

    let log = LogId::conversation(&record.sandbox, id);
    let mut appending = Appending::anew(store.ports.log.clone(), log).await?;
    let outcome = write(store, from, moved, &mut appending, report).await;
    if matches!(outcome, Err(Failure::LeftOut(_))) {
        appending.take_back(async || Ok(records.get(&id.hex()).await?.is_none())).await?;
    }
    outcome
}

/// Whether it was not here before.
async fn write(
    store: &Store,
    from: &Path,
    moved: Moved,
    appending: &mut Appending,
    report: &mut Report,
) -> Result<bool, Failure> {
    let left_out = |why: &str| Err(Failure::LeftOut(why.to_owned()));
    let Moved { head_is_empty, record, mut brought, .. } = moved;
    let (key, named) = (record.id.hex(), format!("conversation {}", record.id));
    let records = Bucket::<ConversationRecord>::new(&*store.ports.kv, CONVERSATIONS);
    let is_other = |there: &ConversationRecord| there.tenant != record.tenant || is_another(from, there);
    match staying(&records, &key).await? {
        Some(there) if is_other(&there) => return left_out(OTHER),
        // Of an earlier attempt, stored late: with the log that this one has left alone.
        Some(_) => return left_out(MEANWHILE),
        None => appending.drop_left().await?,
    }
    let mut lineage = Lineage::new(brought.leaf_event_id.as_deref(), head_is_empty);
    events::bring(appending, from, record.id, &mut lineage, report).await?;
    if lineage.has_lost_head() {
        report.note(&named, "where it stands is not among its events: it goes on from the last one");
        brought.leaf_event_id = None;
    }
    if let Some(moved) = lineage.moved() {
        appending.add(control(&moved)?).await?;
    }
    appending.add(said(brought, &named, report)?).await?;
    appending.end().await?;

    outputs(store, from, record.id, report);
    let mut made = records.make(&key, &record).await?;
    if made.is_none() {
        match staying(&records, &key).await? {
            Some(there) if is_other(&there) => return left_out(OTHER),
            // Somebody else has made it meanwhile, from the same files.
            Some(_) => return Ok(false),
            None => made = records.make(&key, &record).await?,
        }
    }
    let Some(revision) = made else { return left_out(MEANWHILE) };
    if !appending.is_whole().await? {
        records.remove(&key, Expect::Revision(revision)).await?;
        return left_out(MEANWHILE);
    }
    if !store.keep(&record).await? {
        records.remove(&key, Expect::Revision(revision)).await?;
        return left_out("its sandbox is being deleted: bring it again");
    }
    Ok(true)
}

/// What is stored under an id and stays: whoever makes a conversation takes its record back once he finds that its log is begun.
async fn staying(
    records: &Bucket<'_, ConversationRecord>,
    key: &str,
) -> ports::Result<Option<ConversationRecord>> {
    for _ in 0..WITHDRAWALS {
        if records.get(key).await?.is_none() {
            return Ok(None);
        }
        sleep(WITHDRAWING).await;
    }
    Ok(records.get(key).await?.map(|stored| stored.value))
}

/// Whether its sandbox was deleted before whoever brought it could keep that. Nothing of one that has been used is brought again.
async fn is_lost(store: &Store, record: &ConversationRecord) -> Result<bool, Failure> {
    let log = LogId::conversation(&record.sandbox, record.id);
    Ok(!store.keep(record).await? && is_unused(store.ports.log.clone(), log).await?)
}

/// What is copied again where it was not all there.
fn outputs(store: &Store, from: &Path, id: ConversationId, report: &mut Report) {
    let Some(to) = store.files_of_conversations() else { return };
    for (name, why) in files::copy(from, &to.join(id.hex())) {
        report.left_out("outputs", &format!("{}/{name}", id.hex()), why);
    }
}

/// Whether the files are those of another one than is here: both have the time when they were made.
fn is_another(from: &Path, record: &ConversationRecord) -> bool {
    let made = folder::text(from, META, MOST_STATE).ok().and_then(|meta| peer::created_at(&meta));
    made.is_some_and(|made| made != record.created_at)
}

/// What is too deep or too large could be written, and never be read again.
fn can_be_read(record: &ConversationRecord) -> Result<(), Failure> {
    let text = serde_json::to_string(record).map_err(|error| Failure::LeftOut(error.to_string()))?;
    if types::depth(text.as_bytes()) > DEEPEST {
        return Err(Failure::LeftOut("it is nested more deeply than is read".to_owned()));
    }
    Ok(fits(text.len())?)
}

/// The last record of the log; without what of it could not be read again.
fn said(mut brought: Brought, named: &str, report: &mut Report) -> Result<Vec<u8>, Failure> {
    let encoded = |brought: &Brought| control(&Control::Brought(Box::new(brought.clone())));
    let mut said = encoded(&brought)?;
    if types::depth(&said) > DEEPEST {
        report.left_out("fields", named, "some are nested more deeply than is read");
        brought.announced.clear();
        brought.tools.clear();
        brought.built_in_tools.clear();
        said = encoded(&brought)?;
    }
    if fits(said.len()).is_err() {
        report.left_out("fields", named, "what is not known here is more than is kept of it");
        brought.meta.clear();
        brought.state.clear();
        said = encoded(&brought)?;
    }
    fits(said.len())?;
    Ok(said)
}

/// Whether the peer may write it: until its lease ends.
fn is_held(from: &Path) -> bool {
    let Ok(lease) = folder::text(from, "owner_lease.json", MOST_LEASE) else { return false };
    let lease = serde_json::from_str::<serde_json::Value>(&lease).unwrap_or_default();
    let until = lease.get("expires_at").and_then(serde_json::Value::as_f64);
    until.is_some_and(|until| until * 1_000.0 > unix_ms() as f64)
}

fn read(from: &Path, id: ConversationId) -> Result<Moved, Failure> {
    let text = |name: &str| {
        let read = folder::text(from, name, MOST_STATE);
        read.map_err(|why| Failure::LeftOut(format!("{name}: {why}")))
    };
    let (meta, state) = (text(META)?, text("base_state.json")?);
    peer::read(id, &meta, &state).map_err(|why| Failure::LeftOut(why.to_string()))
}

fn control(control: &Control) -> Result<Vec<u8>, Failure> {
    let encoded = LogRecord::Control(control.clone()).encode();
    encoded.map_err(|error| Failure::LeftOut(error.to_string()))
}

#[cfg(test)]
mod tests;

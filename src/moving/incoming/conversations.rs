//! Conversations: of each the log first, then its record, with which it is there.

use std::collections::BTreeMap;
use std::path::Path;

use ports::{Bucket, LARGEST, fits};
use types::buckets::CONVERSATIONS;
use types::conversation::ConversationRecord;
use types::event::Head;
use types::log::{Control, LogRecord};
use types::peer::{self, Lineage, Moved};
use types::time::unix_ms;
use types::{ConversationId, LogId, TenantId};

use super::appending::{Appending, Stop};
use super::folder::{self, Unread};
use super::{opened, unknown_tools};
use crate::moving::files;
use crate::moving::progress::Progress;
use crate::moving::report::Report;
use crate::moving::store::Store;

const KIND: &str = "conversations";
const EVENTS: &str = "events";

/// Bytes of `meta.json` and of `base_state.json`.
const MOST_STATE: u64 = LARGEST as u64;
/// Of an event; what a record adds to it is little.
const MOST_EVENT: u64 = LARGEST as u64;

const MOST_LEASE: u64 = 64 << 10;

/// As deep as JSON is read, less what is around an event in a page of them.
const DEEPEST: usize = 120;

/// Why a conversation is left out, or everything that follows.
enum Failure {
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
    let names = match folder::names(from) {
        Ok(names) => names,
        Err(why) => {
            report.left_out(KIND, &from.to_string_lossy(), why);
            return Ok(());
        }
    };
    let named = names.iter().filter_map(|name| Some((name, id_of(name)?)));
    let named: Vec<(&String, ConversationId)> = named.collect();
    let mut progress = Progress::new(KIND, named.len());
    for (name, id) in named {
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

/// Folders of conversations are called by their digits; all else is none.
fn id_of(name: &str) -> Option<ConversationId> {
    name.parse().ok().filter(|id: &ConversationId| id.hex() == name)
}

/// Whether it was not here before.
async fn one(
    store: &Store,
    from: &Path,
    id: ConversationId,
    tenant: &TenantId,
    report: &mut Report,
) -> Result<bool, Failure> {
    let records = Bucket::<ConversationRecord>::new(&*store.ports.kv, CONVERSATIONS);
    if let Some(there) = records.get(&id.hex()).await? {
        let is_own = there.value.tenant == *tenant;
        return if is_own { Ok(false) } else { Err(Failure::LeftOut("its id is taken".to_owned())) };
    }
    if !folder::is_folder(from) {
        return Err(Failure::LeftOut("it is no folder".to_owned()));
    }
    if is_held(from) {
        let why = "the other server has it still: stop that one, and bring it again a minute later";
        return Err(Failure::LeftOut(why.to_owned()));
    }
    let Moved { head_is_empty, mut record, mut brought, notes } = read(from, id)?;
    record.tenant = tenant.clone();
    let unknown = unknown_tools::leave_out(&mut record.agent, &mut brought);
    if !unknown.is_empty() {
        report
            .note(&format!("conversation {id}"), format!("its agent goes on without {}", unknown.join(", ")));
    }
    opened::seal(&store.vault, &mut record).map_err(Failure::LeftOut)?;
    record.sandbox = store.sandbox_of(&record).await?;
    for note in notes {
        report.note(&format!("conversation {id}"), note);
    }

    let log = LogId::conversation(&record.sandbox, id);
    let mut appending = Appending::open(store.ports.log.clone(), log).await?;
    let mut lineage = Lineage::new(brought.leaf_event_id.as_deref(), head_is_empty);
    events(&mut appending, &from.join(EVENTS), id, &mut lineage, report).await?;
    if lineage.has_lost_head() {
        report.note(
            &format!("conversation {id}"),
            "where it stands is not among its events: it goes on from the last one",
        );
        brought.leaf_event_id = None;
    }
    if let Some(moved) = lineage.moved() {
        appending.add(control(&moved)?).await?;
    }
    let mut said = control(&Control::Brought(Box::new(brought.clone())))?;
    if fits(said.len()).is_err() {
        report.note(&format!("conversation {id}"), "what is not known here is more than is kept of it");
        brought.meta.clear();
        brought.state.clear();
        said = control(&Control::Brought(Box::new(brought)))?;
    }
    fits(said.len())?;
    appending.add(said).await?;
    appending.end().await?;

    if let Some(to) = store.files_of_conversations()
        && let Err(why) = files::copy(from, &to.join(id.hex()))
    {
        report.note(&format!("conversation {id}"), why);
    }
    // Somebody else may have made it meanwhile, from the same files.
    let is_new = records.make(&id.hex(), &record).await?.is_some();
    if is_new {
        store.keep(&record).await?;
    }
    Ok(is_new)
}

/// Whether the peer may write it: until its lease ends.
fn is_held(from: &Path) -> bool {
    let Ok(lease) = folder::text(&from.join("owner_lease.json"), MOST_LEASE) else { return false };
    let lease = serde_json::from_str::<serde_json::Value>(&lease).unwrap_or_default();
    let until = lease.get("expires_at").and_then(serde_json::Value::as_f64);
    until.is_some_and(|until| until * 1_000.0 > unix_ms() as f64)
}

fn read(from: &Path, id: ConversationId) -> Result<Moved, Failure> {
    let text = |name: &str| {
        let read = folder::text(&from.join(name), MOST_STATE);
        read.map_err(|why| Failure::LeftOut(format!("{name}: {why}")))
    };
    let (meta, state) = (text("meta.json")?, text("base_state.json")?);
    peer::read(id, &meta, &state).map_err(|why| Failure::LeftOut(why.to_string()))
}

/// All that can be read, numbered without a gap.
async fn events(
    appending: &mut Appending,
    from: &Path,
    id: ConversationId,
    lineage: &mut Lineage,
    report: &mut Report,
) -> Result<(), Failure> {
    let names = folder::names(from).map_err(|why| Failure::LeftOut(format!("{EVENTS}: {why}")))?;
    let mut numbered: BTreeMap<u64, &String> = BTreeMap::new();
    for name in &names {
        let Some(number) = peer::event_of_file(name) else { continue };
        if let Some(other) = numbered.insert(number, name) {
            report.left_out(
                "events",
                &format!("{}/{EVENTS}/{other}", id.hex()),
                "another one has its number",
            );
        }
    }
    let mut progress = Progress::new("events", numbered.len());
    let mut count = 0;
    for name in numbered.values() {
        match event(&from.join(name), count, lineage) {
            Ok(record) => {
                appending.add(record).await?;
                count += 1;
            }
            Err(why) => report.left_out("events", &format!("{}/{EVENTS}/{name}", id.hex()), why),
        }
        progress.step();
    }
    Ok(())
}

/// The record of an event, its text as it was written.
fn event(path: &Path, number: u64, lineage: &mut Lineage) -> Result<Vec<u8>, String> {
    let text = folder::text(path, MOST_EVENT).map_err(|why: Unread| why.to_string())?;
    let text = peer::compact(&text);
    let is_event = Head::of(&text).is_ok();
    if !is_event {
        return Err("it is no event".to_owned());
    }
    if peer::depth(&text) > DEEPEST {
        return Err("it is nested more deeply than clients read".to_owned());
    }
    let record = format!(r#"{{"n":{number},"event":{text}}}"#).into_bytes();
    fits(record.len()).map_err(|why| why.to_string())?;
    lineage.add(&text);
    Ok(record)
}

fn control(control: &Control) -> Result<Vec<u8>, Failure> {
    let encoded = LogRecord::Control(control.clone()).encode();
    encoded.map_err(|error| Failure::LeftOut(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_becomes_a_record_byte_for_byte_but_for_white_space() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name)
        };
        let written = "{\n \"id\": \"e\", \"kind\": \"FromTheFuture\", \"timestamp\": \"t\", \"n\": 1.50, \"é\": \"\\u00e9 \"\n}";
        let mut lineage = Lineage::new(None, false);
        let record = event(&at("a", written), 3, &mut lineage).unwrap();
        let wanted =
            r#"{"n":3,"event":{"id":"e","kind":"FromTheFuture","timestamp":"t","n":1.50,"é":"\u00e9 "}}"#;
        assert_eq!(String::from_utf8(record).unwrap(), wanted);
        for (name, text) in [("torn", "{\"id\": \"e\""), ("none", "{}"), ("list", "[]"), ("two", "{} {}")] {
            assert_eq!(event(&at(name, text), 0, &mut lineage).unwrap_err(), "it is no event", "{name}");
        }
    }

    #[test]
    fn what_the_peer_has_still_is_told_by_its_lease() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_held(dir.path()));
        for (lease, is_so) in [
            ("{\"owner_instance_id\": \"a\", \"generation\": 1, \"expires_at\": 1.5}", false),
            ("{\"owner_instance_id\": \"a\", \"generation\": 1, \"expires_at\": 99999999999.5}", true),
            ("torn", false),
        ] {
            std::fs::write(dir.path().join("owner_lease.json"), lease).unwrap();
            assert_eq!(is_held(dir.path()), is_so, "{lease}");
        }
    }

    #[test]
    fn only_folders_that_are_called_by_digits_are_conversations() {
        let id = ConversationId::random();
        assert_eq!(id_of(&id.hex()), Some(id));
        for other in [id.to_string(), id.hex().to_uppercase() + "x", ".trash".to_owned(), "..".to_owned()] {
            assert_eq!(id_of(&other), None, "{other}");
        }
    }
}

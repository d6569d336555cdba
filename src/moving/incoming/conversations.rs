//! Conversations: of each the log first, then its record, with which it is there.
//!
//! **Beside the gateways of a cluster.** The log is begun and then the record looked for; whoever makes a conversation stores the
//! record and then looks at the log. So one of the two sees the other. In the same way an import that was taken for dead looks at
//! its log once more when the record is stored: the one that was begun in its stead has dropped it, or finds the record.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use ports::{Bucket, Expect, LARGEST, fits};
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
            return left_out("another conversation has its id here");
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
    let Moved { head_is_empty, mut record, mut brought, notes } = read(from, id)?;
    record.tenant = tenant.clone();
    let unknown = unknown_tools::leave_out(&mut record.agent, &mut brought);
    if !unknown.is_empty() {
        report.note(&named, format!("its agent goes on without {}", unknown.join(", ")));
    }
    if opened::seal(&store.vault, &mut record).map_err(Failure::LeftOut)? {
        report.note(&named, "a secret of it is masked in its files, and is not there here");
    }
    record.sandbox = store.sandbox_of(&record).await?;
    can_be_read(&record)?;
    notes.into_iter().for_each(|note| report.note(&named, note));

    let log = LogId::conversation(&record.sandbox, id);
    let mut appending = Appending::anew(store.ports.log.clone(), log).await?;
    if records.get(&id.hex()).await?.is_some() {
        return left_out(MEANWHILE);
    }
    let mut lineage = Lineage::new(brought.leaf_event_id.as_deref(), head_is_empty);
    events::bring(&mut appending, from, id, &mut lineage, report).await?;
    if lineage.has_lost_head() {
        report.note(&named, "where it stands is not among its events: it goes on from the last one");
        brought.leaf_event_id = None;
    }
    if let Some(moved) = lineage.moved() {
        appending.add(control(&moved)?).await?;
    }
    appending.add(said(brought, &named, report)?).await?;
    appending.end().await?;

    outputs(store, from, id, report);
    // Somebody else may have made it meanwhile, from the same files.
    let Some(revision) = records.make(&id.hex(), &record).await? else { return Ok(false) };
    if !appending.is_whole().await? {
        records.remove(&id.hex(), Expect::Revision(revision)).await?;
        return left_out(MEANWHILE);
    }
    if !store.keep(&record).await? {
        records.remove(&id.hex(), Expect::Revision(revision)).await?;
        return left_out("its sandbox is being deleted: bring it again");
    }
    Ok(true)
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
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use async_trait::async_trait;
    use bytes::Bytes;
    use ports::doubles::{KvDouble, LogDouble};
    use ports::{Appended, EventLog, Kv, Ports, Record};
    use serde_json::json;
    use tokio::runtime::Handle;
    use tokio::task::spawn_blocking;
    use types::{SandboxId, Seq};

    use super::*;
    use crate::moving::store::Where;
    use crate::settings::{Settings, Source};

    const FORKED: &str = "33333333333343338333333333333333";
    /// The peer's.
    const KEY: &str = "the key of the fixture";

    /// A gateway makes a conversation of the id just before the log of the one that is brought is begun.
    struct MadeMeanwhile(Ports);

    #[async_trait]
    impl LogDouble for MadeMeanwhile {
        fn inner(&self) -> ports::Result<&dyn EventLog> {
            Ok(&*self.0.log)
        }

        async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> ports::Result<Appended> {
            if after == Seq::ZERO {
                self.0.kv.put(CONVERSATIONS, FORKED, made().to_string().into(), Expect::Absent).await?;
            }
            self.0.log.append(log, after, records).await
        }
    }

    /// Another import takes this one for dead just before the record is stored.
    struct BegunAnew(Ports);

    #[async_trait]
    impl KvDouble for BegunAnew {
        fn inner(&self) -> ports::Result<&dyn Kv> {
            Ok(&*self.0.kv)
        }

        async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> ports::Result<u64> {
            if bucket == CONVERSATIONS {
                let store = self.0.log.clone();
                let begin = move || Handle::current().block_on(Appending::anew(store, log())).map(drop);
                spawn_blocking(begin).await.unwrap().unwrap();
            }
            self.0.kv.put(bucket, key, value, expect).await
        }
    }

    fn log() -> LogId {
        LogId::conversation(&SandboxId::shared(), FORKED.parse().unwrap())
    }

    fn made() -> serde_json::Value {
        json!({"id": FORKED.parse::<ConversationId>().unwrap(), "sandbox": SandboxId::shared(),
            "created_at": "2026-11-23T00:00:00.000000Z", "title": null, "agent": {}, "max_iterations": 1,
            "workspace": {"working_dir": "/w", "kind": "LocalWorkspace"}, "stuck_detection": true,
            "confirmation_policy": {"kind": "NeverConfirm"}, "security_analyzer": null})
    }

    /// Brings one of a real peer, and answers what is stored then: the record and the log.
    async fn brought(
        change: impl FnOnce(&mut Ports),
    ) -> (Result<bool, Failure>, Option<String>, Vec<Record>) {
        let dir = tempfile::tempdir().unwrap();
        let variables =
            [("OH_CONVERSATIONS_PATH", "c"), ("OH_BASH_EVENTS_DIR", "b"), ("OH_PERSISTENCE_DIR", "p")];
        let path = |(name, at): (&str, &str)| (name.to_owned(), dir.path().join(at).display().to_string());
        let mut environment: BTreeMap<_, _> = variables.map(path).into();
        environment.insert("OH_SECRET_KEY".to_owned(), KEY.to_owned());
        let source = Source::new(environment, json!({}));
        let mut store = Store::open(Settings::from_source(&source).unwrap(), Where::Files).await.unwrap();
        change(&mut store.ports);
        let from = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/moving/peer-1.58.2/workspace/conversations")
            .join(FORKED);
        let mut report = Report::default();
        let done = one(&store, &from, FORKED.parse().unwrap(), &TenantId::default(), &mut report).await;
        let record = store.ports.kv.get(CONVERSATIONS, FORKED).await.unwrap();
        let record = record.map(|record| String::from_utf8_lossy(&record.value).into_owned());
        let records = store.ports.log.read_all(&log(), Seq::ZERO).await.unwrap();
        store.close().await;
        (done, record, records)
    }

    fn is_left_out(done: &Result<bool, Failure>) -> bool {
        matches!(done, Err(Failure::LeftOut(why)) if why == MEANWHILE)
    }

    #[tokio::test]
    async fn nothing_is_brought_into_a_conversation_that_is_made_at_the_same_moment() {
        let (done, record, records) = brought(|_| {}).await;
        assert!(matches!(done, Ok(true)) && record.is_some() && records.len() > 2);
        let (done, record, records) =
            brought(|ports| ports.log = Arc::new(MadeMeanwhile(ports.clone()))).await;
        assert!(is_left_out(&done));
        assert_eq!((record, records.len()), (Some(made().to_string()), 1), "a fence, which means nothing");
    }

    #[tokio::test]
    async fn an_import_whose_log_another_one_has_begun_anew_leaves_that_to_it() {
        let (done, record, records) = brought(|ports| ports.kv = Arc::new(BegunAnew(ports.clone()))).await;
        assert!(is_left_out(&done));
        assert_eq!((record, records.len()), (None, 1));
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
    fn a_folder_is_that_of_its_id_however_it_is_spelled_and_is_never_passed_over_in_silence() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (ConversationId::random(), ConversationId::random());
        let upper = one.to_string().to_uppercase();
        let names =
            [upper.clone(), one.hex(), two.to_string(), ".trash".into(), "backup".into(), "none".into()];
        for name in names.iter().filter(|name| *name != "none") {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join(META), "{}").unwrap();
        }
        let mut report = Report::default();
        let found = named(dir.path(), &names, &mut report);
        assert_eq!(found, BTreeMap::from([(one, one.hex().as_str()), (two, two.to_string().as_str())]));
        let told = format!("{report:?}");
        assert_eq!(
            (told.matches("left out: ").count(), told.contains("left out: backup")),
            (2, true),
            "{told}"
        );
        assert!(told.contains(&upper), "{told}");
    }
}

//! Gateways' indexes of conversations, alone with the stores: ids are taken again, deleted by several at once, and written to while
//! they become known. At rest each index says what the stores say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use parking_lot::Mutex;
use ports::Ports;
use ports::log::{LogWriter, Trouble};
use readmodel::index::{ConversationState, Created, Index};
use serde_json::{Value, json};
use testing::history::Tally;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::buckets::CONVERSATIONS;
use types::conversation::{ConversationRecord, Projection};
use types::log::LogRecord;
use types::{ConversationId, Epoch, SandboxId, Seq, TenantId};

use crate::faults::{Kind, Mix};
use crate::world::{Here, NodeId, Outcome, Simulation, Store, World};

pub const MIX: Mix = Mix {
    when: Duration::from_millis(1)..Duration::from_secs(15),
    most: 8,
    kinds: &[
        (Kind::LosesRequests, 2),
        (Kind::LosesAnswers, 3),
        (Kind::IsLate, 3),
        (Kind::IsSlow, 3),
        (Kind::IsCutOff, 5),
        (Kind::IsBehind, 4),
        (Kind::StoreIsAway, 1),
        (Kind::IsKilled, 3),
        (Kind::IsStopped, 3),
        (Kind::ClockJumps, 1),
    ],
};

/// By then all that gateways want is done.
const PATIENCE: Duration = Duration::from_secs(600);
/// After that each has heard of all there is.
const SETTLING: Duration = Duration::from_secs(200);
/// Between two looks at whether somebody has said all.
const PAUSE: Duration = Duration::from_millis(5);
/// For a write to be seen where it was made.
const VISIBLE: Duration = Duration::from_secs(10);

/// What the gateways of a world were told. Cheap to clone.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    /// By the marks of their records.
    conversations: BTreeMap<String, Past>,
    indexes: BTreeMap<NodeId, Index>,
    broken: Vec<String>,
    /// How often something is still to be done.
    left: u32,
    marks: u32,
}

#[derive(Default)]
struct Past {
    is_made: bool,
    /// Its first records are stored: what is late finds them.
    is_begun: bool,
    /// Who says something in it has more to say.
    is_spoken_in: bool,
    /// Who did so was killed: what he said last may come late.
    is_cut_off: bool,
    /// Somebody wanted it deleted.
    is_unwanted: bool,
    is_deleted: bool,
    texts: Vec<String>,
}

pub fn run(simulation: &mut Simulation, rng: &mut Rng) -> Vec<String> {
    let told = Told::default();
    told.0.lock().left = rng.u32(5..60);
    let ids: Vec<ConversationId> = (0..rng.usize(1..4)).map(|_| ConversationId::random()).collect();
    for number in 0..rng.usize(1..=3) {
        serve(&simulation.world, format!("gateway {number}"), ids.clone(), told.clone());
    }
    let outcome = simulation.run(PATIENCE, |_| told.0.lock().left == 0);
    if outcome != Outcome::Done {
        told.0.lock().broken.push(format!("not all is done: {outcome:?}"));
    }
    simulation.run(SETTLING, |_| false);
    let mut notes = told.0.lock();
    let mut broken = std::mem::take(&mut notes.broken);
    let is_there = |node: &NodeId| simulation.world.is_there(*node);
    let indexes: Vec<_> = notes.indexes.iter().filter(|(node, _)| is_there(node)).collect();
    simulation.world.stored(|store| {
        let records = records(store);
        for (node, index) in indexes {
            compare(store, &records, *node, index, &notes, &mut broken);
        }
        for mark in notes.conversations.keys() {
            judge(store, &records, mark, &notes, &mut broken);
        }
    });
    broken
}

fn serve(world: &World, name: String, ids: Vec<ConversationId>, told: Told) {
    let (own, later) = (name.clone(), (ids.clone(), told.clone()));
    let work = move |here: Here| async move {
        let (tasks, drain) = (TaskTracker::new(), CancellationToken::new());
        let Ok(index) = Index::start(&here.ports, &tasks, &drain).await else { return };
        told.0.lock().indexes.insert(here.node, index.clone());
        let gateway = Gateway { ports: here.ports, index, told };
        tokio::join!(gateway.work(&ids), gateway.work(&ids));
        std::future::pending::<()>().await;
    };
    world.start(name, work, move |world, _| {
        let pause = Duration::from_millis(world.dice().u64(100..5_000));
        world.after(pause, move |world| serve(world, own, later.0, later.1));
    });
}

struct Gateway {
    ports: Ports,
    index: Index,
    told: Told,
}

impl Gateway {
    async fn work(&self, ids: &[ConversationId]) {
        while self.told.begins() {
            sleep(Duration::from_millis(fastrand::u64(..[3, 300, 2_000][fastrand::usize(..3)]))).await;
            let Some(id) = fastrand::choice(ids).copied() else { return };
            match fastrand::u32(..8) {
                0..4 => self.make(id).await,
                4..7 => self.delete(id).await,
                _ => drop(self.index.find(&TenantId::default(), id).await),
            }
        }
    }

    /// Makes a conversation where there is none, and says something in it.
    async fn make(&self, id: ConversationId) {
        let mark = self.told.next_mark();
        let Ok(Created::New(entry)) = self.index.create(&record(id, &mark)).await else { return };
        self.told.know(&mark, |past| past.is_made = true);
        let speech = Speech::begin(&self.told, &mark);
        let opened = LogWriter::open(self.ports.log.clone(), entry.log.clone(), Epoch(1), |_| {}).await;
        let Ok(mut writer) = opened else { return };
        for number in 0..fastrand::u64(1..6) {
            let text = format!("{number} of {mark}");
            let Some(seq) = say(&mut writer, number, &text).await else { return };
            let is_unwanted = self.told.know(&mark, |past| {
                past.is_begun = true;
                past.texts.push(text);
                past.is_unwanted
            });
            let seen = self.index.wait_for(&entry, seq, VISIBLE).await;
            if is_unwanted || self.told.know(&mark, |past| past.is_unwanted) {
                break;
            }
            if seen == Err(ports::Error::NotFound) {
                self.told.complain(format!("{number} of {mark} is stored at {seq:?} and is not found"));
            }
            sleep(Duration::from_millis(fastrand::u64(..[2, 50][fastrand::usize(..2)]))).await;
        }
        speech.end();
    }

    async fn delete(&self, id: ConversationId) {
        let tenant = TenantId::default();
        let Some(mark) = self.index.get(&tenant, id).map(|entry| mark_of(&entry)) else { return };
        if !self.told.know(&mark, |past| past.is_begun) {
            return;
        }
        self.told.know(&mark, |past| past.is_unwanted = true);
        let pause = Duration::from_millis(fastrand::u64(..[1, 500][fastrand::usize(..2)]));
        let forget = async |_: &ConversationState| {
            // As a worker does it: what is being written is written before.
            while self.told.know(&mark, |past| past.is_spoken_in) {
                sleep(PAUSE).await;
            }
            sleep(pause).await;
            Ok::<(), ports::Error>(())
        };
        if self.index.delete(&tenant, id, forget).await == Ok(true) {
            self.told.know(&mark, |past| past.is_deleted = true);
        }
    }
}

/// Somebody says something in a conversation, until this is dropped.
struct Speech {
    told: Told,
    mark: String,
    has_ended: bool,
}

impl Speech {
    fn begin(told: &Told, mark: &str) -> Self {
        told.know(mark, |past| past.is_spoken_in = true);
        Self { told: told.clone(), mark: mark.to_owned(), has_ended: false }
    }

    fn end(mut self) {
        self.has_ended = true;
    }
}

impl Drop for Speech {
    fn drop(&mut self) {
        self.told.know(&self.mark, |past| {
            past.is_spoken_in = false;
            past.is_cut_off = !self.has_ended;
        });
    }
}

impl Told {
    fn begins(&self) -> bool {
        let mut notes = self.0.lock();
        let begins = notes.left > 0;
        notes.left = notes.left.saturating_sub(1);
        begins
    }

    fn next_mark(&self) -> String {
        let mut notes = self.0.lock();
        notes.marks += 1;
        format!("conversation {}", notes.marks)
    }

    fn know<T>(&self, mark: &str, change: impl FnOnce(&mut Past) -> T) -> T {
        change(self.0.lock().conversations.entry(mark.to_owned()).or_default())
    }

    fn complain(&self, text: String) {
        self.0.lock().broken.push(text);
    }
}

/// Where it is stored; `None` where it never will be.
async fn say(writer: &mut LogWriter, number: u64, text: &str) -> Option<Seq> {
    let event =
        json!({"id": text, "timestamp": "2026-11-23T00:00:01", "kind": "MessageEvent", "source": "user"});
    let record = Bytes::from(LogRecord::event(number, &event).ok()?.encode().ok()?);
    let batch = writer.batch(vec![record]).ok()?;
    loop {
        match writer.store(&batch).await {
            Ok(appended) => return Some(appended.tail()),
            Err(Trouble::NotNow(_)) => sleep(Duration::from_millis(fastrand::u64(1..500))).await,
            Err(Trouble::Lost(_)) => return None,
        }
    }
}

fn record(id: ConversationId, mark: &str) -> ConversationRecord {
    let record = json!({"id": id, "sandbox": SandboxId::shared(), "created_at": types::time::utc_now(), "title": null,
        "workspace": {"working_dir": "/w", "kind": "LocalWorkspace"}, "agent": {}, "max_iterations": 1,
        "stuck_detection": true, "confirmation_policy": {"kind": "NeverConfirm"}, "security_analyzer": null,
        "tags": {"mark": mark}});
    serde_json::from_value(record).expect("a record")
}

fn mark_of(entry: &ConversationState) -> String {
    entry.record().tags.get("mark").cloned().unwrap_or_default()
}

/// By their ids.
fn records(store: &Store) -> BTreeMap<String, ConversationRecord> {
    let stored = store.all(CONVERSATIONS).into_iter();
    stored.filter_map(|(key, entry)| Some((key, serde_json::from_slice(&entry.value).ok()?))).collect()
}

/// An index says what is stored.
fn compare(
    store: &Store,
    records: &BTreeMap<String, ConversationRecord>,
    node: NodeId,
    index: &Index,
    notes: &Notes,
    broken: &mut Vec<String>,
) {
    let known: BTreeMap<String, Arc<ConversationState>> =
        index.all().into_iter().map(|entry| (entry.id.hex(), entry)).collect();
    let stored: Vec<(&String, Option<&String>)> =
        records.iter().map(|(id, record)| (id, record.tags.get("mark"))).collect();
    let shown: Vec<(&String, String)> = known.iter().map(|(id, entry)| (id, mark_of(entry))).collect();
    if !stored.iter().copied().eq(shown.iter().map(|(id, mark)| (*id, Some(mark)))) {
        broken.push(format!("{node:?} shows {shown:?}, and there are {stored:?}"));
    }
    for entry in known.values() {
        let mark = mark_of(entry);
        // Of what was to be deleted the log may be gone already.
        if notes.conversations.get(&mark).is_none_or(|past| past.is_unwanted) {
            continue;
        }
        let mut projection = Projection::default();
        for stored in store.records(&entry.log) {
            if let Ok(record) = LogRecord::decode(&stored.payload) {
                projection.apply(stored.seq, &record);
            }
        }
        let shown = entry.with_projection(Clone::clone);
        if shown != projection {
            broken.push(format!("{node:?} shows of {mark}: {shown:?}, and its log says {projection:?}"));
        }
    }
}

/// What was told of a conversation is so.
fn judge(
    store: &Store,
    records: &BTreeMap<String, ConversationRecord>,
    mark: &String,
    notes: &Notes,
    broken: &mut Vec<String>,
) {
    let Some(past) = notes.conversations.get(mark) else { return };
    let record = records.values().find(|record| record.tags.get("mark") == Some(mark));
    let Some(record) = record else {
        if past.is_made && !past.is_unwanted {
            broken.push(format!("{mark} is gone"));
        }
        return;
    };
    if past.is_deleted {
        broken.push(format!("{mark} is there again"));
    }
    if past.is_unwanted {
        return;
    }
    let log = types::LogId::conversation(&record.sandbox, record.id);
    let stored = store.records(&log);
    let texts: Vec<String> = stored.iter().filter_map(|record| said(&record.payload)).collect();
    let is_anothers = |text: &String| {
        let whose = text.split_once(" of ").and_then(|(_, whose)| notes.conversations.get_key_value(whose));
        whose.is_none_or(|(whose, past)| whose != mark && !past.is_cut_off)
    };
    if texts.iter().any(is_anothers) {
        broken.push(format!("{mark} has what is another's: {texts:?}"));
    }
    let mut tally = Tally::default();
    tally.count(&past.texts, &texts);
    if !tally.is_clean() {
        broken.push(format!("{mark}: {tally}"));
    }
}

fn said(payload: &Bytes) -> Option<String> {
    let record: Value = serde_json::from_slice(payload).ok()?;
    record["event"]["id"].as_str().map(str::to_owned)
}

//! What must be true of a cluster at rest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use testing::history::Tally;
use types::buckets::{ALLOCATIONS, CONVERSATIONS, PLACES, SANDBOXES};
use types::log::LogRecord;
use types::placement::{Allocation, Want, Wanted};
use types::{LogId, SandboxId};

use super::client::said;
use super::engine::Engine;
use super::memory::{Fate, Memory, Past};
use super::tool;
use crate::world::{Simulation, Store};

/// What is wrong with sandboxes: they are what is wanted, each with one worker, and each is somebody's.
pub fn homeless(simulation: &Simulation, engine: &Engine, warm: usize) -> Vec<String> {
    let mut broken = Vec::new();
    simulation.world.stored(|store| sandboxes(store, engine, warm, &mut broken));
    broken
}

fn sandboxes(store: &Store, engine: &Engine, warm: usize, broken: &mut Vec<String>) {
    let wanted: BTreeMap<String, Wanted> = all(store, SANDBOXES);
    let allocations: BTreeMap<String, Allocation> = all(store, ALLOCATIONS);
    let places: BTreeMap<String, SandboxId> = all(store, PLACES);
    let mut running: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for instance in engine.running() {
        running.entry(instance.sandbox.to_string()).or_default().push(instance.epoch.0);
    }
    for (sandbox, epochs) in &running {
        match wanted.get(sandbox).map(|wanted| wanted.want) {
            Some(Want::Running) if epochs.len() == 1 => {}
            want => {
                broken.push(format!("sandbox {sandbox}, of which {want:?} is wanted, has workers {epochs:?}"))
            }
        }
        let epoch = allocations.get(sandbox).map(|allocation| allocation.epoch.0);
        if epochs.last() != epoch.as_ref() {
            broken.push(format!("sandbox {sandbox}: worker {epochs:?} runs, and {epoch:?} is arranged"));
        }
    }
    let mut unclaimed = 0;
    for (sandbox, Wanted { tenant, place, want, .. }) in &wanted {
        let failure = allocations.get(sandbox).and_then(|allocation| allocation.failure.clone());
        if *want == Want::Running
            && !running.contains_key(sandbox)
            && !failure.is_some_and(|failure| failure.is_final)
        {
            broken.push(format!("sandbox {sandbox} is wanted and has no worker"));
        }
        if *want == Want::Deleted {
            broken.push(format!("sandbox {sandbox} is to be deleted and is there"));
        }
        let Some(tenant) = tenant else {
            unclaimed += 1;
            continue;
        };
        let is_named = places
            .iter()
            .any(|(key, named)| named.as_str() == sandbox && key.starts_with(&format!("{tenant}.")));
        if !is_named {
            broken.push(format!("sandbox {sandbox} of {tenant} is at no place: {place}"));
        }
    }
    if unclaimed != warm {
        broken.push(format!("{unclaimed} sandboxes are warm, and not {warm}"));
    }
    for volume in engine.volumes() {
        if !wanted.contains_key(volume.as_str()) {
            broken.push(format!("files of sandbox {volume} are left"));
        }
    }
}

/// What clients were told of their conversations is so.
pub fn conversations(store: &Store, engine: &Engine, memories: &[Memory], broken: &mut Vec<String>) {
    let records: BTreeMap<String, Value> = all(store, CONVERSATIONS);
    for memory in memories.iter().filter(|memory| !engine.has_lied_to(&memory.tenant)) {
        broken.extend(memory.broken.iter().cloned());
        for past in memory.settled() {
            conversation(store, engine, &records, past, broken);
        }
    }
    if memories.iter().all(|memory| memory.is_done) {
        let known: BTreeSet<String> = pasts(memories).map(|past| past.id.hex()).collect();
        for (id, record) in records.iter().filter(|(id, _)| !known.contains(*id)) {
            broken.push(format!("{id} was made, and nobody knows of it: {}", record["tags"]));
        }
    }
}

fn conversation(
    store: &Store,
    engine: &Engine,
    records: &BTreeMap<String, Value>,
    past: &Past,
    broken: &mut Vec<String>,
) {
    let Past { id, mark, stored, fate } = past;
    let is_its = |log: &LogId| log.of_conversation() == Some(*id) && !engine.has_lied_in(log.sandbox());
    let logs: Vec<LogId> = store.logs().filter(is_its).collect();
    let Some(record) = records.get(&id.hex()) else {
        if *fate == Fate::There {
            broken.push(format!("{mark} is gone"));
        } else if !logs.is_empty() {
            broken.push(format!("something is left of {id}, which is deleted: {logs:?}"));
        }
        return;
    };
    if *fate == Fate::Deleted {
        return broken.push(format!("{mark} is there again: {}", record["tags"]));
    }
    let own = record["tags"]["mark"].as_str().unwrap_or_default();
    let of_events = |log: &&LogId| matches!(log, LogId::Conversation { .. });
    let events: Vec<Value> = logs.iter().filter(of_events).flat_map(|log| events(store, log)).collect();
    let texts: Vec<String> = events.iter().filter_map(said).collect();
    if texts.iter().any(|text| !text.ends_with(own)) || *fate == Fate::There && own != mark {
        broken.push(format!("{own}, which is to be {mark}, has what is another's: {texts:?}"));
    }
    let mut tally = Tally::default();
    let acknowledged: &[String] = if own == mark { stored } else { &[] };
    tally.count(acknowledged, &texts);
    tally.examine(&events);
    if !tally.is_clean() {
        broken.push(format!("{own}: {tally}"));
    }
}

fn pasts(memories: &[Memory]) -> impl Iterator<Item = &Past> {
    memories.iter().flat_map(|memory| &memory.past)
}

/// Each was done once at most, after it was stored, and whatever was done is in the log.
pub fn deeds(store: &Store, memories: &[Memory], broken: &mut Vec<String>) {
    let mut stored = BTreeSet::new();
    for log in store.logs().filter(|log| matches!(log, LogId::Conversation { .. })) {
        for event in events(store, &log).iter().filter(|event| event["kind"] == "ActionEvent") {
            stored.extend(event["action"]["name"].as_str().map(str::to_owned));
        }
    }
    let is_all_there = pasts(memories).all(|past| past.fate == Fate::There && !past.is_made_anew());
    let (done, unstored) = tool::end();
    broken.extend(unstored);
    for (name, times) in done {
        if times > 1 {
            broken.push(format!("{name} was done {times} times"));
        }
        if is_all_there && !stored.contains(&name) {
            broken.push(format!("{name} was done and is in no log"));
        }
    }
}

fn events(store: &Store, log: &LogId) -> Vec<Value> {
    let records = store.records(log);
    let records = records.iter().filter_map(|record| LogRecord::decode(&record.payload).ok());
    records
        .filter_map(|record| match record {
            LogRecord::Event { event, .. } => serde_json::from_str(event.get()).ok(),
            LogRecord::Control(_) => None,
        })
        .collect()
}

/// The records of a bucket.
pub fn all<T: serde::de::DeserializeOwned>(store: &Store, bucket: &str) -> BTreeMap<String, T> {
    let values = store.all(bucket).into_iter();
    values.filter_map(|(key, entry)| Some((key, serde_json::from_slice(&entry.value).ok()?))).collect()
}

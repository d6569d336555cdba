//! A client with one conversation after the other: says things, runs commands, stops and deletes, asks again where nobody has
//! answered, and remembers what it was told.

mod commands;
mod ends;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use ports::{Change, Ports};
use serde_json::{Value, json};
use tokio::time::sleep;
use types::ConversationId;
use types::buckets::{LEASES, SANDBOXES};
use types::placement::{Lease, Want, Wanted};
use uuid::Uuid;

use super::api::{Answer, Call, Caller, PATIENCE};
use super::memory::{Memory, Past};
use super::{IDLE_LIMITS, MIX, RECOVERY};
use crate::world::{Here, World};

pub use ends::said;

/// One that has a conversation.
struct Client {
    world: World,
    ports: Ports,
    caller: Caller,
    memory: Arc<Mutex<Memory>>,
    id: ConversationId,
    mark: String,
    folder: String,
    /// Calls with a key that were answered, to be made once more.
    made: Vec<(Call, Answer)>,
    /// It was asked to run then, and nothing else after that.
    is_to_run: Option<Duration>,
    commands: commands::Commands,
}

/// A client, until all it wants is done.
pub async fn work(here: Here, root: &Path, memory: Arc<Mutex<Memory>>) {
    sleep(Duration::from_millis(fastrand::u64(1_000..10_000))).await;
    for _ in 0..fastrand::u32(1..4) {
        let folder = root.join(["project", "project", "other"][fastrand::usize(..3)]);
        let client = Client::begin(&here, folder.display().to_string(), &memory).await;
        client.live().await;
    }
    memory.lock().is_done = true;
}

impl Client {
    /// Makes a conversation.
    async fn begin(here: &Here, folder: String, memory: &Arc<Mutex<Memory>>) -> Self {
        let tenant = memory.lock().tenant.clone();
        let mark = format!("{tenant}.{}.1", Uuid::new_v4().simple());
        let mut client = Self {
            world: here.world.clone(),
            ports: here.ports.clone(),
            caller: Caller::of(&tenant),
            memory: memory.clone(),
            id: ConversationId::random(),
            mark: mark.clone(),
            folder,
            made: Vec::new(),
            is_to_run: None,
            commands: commands::Commands::default(),
        };
        let names_it = fastrand::bool();
        let (call, text) = client.creation(&mark, names_it.then_some(client.id));
        let call = call.key((!names_it).then(new_key));
        let (answer, _) = client.insist(&call).await;
        match id_of(&answer) {
            Some(id) if answer.is_success() && (id == client.id || !names_it) => client.id = id,
            _ => client.wonder(&call, &answer),
        }
        let mut past = Past::new(client.id, mark);
        // It is stored before all that is said later.
        client.is_to_run = client.now_if(text.is_some());
        past.stored.extend(text);
        memory.lock().past.push(past);
        client.keep(call, answer);
        client
    }

    /// One conversation.
    async fn live(mut self) {
        for number in 0..fastrand::u32(..7) {
            let most = [10, 1_000, 8_000, 40_000][fastrand::usize(..4)];
            sleep(Duration::from_millis(fastrand::u64(..most))).await;
            match fastrand::u32(..16) {
                0 => self.command_it("pause").await,
                1 => self.command_it("interrupt").await,
                2 => self.ask(&self.caller.post(self.path("/run"), Value::Null)).await.map_or((), drop),
                3 | 4 => {
                    self.wait_for_a_pause().await;
                    self.say(number).await;
                }
                5..8 => self.run_commands(number).await,
                8 => self.ask_again().await,
                9 => self.look_at_the_list().await,
                10 if fastrand::bool() => self.clear_commands().await,
                _ => self.say(number).await,
            }
        }
        self.end().await;
    }

    async fn command_it(&mut self, what: &str) {
        self.is_to_run = None;
        let call = self.caller.post(self.path(&format!("/{what}")), Value::Null);
        let (answer, _) = self.insist(&call).await;
        self.is_done(&call, &answer);
    }

    /// Until a sandbox is paused, or its worker says that it has had nothing to do for as long as that takes; any, or for as long
    /// as that may take: the worst moments to come.
    async fn wait_for_a_pause(&self) {
        let bucket = [SANDBOXES, LEASES][fastrand::usize(..2)];
        let idle = IDLE_LIMITS[fastrand::usize(..IDLE_LIMITS.len())].as_secs();
        let Ok(mut changes) = self.ports.kv.watch(bucket).await else { return };
        let is_due = |value: &[u8]| match bucket {
            SANDBOXES => serde_json::from_slice(value)
                .is_ok_and(|wanted: Wanted| wanted.want == Want::Paused && wanted.quiet_after.is_some()),
            _ => serde_json::from_slice(value).is_ok_and(|lease: Lease| lease.idle_seconds >= idle),
        };
        let is_pause = |change: &Change| match change {
            Change::Put { entry, .. } => is_due(&entry.value),
            Change::Deleted { .. } | Change::Lagged => false,
        };
        let paused = async { while changes.next().await.is_some_and(|change| !is_pause(&change)) {} };
        // Where none comes it is said all the same.
        let _ = tokio::time::timeout(Duration::from_secs(60), paused).await;
    }

    async fn say(&mut self, number: u32) {
        let text = format!("message {number} of {}", self.mark);
        let run = fastrand::u32(..5) != 0;
        let body = json!({"role": "user", "content": [{"type": "text", "text": text}], "run": run});
        self.is_to_run = None;
        let call = self.caller.post(self.path("/events"), body);
        if fastrand::u32(..5) == 0 {
            // Where nobody answers nobody knows whether it is stored.
            match self.ask(&call).await {
                Some(answer) if answer.is_for_now() => {}
                Some(answer) if self.is_done(&call, &answer) => {
                    self.is_to_run = self.now_if(run);
                    self.know(|past| past.stored.push(text));
                }
                _ => {}
            }
            return;
        }
        let call = call.key(Some(new_key()));
        let (answer, _) = self.insist(&call).await;
        if self.is_done(&call, &answer) {
            self.is_to_run = self.now_if(run);
            self.know(|past| past.stored.push(text));
            self.keep(call, answer);
        }
    }

    /// The same call with the same key has one effect, and the same answer.
    async fn ask_again(&self) {
        let Some((call, before)) = fastrand::choice(&self.made) else { return };
        let (now, _) = self.insist(call).await;
        let is_same = match now.is_replayed {
            true => now.body == before.body && now.status == before.status,
            // The first answer was not kept.
            false => id_of(&now) == id_of(before) && now.status == before.status,
        };
        if !is_same {
            self.wonder(call, &(before, now));
        }
    }

    async fn look_at_the_list(&self) {
        let call = self.caller.get("/api/conversations/search?limit=100");
        let (answer, _) = self.insist(&call).await;
        let tenant = format!("{}.", self.memory.lock().tenant);
        let items = answer.body["items"].as_array().cloned().unwrap_or_default();
        let is_own =
            |item: &Value| item["tags"]["mark"].as_str().is_some_and(|mark| mark.starts_with(&tenant));
        let ids: std::collections::BTreeSet<Option<&str>> =
            items.iter().map(|item| item["id"].as_str()).collect();
        if !answer.is_success() || !items.iter().all(is_own) || ids.len() != items.len() {
            self.wonder(&call, &answer);
        }
    }

    fn creation(&self, mark: &str, id: Option<ConversationId>) -> (Call, Option<String>) {
        let llm = json!({"model": "openai/scripted", "api_key": "a key", "base_url": "http://127.0.0.1:9/v1",
            "num_retries": 2, "retry_min_wait": 1, "retry_max_wait": 2, "usage_id": "agent"});
        // Whether one is delivered for which there is no room nobody says.
        let has_room = self.memory.lock().has_room;
        let text = (has_room && fastrand::u32(..3) == 0).then(|| format!("first of {mark}"));
        let first =
            text.as_ref().map(|text| json!({"content": [{"type": "text", "text": text}], "run": true}));
        let body = json!({"conversation_id": id, "agent": {"kind": "Agent", "llm": llm, "tools": [{"name": "deed"}]},
            "workspace": {"working_dir": self.folder}, "max_iterations": 50, "stuck_detection": false,
            "confirmation_policy": {"kind": "NeverConfirm"}, "autotitle": false, "tags": {"mark": mark},
            "initial_message": first});
        (self.caller.post("/api/conversations", body), text)
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/conversations/{}{rest}", self.id)
    }

    async fn ask(&self, call: &Call) -> Option<Answer> {
        let (is_calm, is_well) = self.is_calm_and_well();
        let patience = match fastrand::u32(..4) {
            0 if !is_calm => Duration::from_millis(fastrand::u64(10..20_000)),
            _ => PATIENCE,
        };
        let answer = call.clone().ask(&self.ports, patience, fastrand::bool()).await;
        tracing::debug!(?call, ?answer, "a client has asked");
        let is_put_off = answer.as_ref().is_none_or(|answer| answer.status >= 500);
        if is_put_off && (is_well || answer.as_ref().is_some_and(|answer| answer.status == 500)) {
            self.wonder(call, &answer);
        }
        answer
    }

    fn is_calm_and_well(&self) -> (bool, bool) {
        let memory = self.memory.lock();
        (memory.is_calm, memory.is_well())
    }

    fn now_if(&self, is_so: bool) -> Option<Duration> {
        is_so.then(|| self.world.now())
    }

    /// Whether all was well for a while before a time and is so since, and there is room for all.
    fn was_well_since(&self, time: Duration) -> bool {
        let memory = self.memory.lock();
        let trouble = self.world.last_trouble().max(MIX.when.end);
        memory.has_room && memory.has_places && (memory.is_calm || time > trouble + RECOVERY)
    }

    /// Until it is done, or refused for good; after how many times.
    async fn insist(&self, call: &Call) -> (Answer, usize) {
        let mut times = 0;
        loop {
            times += 1;
            match self.ask(call).await {
                Some(answer) if !answer.is_for_now() || self.has_no_room(&answer) => return (answer, times),
                _ => sleep(Duration::from_millis(fastrand::u64(100..3_000))).await,
            }
        }
    }

    /// Whether it is done; what cannot be refused is noted where it is not.
    fn is_done(&self, call: &Call, answer: &Answer) -> bool {
        if !answer.is_success() && !self.has_no_room(answer) {
            self.wonder(call, answer);
        }
        answer.is_success()
    }

    /// Nobody promises that there will be any.
    fn has_no_room(&self, answer: &Answer) -> bool {
        answer.status == 507 && !self.memory.lock().has_room
    }

    fn keep(&mut self, call: Call, answer: Answer) {
        if call.key.is_some() {
            self.made.push((call, answer));
        }
    }

    fn know(&self, change: impl FnOnce(&mut Past)) {
        if let Some(past) = self.memory.lock().past.last_mut() {
            change(past);
        }
    }

    fn wonder(&self, call: &Call, told: &impl std::fmt::Debug) {
        let Call { path, key, body, .. } = call;
        self.memory.lock().broken.push(format!("a client was told {told:?} to {path} ({key:?}) {body}"));
    }
}

fn new_key() -> String {
    Uuid::new_v4().simple().to_string()
}

fn id_of(answer: &Answer) -> Option<ConversationId> {
    answer.body["id"].as_str().and_then(|id| Uuid::parse_str(id).ok()).map(ConversationId)
}

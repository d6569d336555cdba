//! A worker on a real store, with a record keeper in the gateway's place and a scripted model.

pub mod counted;
pub mod faulty;
mod store;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use manyhands_worker::Config;
use ports::rpc::{self, Address, Call, Code, Fault, Limits, Server};
use ports::{Parcel, Ports};
use serde_json::{Value, json};
use store::Store;
use tempfile::TempDir;
use testing::model::Model;
use testing::script::Turn;
pub use testing::{PATIENCE, until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::calls::{Command, CommandDone, ConversationCall, LookedUp, RecordCall, Survivors, WorkingCopy};
use types::known_values::KnownValues;
use types::log::{Control, LogRecord};
use types::policy::ConfirmationPolicy;
use types::secrets::SecretSource;
use types::{ConversationId, Epoch, Life, LogId, Message, Role, SandboxId, Seq, subjects};

#[derive(Default)]
pub struct Records {
    pub copies: HashMap<ConversationId, WorkingCopy>,
    pub titles: HashMap<ConversationId, String>,
    pub opened: usize,
    /// What the server keeps for secrets of conversations.
    pub kept_secrets: HashMap<(ConversationId, String), String>,
    /// In which conversations have folders of their own.
    folder: String,
}

pub struct World {
    pub dir: TempDir,
    pub ports: Ports,
    pub model: Model,
    pub records: Arc<Mutex<Records>>,
    pub config: Config,
    /// What the worker has of the store.
    worker_ports: Ports,
    _store: Store,
    worker: Option<(CancellationToken, JoinHandle<()>)>,
}

impl World {
    pub async fn start() -> Self {
        Self::with(|_| {}, |_| {}).await
    }

    /// A world whose worker has a changed configuration, on changed ports.
    pub async fn with(change: impl FnOnce(&mut Config), wrap: impl FnOnce(&mut Ports)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (mut ports, store) = store::files(&dir).await;
        wrap(&mut ports);
        Self::on(dir, (ports.clone(), ports, store), change).await
    }

    /// The same on NATS, where the worker asks a control plane for what it stores.
    pub async fn on_nats(change: impl FnOnce(&mut Config), wrap: impl FnOnce(&mut Ports)) -> Self {
        let (ports, mut of_worker, store) = store::nats().await;
        wrap(&mut of_worker);
        Self::on(tempfile::tempdir().unwrap(), (ports, of_worker, store), change).await
    }

    async fn on(
        dir: TempDir,
        (ports, worker_ports, store): (Ports, Ports, Store),
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let root = dir.path();
        let folder = root.join("observations").display().to_string();
        let records = Arc::new(Mutex::new(Records { folder, ..Records::default() }));
        keep_records(&ports, records.clone()).await;
        let mut config =
            Config::new(SandboxId::shared(), Epoch(1), root.join("observations"), root.to_path_buf());
        config.idle_after = Duration::from_millis(50);
        config.drain = Duration::from_millis(300);
        change(&mut config);
        let model = Model::start(0, Vec::new()).await.unwrap();
        let worker = None;
        let mut world = Self { dir, ports, model, records, config, worker_ports, _store: store, worker };
        world.start_worker().await;
        world
    }

    pub async fn start_worker(&mut self) {
        let shutdown = CancellationToken::new();
        let ports = self.worker_ports.clone();
        let run = manyhands_worker::run(self.config.clone(), ports, models(), shutdown.clone());
        let task = tokio::spawn(async move { run.await.unwrap() });
        self.worker = Some((shutdown, task));
        until(async || self.reaches_the_worker().await).await;
    }

    pub async fn reaches_the_worker(&self) -> bool {
        let nobody = self.call(ConversationId::random(), Command::Wake {}).await;
        nobody.is_err_and(|fault| fault.code == Code::NotFound)
    }

    /// Whether nobody subscribes to commands any more.
    pub async fn has_no_worker(&self) -> bool {
        let subject = subjects::command(&self.config.sandbox, "conversation");
        let asked = self.ports.bus.request(&subject, Parcel::default(), Duration::from_millis(50)).await;
        matches!(asked, Err(ports::Error::NotFound))
    }

    /// From now on the worker ends.
    pub fn let_worker_end(&self) {
        self.worker.as_ref().unwrap().0.cancel();
    }

    /// Shuts the worker down and waits until it is gone, and nobody answers in its name that it is.
    pub async fn stop_worker(&mut self) {
        self.let_worker_end();
        let (_, task) = self.worker.take().unwrap();
        tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
        until(async || self.has_no_worker().await).await;
    }

    pub fn create(&self) -> ConversationId {
        self.create_with(|_| {})
    }

    pub fn create_with(&self, change: impl FnOnce(&mut WorkingCopy)) -> ConversationId {
        let conversation = ConversationId::random();
        let working_dir = self.dir.path().join("project").join(conversation.hex());
        std::fs::create_dir_all(&working_dir).unwrap();
        let llm = json!({"model": "openai/scripted", "api_key": "sk-scripted", "base_url": self.model.base_url(),
            "num_retries": 1, "usage_id": "agent"});
        let mut copy = WorkingCopy {
            conversation,
            created_at: "2026-11-23T00:00:00.000000Z".to_owned(),
            working_dir: working_dir.display().to_string(),
            persistence_dir: self
                .dir
                .path()
                .join("observations")
                .join(conversation.hex())
                .display()
                .to_string(),
            agent: json!({"kind": "Agent", "llm": llm, "tools": [{"name": "terminal"}]}),
            max_iterations: 500,
            stuck_detection: true,
            confirmation_policy: ConfirmationPolicy::NeverConfirm,
            security_analyzer: None,
            secrets: [].into(),
            past_secrets: KnownValues::default(),
            autotitle: false,
            title: None,
            title_llm: None,
            title_prompt: None,
            broken_secret: None,
        };
        change(&mut copy);
        self.records.lock().unwrap().copies.insert(conversation, copy);
        conversation
    }

    pub fn change_record(&self, id: ConversationId, change: impl FnOnce(&mut WorkingCopy)) {
        self.records.lock().unwrap().copies.get_mut(&id).map(change).unwrap();
    }

    pub fn remove_record(&self, id: ConversationId) {
        self.records.lock().unwrap().copies.remove(&id);
    }

    pub async fn call(&self, id: ConversationId, command: Command) -> Result<CommandDone, Fault> {
        self.call_for(&Life::whichever(id), command).await
    }

    /// For this conversation, and for none that has its id before or after it.
    pub async fn call_for(&self, life: &Life, command: Command) -> Result<CommandDone, Fault> {
        let incarnation = self.config.leased.then_some(self.config.epoch);
        let address = Address::of_worker(&self.config.sandbox, incarnation);
        let body = ConversationCall { conversation: life.id, created_at: life.created_at.clone(), command };
        let answer = rpc::call(self.ports.bus.as_ref(), &address, &body, Bytes::new(), PATIENCE).await;
        answer.map(|(done, _)| done)
    }

    /// Which conversation has the id.
    pub fn life(&self, id: ConversationId) -> Life {
        let records = self.records.lock().unwrap();
        records.copies.get(&id).map_or_else(|| Life::whichever(id), WorkingCopy::life)
    }

    /// What the gateway does first when it deletes the conversation.
    pub async fn forget(&self, id: ConversationId) -> Result<CommandDone, Fault> {
        self.call_for(&self.life(id), forget(self, id)).await
    }

    /// As [`World::forget`], and then it has gone.
    pub async fn delete(&self, id: ConversationId) {
        let (life, forgets) = (self.life(id), forget(self, id));
        let Command::Forget { persistence_dir, deletion } = forgets.clone() else { panic!("it forgets") };
        self.call_for(&life, forgets).await.unwrap();
        let forgotten = Command::Forgotten { persistence_dir, deletion, is_gone: true };
        self.call_for(&life, forgotten).await.unwrap();
    }

    /// Posts a user message.
    pub async fn say(&self, id: ConversationId, text: &str, run: bool) -> Result<CommandDone, Fault> {
        self.call(id, message(text, run)).await
    }

    pub fn log(&self, id: ConversationId) -> LogId {
        LogId::conversation(&self.config.sandbox, id)
    }

    pub async fn log_records(&self, id: ConversationId) -> Vec<LogRecord> {
        let entries = self.ports.log.read_all(&self.log(id), Seq::ZERO).await.unwrap();
        entries.iter().map(|entry| LogRecord::decode(&entry.payload).unwrap()).collect()
    }

    pub async fn events(&self, id: ConversationId) -> Vec<Value> {
        let records = self.log_records(id).await;
        records
            .iter()
            .filter_map(|record| match record {
                LogRecord::Event { event, .. } => Some(serde_json::from_str(event.get()).unwrap()),
                LogRecord::Control(_) => None,
            })
            .collect()
    }

    pub async fn kinds(&self, id: ConversationId, kind: &str) -> Vec<Value> {
        self.events(id).await.into_iter().filter(|event| event["kind"] == kind).collect()
    }

    pub async fn fences(&self, id: ConversationId) -> usize {
        let records = self.log_records(id).await;
        records.iter().filter(|record| matches!(record, LogRecord::Control(Control::Fence { .. }))).count()
    }

    pub async fn ended_runs(&self, id: ConversationId) -> usize {
        let records = self.log_records(id).await;
        records.iter().filter(|record| matches!(record, LogRecord::Control(Control::RunEnded {}))).count()
    }

    /// What the model is asked about the conversation now.
    pub async fn asked_now(&self, id: ConversationId) -> String {
        self.model.will([finish()]);
        let ended = self.ended_runs(id).await;
        self.say(id, "and now?", true).await.unwrap();
        until(async || self.ended_runs(id).await > ended).await;
        self.model.requests().pop().unwrap().to_string()
    }

    /// The newest `execution_status` in the log.
    pub async fn status(&self, id: ConversationId) -> String {
        let events = self.events(id).await;
        let newest = events.iter().rev().find(|event| event["key"] == "execution_status");
        newest.map_or("idle".to_owned(), |event| event["value"].as_str().unwrap().to_owned())
    }

    pub async fn wait_status(&self, id: ConversationId, status: &str) {
        until(async || self.status(id).await == status).await;
    }

    /// Gives conversations without anything to do twenty times what they need to leave memory: nothing tells
    /// from outside that they have.
    pub async fn let_it_leave_memory(&self) {
        tokio::time::sleep(self.config.idle_after * 20).await;
    }

    /// Has the conversation's actor leave and another one come, with a command that is given again until one has.
    pub async fn after_a_rest(&self, id: ConversationId, command: impl Fn() -> Command) {
        let opened = self.records.lock().unwrap().opened;
        until(async || {
            tokio::time::sleep(self.config.idle_after * 2).await;
            self.call(id, command()).await.unwrap();
            self.records.lock().unwrap().opened > opened
        })
        .await;
    }

    /// Waits until a file below the conversation's working directory exists.
    pub async fn wait_file(&self, id: ConversationId, name: &str) {
        let path = self.dir.path().join("project").join(id.hex()).join(name);
        until(async || path.exists()).await;
    }
}

pub fn models() -> llm::Client {
    llm::Client::new(Arc::new(llm::Direct::default()))
}

pub fn message(text: &str, run: bool) -> Command {
    Command::Message {
        message: Message::new(Role::User, text),
        sender: None,
        run,
        once: None,
        only_with_slot: false,
    }
}

pub fn forget(world: &World, id: ConversationId) -> Command {
    let folder = world.dir.path().join("observations").join(id.hex());
    Command::Forget { persistence_dir: folder.display().to_string(), deletion: uuid::Uuid::new_v4() }
}

/// A call of the agent's terminal.
pub fn terminal(command: &str) -> Turn {
    Turn::terminal(&format!("call_{}", uuid::Uuid::new_v4().simple()), command)
}

/// A command that makes the file `begun` and goes on for long, as one process.
pub fn sleep() -> Turn {
    terminal("sh -c 'touch begun; exec sleep 30'")
}

pub fn finish() -> Turn {
    Turn::finish("done")
}

pub fn secret(value: &str) -> SecretSource {
    SecretSource::StaticSecret { description: None, value: Some(value.to_owned()) }
}

/// Answers record calls as the gateway does.
async fn keep_records(ports: &Ports, records: Arc<Mutex<Records>>) {
    let server = Server::new(ports.bus.clone(), TaskTracker::new(), CancellationToken::new());
    let handler = move |call: Call<RecordCall>| {
        let answer = answer(&records, call.body);
        async move { answer.map(|body| (body, Bytes::new())) }
    };
    let limits = Limits::new(1_000, 64 << 20);
    server.serve(&Address::of_all_workers(), None, limits, handler).await.unwrap();
}

fn answer(records: &Mutex<Records>, call: RecordCall) -> Result<Value, Fault> {
    let mut records = records.lock().unwrap();
    match call {
        RecordCall::Open { conversation } => {
            records.opened += 1;
            let copy = records.copies.get(&conversation);
            copy.map(|copy| serde_json::to_value(copy).unwrap())
                .ok_or_else(|| Fault::new(Code::NotFound, "Not Found"))
        }
        RecordCall::SetTitle { conversation, title } => {
            records.titles.insert(conversation, title);
            Ok(Value::Null)
        }
        RecordCall::KeepHidden { conversation, values } => {
            let copy = records.copies.get_mut(&conversation);
            let copy = copy.ok_or_else(|| Fault::new(Code::NotFound, "Not Found"))?;
            for (name, value) in values.iter() {
                copy.past_secrets.add(name.to_owned(), value.to_owned());
            }
            Ok(Value::Null)
        }
        RecordCall::LookUp { conversation, name } => {
            let value = records.kept_secrets.get(&(conversation, name)).cloned();
            Ok(serde_json::to_value(LookedUp { value }).unwrap())
        }
        RecordCall::Survivors { mut conversations } => {
            conversations.retain(|id| records.copies.contains_key(id));
            let folder = records.folder.clone();
            Ok(serde_json::to_value(Survivors { folder, conversations }).unwrap())
        }
    }
}

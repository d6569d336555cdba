//! Just enough of a worker: it stores what commands ask for, and its runs are scripted.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use ports::rpc::{self, Address, Call, Code, Fault, Limits, Reason, Server};
use ports::{Parcel, Ports};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::bash::{BashCommand, BashEvent, BashOutput, ExecuteBashRequest};
use types::calls::{
    BashCall, BashStarted, Command, CommandDone, ConversationCall, GitAnswer, GitCall, Live, Once,
    RecordCall, Survivors, WorkingCopy,
};
use types::known_values::KnownValues;
use types::log::{Control, LogRecord};
use types::{ConversationId, Epoch, EventId, LogId, SandboxId, Seq, subjects, time};

const LIMITS: Limits = Limits::new(1_000, 64 << 20);

#[derive(Clone)]
pub struct Worker(Arc<Shared>);

struct Shared {
    ports: Ports,
    sandbox: SandboxId,
    script: Mutex<Script>,
    open: Mutex<HashMap<ConversationId, Arc<tokio::sync::Mutex<State>>>>,
    seen: Mutex<Vec<Command>>,
    bash_calls: AtomicUsize,
    bash: tokio::sync::Mutex<()>,
    stop: CancellationToken,
}

/// What runs do.
#[derive(Clone)]
pub struct Script {
    /// From the answer to the run's start to its end.
    pub takes: Duration,
    /// Events of a run beside its state updates.
    pub events: usize,
    /// Characters in each of them.
    pub event_chars: usize,
    pub ends_as: &'static str,
    /// No run slot is free.
    pub busy: bool,
    /// Messages are not what an agent takes.
    pub refuses: bool,
    /// What is streamed before the run's events.
    pub streams: Vec<Live>,
    /// Bash commands begin and never end.
    pub endless: bool,
    /// Bash calls are taken and never answered.
    pub mute: bool,
    /// Conversations do not stop writing when they are to be forgotten.
    pub clings: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            takes: Duration::ZERO,
            events: 2,
            event_chars: 20,
            ends_as: "finished",
            busy: false,
            refuses: false,
            streams: Vec::new(),
            endless: false,
            mute: false,
            clings: false,
        }
    }
}

/// What a worker knows of a conversation: where its log ends.
#[derive(Default)]
struct State {
    tail: Seq,
    events: u64,
    status: String,
    /// Those whose id was given.
    messages: HashSet<EventId>,
}

impl Worker {
    pub async fn start(ports: &Ports) -> Self {
        Self::start_in(ports, SandboxId::shared(), None).await
    }

    /// As one of several incarnations of the sandbox.
    pub async fn start_as(ports: &Ports, sandbox: SandboxId, epoch: Epoch) -> Self {
        Self::start_in(ports, sandbox, Some(epoch)).await
    }

    async fn start_in(ports: &Ports, sandbox: SandboxId, incarnation: Option<Epoch>) -> Self {
        let worker = Self(Arc::new(Shared {
            sandbox: sandbox.clone(),
            ports: ports.clone(),
            script: Mutex::default(),
            open: Mutex::default(),
            seen: Mutex::default(),
            bash_calls: AtomicUsize::default(),
            bash: tokio::sync::Mutex::default(),
            stop: CancellationToken::new(),
        }));
        let serving = worker.clone();
        let handler = move |call: Call<ConversationCall>| {
            let worker = serving.clone();
            async move { worker.answer(call.body).await.map(|done| (done, Bytes::new())) }
        };
        let server = Server::new(ports.bus.clone(), TaskTracker::new(), worker.0.stop.clone());
        server.serve(&Address::of_worker(&sandbox, incarnation), None, LIMITS, handler).await.unwrap();
        let prepare = |_: Call<GitCall>| async { Ok((GitAnswer::Prepared, Bytes::new())) };
        server.serve(&Address::of_worker(&sandbox, incarnation), None, LIMITS, prepare).await.unwrap();
        let serving = worker.clone();
        let run = move |call: Call<BashCall>| {
            let worker = serving.clone();
            async move { worker.bash(call.body).await.map(|started| (started, Bytes::new())) }
        };
        server.serve(&Address::of_worker(&sandbox, incarnation), None, LIMITS, run).await.unwrap();
        worker
    }

    pub async fn stop(&self) {
        self.0.stop.cancel();
    }

    pub fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.0.script.lock().unwrap());
    }

    /// The commands that came.
    pub fn seen(&self) -> MutexGuard<'_, Vec<Command>> {
        self.0.seen.lock().unwrap()
    }

    /// How many bash calls came.
    pub fn bash_calls(&self) -> usize {
        self.0.bash_calls.load(Ordering::Relaxed)
    }

    /// Asks the gateway for the conversation, as a worker does before it runs one.
    pub async fn working_copy(&self, id: ConversationId) -> WorkingCopy {
        let address = Address::of_control_plane(&self.0.sandbox);
        let call = RecordCall::Open { conversation: id };
        let deadline = Duration::from_secs(5);
        rpc::call(&*self.0.ports.bus, &address, &call, Bytes::new(), deadline).await.unwrap().0
    }

    pub async fn set_title(&self, id: ConversationId, title: &str) {
        let address = Address::of_control_plane(&self.0.sandbox);
        let call = RecordCall::SetTitle { conversation: id, title: title.to_owned() };
        let deadline = Duration::from_secs(5);
        let () = rpc::call(&*self.0.ports.bus, &address, &call, Bytes::new(), deadline).await.unwrap().0;
    }

    /// Asks which of these conversations there are.
    pub async fn survivors(&self, conversations: Vec<ConversationId>) -> Survivors {
        let address = Address::of_control_plane(&self.0.sandbox);
        let call = RecordCall::Survivors { conversations };
        let deadline = Duration::from_secs(5);
        rpc::call(&*self.0.ports.bus, &address, &call, Bytes::new(), deadline).await.unwrap().0
    }

    /// Tells the gateway what it has looked up.
    pub async fn keep_hidden(&self, id: ConversationId, looked_up: &[(&str, &str)]) -> Result<(), Fault> {
        let address = Address::of_control_plane(&self.0.sandbox);
        let mut values = KnownValues::default();
        for (name, value) in looked_up {
            values.add((*name).to_owned(), (*value).to_owned());
        }
        let call = RecordCall::KeepHidden { conversation: id, values };
        let deadline = Duration::from_secs(5);
        rpc::call(&*self.0.ports.bus, &address, &call, Bytes::new(), deadline).await.map(|((), _)| ())
    }

    /// Appends events to a conversation's log, in appends of `batch`.
    pub async fn append_events(&self, id: ConversationId, events: Vec<Value>, batch: usize) -> Seq {
        let state = self.state(id);
        let mut state = state.lock().await;
        let mut events = events.into_iter();
        loop {
            let items: Vec<_> = events.by_ref().take(batch).map(Item::Event).collect();
            if items.is_empty() {
                return state.tail;
            }
            self.append(id, &mut state, items).await;
        }
    }

    /// A command's echo and its one output.
    async fn bash(&self, call: BashCall) -> Result<BashStarted, Fault> {
        let BashCall::Start { request, .. } = call else {
            return Err(Fault::new(Code::Invalid, "not scripted"));
        };
        self.0.bash_calls.fetch_add(1, Ordering::Relaxed);
        let script = self.0.script.lock().unwrap().clone();
        if script.mute {
            std::future::pending::<()>().await;
        }
        let log = LogId::bash(&self.0.sandbox, types::BashScope::Sandbox);
        let id = uuid::Uuid::new_v4().simple().to_string();
        let ExecuteBashRequest { command, cwd, timeout } = request;
        let command = BashCommand { command, cwd, timeout, id: id.clone(), timestamp: time::utc_now() };
        let output = BashOutput {
            id: uuid::Uuid::new_v4().simple().to_string(),
            timestamp: time::utc_now(),
            command_id: id,
            order: 0,
            exit_code: Some(0),
            stdout: Some("out".to_owned()),
            stderr: None,
        };
        let events = [BashEvent::BashCommand(command.clone()), BashEvent::BashOutput(output)];
        let stored = if script.endless { 1 } else { 2 };
        let records =
            events.iter().take(stored).map(|event| serde_json::to_vec(event).unwrap().into()).collect();
        let _turn = self.0.bash.lock().await;
        let tail = self.0.ports.log.tail(&log).await.unwrap();
        let seq = self.0.ports.log.append(&log, tail, records).await.unwrap().seqs[0];
        Ok(BashStarted { command, seq })
    }

    /// Removes all bash events.
    pub async fn clear_bash(&self) {
        self.0.ports.log.delete(&LogId::bash(&self.0.sandbox, types::BashScope::Sandbox)).await.unwrap();
    }

    async fn answer(&self, call: ConversationCall) -> Result<CommandDone, Fault> {
        self.seen().push(call.command.clone());
        let id = call.conversation;
        let shared = self.state(id);
        let mut state = shared.lock().await;
        let script = self.0.script.lock().unwrap().clone();
        match call.command {
            Command::Message { .. } if script.refuses => {
                return Err(Fault::new(Code::Invalid, "not a message"));
            }
            Command::Message { message, run, once, .. } => {
                let text = serde_json::to_value(&message).unwrap();
                let mut event = user_message(text);
                if let Some(Once { id: event_id, again }) = once {
                    if again && state.messages.contains(&event_id) {
                        return Ok(CommandDone { seq: state.tail, text: None });
                    }
                    event["id"] = json!(event_id);
                    state.messages.insert(event_id);
                }
                let update = update("last_user_message_id", event["id"].clone());
                self.append(id, &mut state, vec![Item::Event(event), Item::Event(update)]).await;
                if run && state.status != "running" {
                    if script.busy {
                        return Err(Reason::MessageSaved.into());
                    }
                    self.begin_run(id, &mut state, shared.clone(), script).await;
                }
            }
            Command::Run {} if state.status == "running" => {
                return Err(Reason::AlreadyRunning.into());
            }
            Command::Run {} | Command::Respond { accept: true, .. } => {
                if script.busy {
                    return Err(Reason::RunLimit.into());
                }
                self.begin_run(id, &mut state, shared.clone(), script).await;
            }
            Command::Respond { accept: false, .. } => self.set_status(id, &mut state, "idle", vec![]).await,
            Command::Pause {} | Command::Interrupt {} if state.status == "finished" => {}
            Command::Pause {} | Command::Interrupt {} => {
                self.set_status(id, &mut state, "paused", vec![Item::Control(Control::RunEnded {})]).await;
            }
            Command::Wake {} => {
                self.set_status(id, &mut state, "error", vec![Item::Control(Control::RunEnded {})]).await
            }
            Command::SetTags { tags } => self.put(id, &mut state, update("tags", json!(tags))).await,
            Command::SetConfirmationPolicy { policy } => {
                self.put(id, &mut state, update("confirmation_policy", json!(policy))).await;
            }
            Command::SetSecurityAnalyzer { analyzer } => {
                self.put(id, &mut state, update("security_analyzer", json!(analyzer))).await;
            }
            Command::Ask { question } => {
                let text = Some(format!("You asked: {question}"));
                return Ok(CommandDone { seq: state.tail, text });
            }
            Command::Condense {} => return Err(Fault::new(Code::Invalid, "There is no condenser")),
            Command::AddSecrets { .. } | Command::SwitchLlm { .. } => {}
            Command::Forget { .. } if script.clings => {
                return Err(Fault::new(Code::Unavailable, "The conversation does not stop writing yet."));
            }
            Command::Forget { .. } => {
                self.0.open.lock().unwrap().remove(&id);
            }
        }
        Ok(CommandDone { seq: state.tail, text: None })
    }

    async fn begin_run(
        &self,
        id: ConversationId,
        state: &mut State,
        shared: Arc<tokio::sync::Mutex<State>>,
        script: Script,
    ) {
        self.set_status(id, state, "running", vec![]).await;
        let worker = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(script.takes).await;
            for piece in &script.streams {
                let subject = subjects::live(&worker.0.sandbox, id);
                let json = serde_json::to_vec(piece).unwrap();
                worker.0.ports.bus.publish(&subject, Parcel::json(json)).await.unwrap();
            }
            let mut state = shared.lock().await;
            if state.status != "running" {
                return;
            }
            for i in 0..script.events {
                worker
                    .put(id, &mut state, agent_message(&format!("{i} {}", "x".repeat(script.event_chars))))
                    .await;
            }
            worker
                .set_status(id, &mut state, script.ends_as, vec![Item::Control(Control::RunEnded {})])
                .await;
        });
    }

    async fn set_status(&self, id: ConversationId, state: &mut State, status: &str, more: Vec<Item>) {
        state.status = status.to_owned();
        let mut items = vec![Item::Event(update("execution_status", status.into()))];
        items.extend(more);
        self.append(id, state, items).await;
    }

    async fn put(&self, id: ConversationId, state: &mut State, event: Value) {
        self.append(id, state, vec![Item::Event(event)]).await;
    }

    async fn append(&self, id: ConversationId, state: &mut State, items: Vec<Item>) {
        let log = LogId::conversation(&self.0.sandbox, id);
        if state.tail == Seq::ZERO {
            for stored in self.0.ports.log.read_all(&log, Seq::ZERO).await.unwrap() {
                state.tail = stored.seq;
                if let LogRecord::Event { n, .. } = LogRecord::decode(&stored.payload).unwrap() {
                    state.events = n + 1;
                }
            }
        }
        let mut records = Vec::new();
        for item in items {
            let record = match item {
                Item::Event(event) => {
                    state.events += 1;
                    LogRecord::event(state.events - 1, &event).unwrap()
                }
                Item::Control(control) => LogRecord::Control(control),
            };
            records.push(record.encode().unwrap().into());
        }
        state.tail = self.0.ports.log.append(&log, state.tail, records).await.unwrap().tail();
    }

    fn state(&self, id: ConversationId) -> Arc<tokio::sync::Mutex<State>> {
        self.0.open.lock().unwrap().entry(id).or_default().clone()
    }
}

enum Item {
    Event(Value),
    Control(Control),
}

fn event(source: &str, kind: &str, fields: Value) -> Value {
    let mut event = json!({"id": EventId::random(), "timestamp": time::event_now(), "source": source});
    for (name, value) in fields.as_object().unwrap() {
        event[name] = value.clone();
    }
    event["kind"] = kind.into();
    event
}

pub fn update(key: &str, value: Value) -> Value {
    event("environment", "ConversationStateUpdateEvent", json!({"key": key, "value": value}))
}

pub fn user_message(llm_message: Value) -> Value {
    event(
        "user",
        "MessageEvent",
        json!({"llm_message": llm_message, "activated_skills": [], "extended_content": []}),
    )
}

pub fn agent_message(text: &str) -> Value {
    let message = json!({"role": "assistant", "content": [{"type": "text", "cache_prompt": false, "text": text}], "thinking_blocks": []});
    event(
        "agent",
        "MessageEvent",
        json!({"llm_message": message, "activated_skills": [], "extended_content": []}),
    )
}

pub fn finish(message: &str) -> Value {
    event(
        "agent",
        "ActionEvent",
        json!({"thought": [], "thinking_blocks": [], "tool_name": "finish", "tool_call_id": "c",
        "tool_call": {"id": "c", "name": "finish", "arguments": "{}", "origin": "completion"},
        "llm_response_id": "r", "security_risk": "UNKNOWN", "action": {"kind": "FinishAction", "message": message}}),
    )
}

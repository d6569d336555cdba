//! Conversations: commands store what they ask for, and runs follow the script.

use std::collections::HashSet;
use std::sync::Arc;

use ports::Parcel;
use ports::rpc::{Code, Fault, Reason};
use serde_json::{Value, json};
use types::buckets::CONVERSATIONS;
use types::calls::{Command, CommandDone, ConversationCall, Once};
use types::log::{Control, LogRecord};
use types::{ConversationId, EventId, LogId, Seq, subjects};

use super::{Script, Worker};
use crate::harness::events::{agent_message, update, user_message};

/// What a worker knows of a conversation: where its log ends.
#[derive(Default)]
pub(super) struct State {
    tail: Seq,
    events: u64,
    status: String,
    /// Those whose id was given.
    messages: HashSet<EventId>,
}

enum Item {
    Event(Value),
    Control(Control),
}

impl Worker {
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

    pub(super) async fn answer(&self, call: ConversationCall) -> Result<CommandDone, Fault> {
        self.seen().push(call.command.clone());
        let id = call.conversation;
        if self.is_of_another(&call).await {
            return Err(Reason::Missing.into());
        }
        let ends = matches!(call.command, Command::Forget { .. } | Command::Forgotten { .. });
        if !ends && self.has_forgotten(&call) {
            return Err(Reason::Missing.into());
        }
        let shared = self.state(id);
        let mut state = shared.lock().await;
        let script = self.0.script.lock().unwrap().clone();
        match call.command {
            Command::Message { .. } if script.refuses => {
                return Err(Fault::new(Code::Invalid, "not a message"));
            }
            Command::Message { .. } if script.shuts_down => return Err(Reason::ShuttingDown.into()),
            Command::Message { only_with_slot: true, .. } if script.busy => {
                if script.others_speak {
                    self.others_speak(id, &mut state).await;
                }
                return Err(Reason::RunLimit.into());
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
                if script.ends_early {
                    return Err(Reason::WorkerLost.into());
                }
                if run && state.status != "running" {
                    if script.busy {
                        return Err(Reason::MessageSaved.into());
                    }
                    self.begin_run(id, &mut state, shared.clone(), script).await;
                }
            }
            Command::Run { first: true } if script.pauses => {
                self.set_status(id, &mut state, "paused", vec![]).await;
            }
            Command::Run { first: true } if !matches!(state.status.as_str(), "" | "idle") => {}
            Command::Run { .. } if state.status == "running" => {
                return Err(Reason::AlreadyRunning.into());
            }
            Command::Run { .. } | Command::Respond { accept: true, .. } => {
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
            Command::StartGoal { .. } if state.status == "running" => {
                return Err(Reason::AlreadyRunning.into());
            }
            Command::StartGoal { .. } if script.busy => return Err(Reason::RunLimit.into()),
            Command::StartGoal { .. } => self.begin_run(id, &mut state, shared.clone(), script).await,
            Command::StopGoal {} => {}
            Command::ResumeGoal {} => return Err(Fault::new(Code::Invalid, "no_resumable_goal")),
            Command::Navigate { event } => {
                let head = vec![Item::Control(Control::Head { event })];
                self.append(id, &mut state, head).await;
            }
            Command::Condense {} => return Err(Fault::new(Code::Invalid, "There is no condenser")),
            Command::SwitchLlm { .. } => {
                if let Some(held) = &script.held {
                    held.notified().await;
                }
                if script.ends_early {
                    return Err(Reason::WorkerLost.into());
                }
            }
            Command::AddSecrets { .. } => {}
            Command::Forget { .. } if script.clings => {
                return Err(Fault::new(Code::Unavailable, "The conversation does not stop writing yet."));
            }
            Command::Forget { deletion, .. } => {
                if script.others_speak_at_last {
                    self.others_speak(id, &mut state).await;
                }
                let forgotten = self.0.open.lock().unwrap().remove(&id);
                let forgotten = forgotten.map(|state| ((id, deletion), (call.created_at, state)));
                self.0.forgotten.lock().unwrap().extend(forgotten);
            }
            Command::Forgotten { deletion, is_gone, .. } => {
                let forgotten = self.0.forgotten.lock().unwrap().remove(&(id, deletion));
                let back = forgotten.filter(|_| !is_gone).map(|(_, state)| (id, state));
                self.0.open.lock().unwrap().extend(back);
            }
        }
        Ok(CommandDone { seq: state.tail, text: None })
    }

    fn has_forgotten(&self, call: &ConversationCall) -> bool {
        let forgotten = self.0.forgotten.lock().unwrap();
        forgotten.iter().any(|((id, _), (made, _))| *id == call.conversation && *made == call.created_at)
    }

    async fn others_speak(&self, id: ConversationId, state: &mut State) {
        let event = user_message(json!({"role": "user", "content": [{"type": "text", "text": "theirs"}]}));
        let update = update("last_user_message_id", event["id"].clone());
        self.append(id, state, vec![Item::Event(event), Item::Event(update)]).await;
    }

    /// Whether another conversation has the id by now.
    async fn is_of_another(&self, call: &ConversationCall) -> bool {
        let stored = self.0.ports.kv.get(CONVERSATIONS, &call.conversation.hex()).await.unwrap();
        let record: Option<Value> = stored.map(|stored| serde_json::from_slice(&stored.value).unwrap());
        !call.created_at.is_empty() && record.is_some_and(|record| record["created_at"] != call.created_at)
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

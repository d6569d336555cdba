//! The history as the model sees it: every call with exactly one result, right behind it.

mod forget;
mod shared;
mod transcript;
mod weight;

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::agent::LlmConfig;
use types::content::{Content, Message, Part, Role};
use types::event::{Action, AgentError, MessageBody, Observation, Rejection, Source, SystemPrompt};
use types::{Event, EventBody, EventId};

use crate::observation;
pub use forget::as_message;
pub use transcript::{piece, transcript};

/// What stands for a result that is not there yet, in a question asked meanwhile.
const NO_RESULT_YET: &str = "[This call has no result yet.]";

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    pub items: Vec<Item>,
    /// Who answers from here on, where the log says so.
    model: Option<Model>,
}

/// What must be the same for a signature to be accepted.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Model {
    name: Value,
    base_url: Value,
}

impl Model {
    fn of(llm: &LlmConfig) -> Self {
        Self { name: llm.model.as_str().into(), base_url: llm.base_url.as_deref().into() }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Item {
    System {
        #[serde(with = "shared")]
        message: Arc<Message>,
    },
    /// A message of the user, the environment or the agent.
    Text {
        id: EventId,
        #[serde(with = "shared")]
        message: Arc<Message>,
    },
    /// Stands for forgotten items; `id` is the condensation's with `-summary`.
    Summary {
        id: EventId,
        #[serde(with = "shared")]
        message: Arc<Message>,
    },
    Turn(Turn),
}

/// An answer with tool calls. `assistant.tool_calls` and `calls` run in parallel.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    response_id: String,
    #[serde(with = "shared")]
    pub assistant: Arc<Message>,
    pub calls: Vec<Call>,
    /// Its thoughts as they were signed, where a secret keeps some of them out of the log. In memory only: they are
    /// never written, and whoever opens the conversation anew does without.
    #[serde(skip)]
    signed: Option<Signed>,
}

/// Thoughts as they came, and where.
#[derive(Debug, PartialEq)]
pub struct Signed {
    pub thinking_blocks: Vec<Value>,
    pub order: Vec<Part>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub action_id: EventId,
    pub call_id: String,
    pub tool: String,
    /// The valid action, until there is a result.
    pub action: Option<Value>,
    pub result: Option<Answer>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    event_id: EventId,
    #[serde(with = "shared")]
    pub message: Arc<Message>,
}

impl View {
    /// Takes in the next event of the log.
    pub fn absorb(&mut self, event: &Event) {
        match &event.body {
            EventBody::SystemPromptEvent(prompt) => self.system(prompt),
            EventBody::MessageEvent(body) => self.message(event, body),
            EventBody::ActionEvent(action) => self.action(event, action),
            EventBody::ObservationEvent(observed) => self.observation(event, observed),
            EventBody::UserRejectObservation(rejected) => self.rejection(event, rejected),
            EventBody::AgentErrorEvent(error) => self.error(event, error),
            EventBody::Condensation(condensation) => self.condense(&event.id, condensation),
            EventBody::ConversationStateUpdateEvent(update) if update.key == "agent" => {
                self.change_model(update.value.as_ref());
            }
            EventBody::SecurityAnalysisEvent(_)
            | EventBody::ConversationStateUpdateEvent(_)
            | EventBody::ConversationErrorEvent(_)
            | EventBody::PauseEvent(_)
            | EventBody::InterruptEvent(_)
            | EventBody::CondensationRequest(_)
            | EventBody::StreamingDeltaEvent(_)
            | EventBody::ServerErrorEvent(_)
            | EventBody::Unknown => {}
        }
    }

    /// Whether the log says that another model answers.
    pub fn is_answered_by_another_than(&self, llm: &LlmConfig) -> bool {
        self.model.as_ref().is_some_and(|model| *model != Model::of(llm))
    }

    /// The messages of a model request. Nothing is copied but neighbouring user messages, which become one.
    pub fn messages(&self) -> Vec<Arc<Message>> {
        self.messages_but(&(0..0), &Arc::default())
    }

    /// The same, with one message instead of these items.
    pub fn messages_but(&self, left_out: &Range<usize>, instead: &Arc<Message>) -> Vec<Arc<Message>> {
        let mut messages: Vec<Arc<Message>> = Vec::with_capacity(self.items.len() * 2 + 1);
        for (at, item) in self.items.iter().enumerate() {
            if left_out.contains(&at) {
                if at == left_out.start {
                    push_joined(&mut messages, instead);
                }
                continue;
            }
            match item {
                Item::System { message } | Item::Text { message, .. } | Item::Summary { message, .. } => {
                    push_joined(&mut messages, message);
                }
                Item::Turn(turn) => {
                    messages.push(turn.said());
                    messages.extend(turn.calls.iter().map(Call::answer));
                }
            }
        }
        messages
    }

    /// Keeps the thoughts of the newest answer for whoever has signed them.
    pub fn keep_signed(&mut self, signed: Option<Signed>) {
        if let Some(turn) = self.turns_mut().next_back() {
            turn.signed = signed;
        }
    }

    /// Of the answer whose first event this is.
    pub fn set_order(&mut self, event: &EventId, order: &[Part]) {
        let message = self.items.iter_mut().rev().find_map(|item| match item {
            Item::Turn(turn) if turn.calls.first().is_some_and(|call| call.action_id == *event) => {
                Some(&mut turn.assistant)
            }
            Item::Text { id, message } if id == event => Some(message),
            _ => None,
        });
        message.into_iter().for_each(|message| Arc::make_mut(message).set_order(order));
    }

    /// The order in which the parts of the newest answer stand here.
    pub fn newest_parts(&self) -> Vec<Part> {
        let newest = self.items.iter().rev().find_map(|item| match item {
            Item::Turn(turn) => Some(&turn.assistant),
            Item::Text { message, .. } if message.role == Role::Assistant => Some(message),
            _ => None,
        });
        newest.map(|message| message.parts()).unwrap_or_default()
    }

    pub fn has_system_prompt(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::System { .. }))
    }

    /// The calls without a result, in order.
    pub fn open_calls(&self) -> impl Iterator<Item = &Call> {
        self.turns().flat_map(|turn| &turn.calls).filter(|call| call.result.is_none())
    }

    /// The response id of the newest answer with calls.
    pub fn last_response_id(&self) -> Option<&str> {
        self.turns().next_back().map(|turn| turn.response_id.as_str())
    }

    fn turns(&self) -> impl DoubleEndedIterator<Item = &Turn> {
        self.items.iter().filter_map(|item| match item {
            Item::Turn(turn) => Some(turn),
            Item::System { .. } | Item::Text { .. } | Item::Summary { .. } => None,
        })
    }

    fn turns_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Turn> {
        self.items.iter_mut().filter_map(|item| match item {
            Item::Turn(turn) => Some(turn),
            Item::System { .. } | Item::Text { .. } | Item::Summary { .. } => None,
        })
    }

    /// Thinking is signed, and only the model that signed it takes it back.
    fn change_model(&mut self, agent: Option<&Value>) {
        let field = |name: &str| agent.and_then(|agent| agent.pointer(name)).cloned().unwrap_or_default();
        let model = Some(Model { name: field("/llm/model"), base_url: field("/llm/base_url") });
        if self.model == model {
            return;
        }
        self.model = model;
        for item in &mut self.items {
            match item {
                Item::System { message } | Item::Text { message, .. } | Item::Summary { message, .. } => {
                    forget_thinking(message);
                }
                Item::Turn(turn) => {
                    turn.signed = None;
                    forget_thinking(&mut turn.assistant);
                }
            }
        }
    }

    fn system(&mut self, prompt: &SystemPrompt) {
        let mut content = vec![prompt.system_prompt.clone()];
        content.extend(prompt.dynamic_context.clone());
        let message = Arc::new(Message { role: Role::System, content, ..Message::default() });
        self.items.push(Item::System { message });
    }

    fn message(&mut self, event: &Event, body: &MessageBody) {
        let mut message = body.llm_message.clone();
        message.content.extend_from_slice(&body.extended_content);
        if event.source == Source::Agent && is_blank(&message) {
            return;
        }
        self.items.push(Item::Text { id: event.id.clone(), message: Arc::new(message) });
    }

    fn action(&mut self, event: &Event, action: &Action) {
        let call = Call {
            action_id: event.id.clone(),
            call_id: action.tool_call_id.clone(),
            tool: action.tool_name.clone(),
            action: action.action.clone(),
            result: None,
        };
        if self.last_response_id() != Some(&action.llm_response_id) {
            return self.items.push(Item::Turn(Turn::new(action, call)));
        }
        if let Some(turn) = self.turns_mut().next_back() {
            add(Arc::make_mut(&mut turn.assistant), action);
            turn.calls.push(call);
        }
    }

    fn observation(&mut self, event: &Event, observed: &Observation) {
        let content = observation::blocks(&observed.observation, &observed.extended_content);
        self.answer(&event.id, content, |call| call.action_id == observed.action_id);
    }

    fn rejection(&mut self, event: &Event, rejected: &Rejection) {
        let text = format!("Action rejected: {}", rejected.rejection_reason);
        self.answer(&event.id, vec![Content::text(text)], |call| call.action_id == rejected.action_id);
    }

    fn error(&mut self, event: &Event, error: &AgentError) {
        let content = vec![Content::text(error.error.as_str())];
        self.answer(&event.id, content, |call| call.call_id == error.tool_call_id);
    }

    /// Gives the newest fitting open call its result. A second result for a call is passed over.
    fn answer(&mut self, event_id: &EventId, content: Vec<Content>, fits: impl Fn(&Call) -> bool) {
        let open = |turn: &mut Turn| turn.calls.iter().position(|call| call.result.is_none() && fits(call));
        let found = self.turns_mut().rev().find_map(|turn| open(turn).map(|at| (turn, at)));
        let Some(call) = found.and_then(|(turn, at)| turn.calls.get_mut(at)) else { return };
        let message = Arc::new(call.tool_message(content));
        call.action = None;
        call.result = Some(Answer { event_id: event_id.clone(), message });
    }
}

impl Turn {
    fn new(action: &Action, call: Call) -> Self {
        let assistant = Message {
            role: Role::Assistant,
            content: action.thought.clone(),
            tool_calls: vec![action.tool_call.clone()],
            reasoning_content: action.reasoning_content.clone(),
            thinking_blocks: action.thinking_blocks.clone(),
            ..Message::default()
        };
        Self {
            response_id: action.llm_response_id.clone(),
            assistant: Arc::new(assistant),
            calls: vec![call],
            signed: None,
        }
    }

    fn said(&self) -> Arc<Message> {
        match &self.signed {
            Some(Signed { thinking_blocks, order }) => Arc::new(Message {
                thinking_blocks: thinking_blocks.clone(),
                order: order.clone(),
                ..self.assistant.as_ref().clone()
            }),
            None => Arc::clone(&self.assistant),
        }
    }

    pub fn is_open(&self) -> bool {
        self.calls.iter().any(|call| call.result.is_none())
    }
}

impl Call {
    fn answer(&self) -> Arc<Message> {
        match &self.result {
            Some(answer) => Arc::clone(&answer.message),
            None => Arc::new(self.tool_message(vec![Content::text(NO_RESULT_YET)])),
        }
    }

    fn tool_message(&self, content: Vec<Content>) -> Message {
        Message {
            role: Role::Tool,
            content,
            tool_call_id: Some(self.call_id.clone()),
            name: Some(self.tool.clone()),
            ..Message::default()
        }
    }
}

/// Whether an answer of the agent says nothing: providers refuse such messages.
pub fn is_blank(message: &Message) -> bool {
    message.content.iter().all(|piece| piece.as_text().is_some_and(|text| text.trim().is_empty()))
}

/// Adds a call to an answer, behind what was thought and said before it.
fn add(answer: &mut Message, action: &Action) {
    if !action.thought.is_empty() || !action.thinking_blocks.is_empty() {
        answer.order = answer.parts();
    }
    let (texts, thoughts) = (answer.content.len(), answer.thinking_blocks.len());
    let call = answer.tool_calls.len();
    answer.content.extend_from_slice(&action.thought);
    answer.thinking_blocks.extend_from_slice(&action.thinking_blocks);
    answer.tool_calls.push(action.tool_call.clone());
    if !answer.order.is_empty() {
        answer.order.extend((thoughts..answer.thinking_blocks.len()).map(Part::Thinking));
        answer.order.extend((texts..answer.content.len()).map(Part::Text));
        answer.order.push(Part::Call(call));
    }
}

fn forget_thinking(message: &mut Arc<Message>) {
    if !message.thinking_blocks.is_empty() {
        Arc::make_mut(message).retain_thinking(|_| false);
    }
}

fn push_joined(messages: &mut Vec<Arc<Message>>, message: &Arc<Message>) {
    match messages.last_mut() {
        Some(last) if last.role == Role::User && message.role == Role::User => {
            Arc::make_mut(last).content.extend_from_slice(&message.content);
        }
        _ => messages.push(Arc::clone(message)),
    }
}

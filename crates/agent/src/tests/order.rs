//! The parts of an answer keep the order in which they came.

use serde_json::{Value, json};
use types::content::{Content, Message, Part, Role};
use types::event::EventBody;
use types::log::Control;
use types::model::Completion;
use types::{EventId, content::ToolCall};

use super::sim::Sim;
use super::support::{completion, copy, finish, past_of, setup, shell};
use crate::protocol::{Input, LogItem};

const WOVEN: [Part; 6] =
    [Part::Thinking(0), Part::Text(0), Part::Call(0), Part::Thinking(1), Part::Text(1), Part::Call(1)];
const ODD: [Part; 6] =
    [Part::Text(0), Part::Thinking(0), Part::Call(0), Part::Call(1), Part::Thinking(1), Part::Text(1)];

fn thinking(text: &str) -> Value {
    json!({"type": "thinking", "thinking": text, "signature": "s"})
}

fn answer(thoughts: [&str; 2], calls: Vec<ToolCall>, order: &[Part]) -> Message {
    let mut message = completion("r", "", calls).message;
    message.content = vec![Content::text("a"), Content::text("b")];
    message.thinking_blocks = thoughts.map(thinking).to_vec();
    message.set_order(order);
    message
}

fn calls() -> Vec<ToolCall> {
    vec![shell("c1", "echo 1"), shell("c2", "echo 2")]
}

fn take(sim: &mut Sim, id: &str, message: Message) {
    sim.model(Ok(Completion { message, ..completion(id, "", vec![]) }));
    while !sim.running.is_empty() {
        sim.observe("ok");
    }
}

fn answers(sim: &Sim) -> Vec<Message> {
    let asked = sim.agent.ask("?").messages;
    asked
        .iter()
        .filter(|message| message.role == Role::Assistant)
        .map(|message| message.as_ref().clone())
        .collect()
}

fn controls(sim: &Sim) -> usize {
    sim.log.iter().filter(|item| matches!(item, LogItem::Control(Control::Answer { .. }))).count()
}

#[test]
fn what_was_thought_and_said_before_a_call_is_in_its_event() {
    let mut sim = Sim::started(copy());
    let message = answer(["x", "y"], calls(), &WOVEN);
    take(&mut sim, "r1", message.clone());
    assert_eq!(answers(&sim)[0].parts(), WOVEN);
    assert_eq!(answers(&sim)[0].thinking_blocks, message.thinking_blocks);
    assert_eq!(controls(&sim), 0, "the events say it");
    let of_events: Vec<_> = sim
        .events()
        .filter_map(|event| match &event.body {
            EventBody::ActionEvent(action) => Some((action.thought.len(), action.thinking_blocks.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(of_events, [(1, vec![thinking("x")]), (1, vec![thinking("y")])]);
}

#[test]
fn an_order_that_no_event_may_have_is_noted_and_known_by_every_worker_branch_and_copy() {
    let mut sim = Sim::started(copy());
    take(&mut sim, "r1", answer(["x", "y"], calls(), &WOVEN));
    let head = sim.events().rfind(|event| event.is_tree_event()).unwrap().id.clone();
    take(&mut sim, "r2", answer(["z", "u"], vec![shell("c3", "a"), shell("c4", "b")], &ODD));
    assert_eq!(controls(&sim), 1);
    let said = answers(&sim);
    assert_eq!(said.iter().map(Message::parts).collect::<Vec<_>>(), [WOVEN.to_vec(), ODD.to_vec()]);

    sim.crash();
    assert_eq!(answers(&sim), said);
    let written = serde_json::to_vec(sim.agent.past()).unwrap();
    assert_eq!(&serde_json::from_slice::<crate::Past>(&written).unwrap(), sim.agent.past());

    // Another branch, and back: the same id of an answer is there again.
    let end = sim.events().rfind(|event| event.is_tree_event()).unwrap().id.clone();
    go_to(&mut sim, &head);
    assert_eq!(answers(&sim).len(), 1);
    sim.say("Otherwise.");
    sim.run();
    take(&mut sim, "r2", answer(["v", "w"], vec![shell("c5", "a")], &[]));
    go_to(&mut sim, &end);
    assert_eq!(answers(&sim), said);
    assert_eq!(setup(sim.copy.clone(), &sim.log).past.view.messages(), sim.agent.past().view.messages());
}

fn go_to(sim: &mut Sim, event: &EventId) {
    if sim.agent.is_running() {
        sim.input(Input::Interrupt).unwrap();
    }
    let past = past_of(&sim.log, Some(event.as_str()));
    sim.input(Input::Navigate { to: Some(event.clone()), past }).unwrap();
}

#[test]
fn thinking_that_holds_a_secret_is_given_back_whole_but_not_written_down() {
    let mut sim = Sim::started(copy());
    take(&mut sim, "r1", answer(["the key is hunter2", "y"], calls(), &ODD));
    let said = answers(&sim);
    assert_eq!(said[0].parts(), ODD);
    assert_eq!(said[0].thinking_blocks[0], thinking("the key is hunter2"));
    assert!(!serde_json::to_string(&sim.events().collect::<Vec<_>>()).unwrap().contains("hunter2"));
    sim.crash();
    let left = [Part::Text(0), Part::Call(0), Part::Call(1), Part::Thinking(0), Part::Text(1)];
    assert_eq!(answers(&sim)[0].parts(), left);
    assert_eq!(answers(&sim)[0].thinking_blocks, [thinking("y")]);
}

#[test]
fn another_model_is_given_texts_and_calls_in_their_order_without_thinking() {
    let mut sim = Sim::started(copy());
    take(&mut sim, "r1", answer(["x", "y"], calls(), &ODD));
    let llm = types::agent::LlmConfig { model: "openai/other".to_owned(), ..Default::default() };
    sim.input(Input::SwitchLlm { llm, vision: false }).unwrap();
    assert_eq!(answers(&sim)[0].parts(), [Part::Text(0), Part::Call(0), Part::Call(1), Part::Text(1)]);
    sim.crash();
    assert_eq!(answers(&sim)[0].parts(), [Part::Text(0), Part::Call(0), Part::Call(1), Part::Text(1)]);
}

#[test]
fn a_text_keeps_its_order_too() {
    let mut sim = Sim::started(copy());
    let order = [Part::Thinking(0), Part::Text(0), Part::Thinking(1), Part::Text(1)];
    take(&mut sim, "r1", answer(["x", "y"], vec![], &order));
    assert_eq!((answers(&sim)[0].parts(), controls(&sim)), (order.to_vec(), 1));
    sim.crash();
    assert_eq!(answers(&sim)[0].parts(), order);
}

#[test]
fn calls_that_are_not_run_keep_their_place() {
    let mut sim = Sim::started(copy());
    let made = vec![shell("c1", "a"), finish("f")];
    let mut message = answer(["x", "y"], made, &WOVEN);
    message.content.push(Content::text(" "));
    take(&mut sim, "r1", message);
    assert_eq!(answers(&sim)[0].parts(), WOVEN);
}

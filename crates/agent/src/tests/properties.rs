//! What holds whatever happens. The checks themselves are those of [`super::sim::Sim`].

use proptest::prelude::*;
use serde_json::json;
use types::EventId;
use types::content::ToolCall;
use types::model::{Ending, FailureKind};
use types::policy::{ConfirmationPolicy, SecurityAnalyzer};

use super::sim::{Sim, observation};
use super::support::{call, completion, condensing_copy, failure, finish, past_of, setup, shell, think};
use crate::past::Past;
use crate::protocol::{Input, ToolOutcome};

#[derive(Clone, Debug)]
enum Move {
    Say,
    Run,
    Pause,
    Interrupt,
    Respond(bool),
    Policy(u8),
    Analyzer(bool),
    Condense,
    StartGoal,
    StopGoal,
    ResumeGoal,
    /// To one of the events that there are, or before the first.
    Navigate(usize),
    Crash,
    Text(&'static str),
    Calls(Vec<u8>),
    /// An answer that did not end by itself: with a text and so many calls.
    Unfinished(u8, u8),
    Fail(u8),
    Tool {
        which: usize,
        outcome: u8,
    },
    LateAnswer,
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        2 => Just(Move::Say),
        4 => Just(Move::Run),
        1 => Just(Move::Pause),
        1 => Just(Move::Interrupt),
        2 => any::<bool>().prop_map(Move::Respond),
        1 => (0..3_u8).prop_map(Move::Policy),
        1 => any::<bool>().prop_map(Move::Analyzer),
        1 => Just(Move::Condense),
        1 => Just(Move::StartGoal),
        1 => Just(Move::StopGoal),
        1 => Just(Move::ResumeGoal),
        2 => (0..40_usize).prop_map(Move::Navigate),
        1 => Just(Move::Crash),
        2 => prop_oneof![Just("Some text."), Just(""), Just(" ")].prop_map(Move::Text),
        8 => prop::collection::vec(0..9_u8, 1..5).prop_map(Move::Calls),
        3 => (0..5_u8, 0..4_u8).prop_map(|(ending, calls)| Move::Unfinished(ending, calls)),
        1 => (0..5_u8).prop_map(Move::Fail),
        8 => (0..4_usize, 0..4_u8).prop_map(|(which, outcome)| Move::Tool { which, outcome }),
        1 => Just(Move::LateAnswer),
    ]
}

fn make_call(kind: u8, number: usize) -> ToolCall {
    let id = format!("call_{number}");
    match kind {
        0 | 1 => shell(&id, &format!("echo {number}")),
        2 => shell("same_id", "echo same"),
        3 => think(&id),
        4 => finish(&id),
        5 => call(&id, "no_such_tool", json!({"a": number})),
        6 => call(&id, "terminal", json!({"cmd": "ls"})),
        7 => ToolCall { arguments: "{\"command\": \"ls".to_owned(), ..shell("", "ls") },
        _ => call(&id, "file_editor", json!({"command": "view", "path": "/a", "security_risk": "LOW"})),
    }
}

fn play(sim: &mut Sim, number: usize, one: Move) {
    match one {
        Move::Say => sim.say("Something new."),
        Move::Run => drop(sim.input(Input::Run)),
        Move::Pause => sim.input(Input::Pause).unwrap(),
        Move::Interrupt => sim.input(Input::Interrupt).unwrap(),
        Move::Respond(accept) => {
            sim.input(Input::Respond { accept, reason: "no".to_owned(), actions: None }).unwrap();
        }
        Move::Policy(which) => sim.input(Input::SetConfirmationPolicy(policy(which))).unwrap(),
        Move::Analyzer(set) => {
            sim.input(Input::SetSecurityAnalyzer(set.then_some(SecurityAnalyzer::LLMSecurityAnalyzer)))
                .unwrap();
        }
        Move::Condense => drop(sim.input(Input::Condense)),
        Move::StartGoal => {
            let objective = "A goal.".to_owned();
            drop(sim.input(Input::StartGoal { objective, max_iterations: 2, id: None }));
        }
        Move::StopGoal => sim.input(Input::StopGoal).unwrap(),
        Move::ResumeGoal => drop(sim.input(Input::ResumeGoal)),
        Move::Navigate(to) => {
            let ids: Vec<_> =
                sim.events().filter(|event| event.is_tree_event()).map(|event| event.id.clone()).collect();
            let to = ids.get(to % (ids.len() + 1)).cloned();
            let past = past_of(&sim.log, to.as_ref().map(EventId::as_str));
            drop(sim.input(Input::Navigate { to, past }));
        }
        Move::Crash => sim.crash(),
        Move::Text(text) if sim.calling.is_some() => sim.answer(text, vec![]),
        Move::Calls(kinds) if sim.calling.is_some() => {
            let calls =
                kinds.iter().enumerate().map(|(at, kind)| make_call(*kind, number * 10 + at)).collect();
            sim.answer("", calls);
        }
        Move::Unfinished(ending, calls) if sim.calling.is_some() => {
            let calls = (0..calls).map(|kind| make_call(kind * 2, number * 10 + usize::from(kind))).collect();
            sim.answer_so(unfinished(ending), "Some text", calls);
        }
        Move::Fail(kind) if sim.calling.is_some() => sim.model(Err(failure(failure_kind(kind), "LLMError"))),
        Move::Tool { which, outcome } if !sim.running.is_empty() => {
            let (action_id, ..) = sim.running.remove(which % sim.running.len());
            sim.finish_tool(action_id, tool_outcome(outcome, number));
        }
        Move::LateAnswer => {
            let result = Ok(completion("late", "late", vec![]));
            sim.input(Input::ModelAnswered { call: u64::MAX, result }).unwrap();
        }
        Move::Text(_) | Move::Calls(_) | Move::Unfinished(..) | Move::Fail(_) | Move::Tool { .. } => {}
    }
}

fn unfinished(which: u8) -> Ending {
    match which {
        0 => Ending::Withheld,
        1 => Ending::Paused,
        cut => Ending::Cut { whole_calls: usize::from(cut) - 2 },
    }
}

fn policy(which: u8) -> ConfirmationPolicy {
    match which {
        0 => ConfirmationPolicy::AlwaysConfirm,
        1 => ConfirmationPolicy::NeverConfirm,
        _ => {
            ConfirmationPolicy::ConfirmRisky { threshold: types::event::Risk::Medium, confirm_unknown: true }
        }
    }
}

fn failure_kind(kind: u8) -> FailureKind {
    match kind {
        0 => FailureKind::ContextWindow,
        1 => FailureKind::MalformedHistory,
        2 => FailureKind::ContentPolicy,
        3 => FailureKind::Refused,
        _ => FailureKind::Other,
    }
}

fn tool_outcome(outcome: u8, number: usize) -> ToolOutcome {
    match outcome {
        0 => ToolOutcome::Failed("boom".to_owned()),
        1 => ToolOutcome::Interrupted,
        _ => ToolOutcome::Observed(observation(&number.to_string())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// At every step: calls paired with exactly one result, times increasing, the parent chain unbroken,
    /// every run ended once and at the end of an append, the loop waiting for something while it runs, and no call carried
    /// out twice, whatever is gone back to.
    /// At the end: an agent built from the log knows what this one knows.
    #[test]
    fn every_history_is_in_order_and_can_be_taken_up_from_the_log(
        all in prop::collection::vec(moves(), 1..60),
        limit in 1..4_u32,
    ) {
        let mut copy = condensing_copy(12, 2);
        copy.agent["tool_concurrency_limit"] = json!(limit);
        copy.max_iterations = 12;
        let mut sim = Sim::new(copy);
        for (number, one) in all.into_iter().enumerate() {
            play(&mut sim, number, one);
        }
        sim.status();
        let from_log = setup(sim.copy.clone(), &sim.log);
        let known = sim.agent.projection();
        prop_assert_eq!(sim.agent.past(), &from_log.past);
        let written = serde_json::to_vec(sim.agent.past()).unwrap();
        prop_assert_eq!(&serde_json::from_slice::<Past>(&written).unwrap(), sim.agent.past());
        prop_assert_eq!(&known.leaf_event_id, &from_log.projection.leaf_event_id);
        prop_assert_eq!(&known.last_timestamp, &from_log.projection.last_timestamp);
        prop_assert_eq!(known.status, from_log.projection.status);
        prop_assert_eq!(known.goal, from_log.projection.goal);
    }
}

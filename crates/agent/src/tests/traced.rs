//! Order and fields of events as OpenHands clients know them.

use serde_json::{Value, json};

use super::sim::Sim;
use super::support::{call, condensing_copy, copy, finish, shell};
use crate::protocol::{Input, LogItem};

/// Top-level fields by kind, sorted.
const FIELDS: [(&str, &[&str]); 13] = [
    (
        "ActionEvent",
        &[
            "action",
            "id",
            "kind",
            "llm_response_id",
            "parent_id",
            "security_risk",
            "source",
            "summary",
            "thinking_blocks",
            "thought",
            "timestamp",
            "tool_call",
            "tool_call_id",
            "tool_name",
        ],
    ),
    (
        "AgentErrorEvent",
        &[
            "classification",
            "error",
            "id",
            "kind",
            "parent_id",
            "source",
            "timestamp",
            "tool_call_id",
            "tool_name",
        ],
    ),
    ("CondensationRequest", &["id", "kind", "parent_id", "source", "timestamp"]),
    (
        "Condensation",
        &[
            "forgotten_event_ids",
            "id",
            "kind",
            "llm_response_id",
            "parent_id",
            "source",
            "summary",
            "summary_offset",
            "timestamp",
        ],
    ),
    (
        "ConversationErrorEvent",
        &["classification", "code", "detail", "id", "kind", "parent_id", "source", "timestamp"],
    ),
    ("ConversationStateUpdateEvent", &["id", "key", "kind", "parent_id", "source", "timestamp", "value"]),
    ("InterruptEvent", &["id", "kind", "parent_id", "source", "timestamp"]),
    (
        "MessageEvent",
        &[
            "activated_skills",
            "extended_content",
            "id",
            "kind",
            "llm_message",
            "parent_id",
            "source",
            "timestamp",
        ],
    ),
    (
        "ObservationEvent",
        &[
            "action_id",
            "extended_content",
            "id",
            "kind",
            "observation",
            "parent_id",
            "source",
            "timestamp",
            "tool_call_id",
            "tool_name",
        ],
    ),
    ("PauseEvent", &["id", "kind", "parent_id", "source", "timestamp"]),
    (
        "SecurityAnalysisEvent",
        &["analyzer", "details", "id", "kind", "parent_id", "policy", "risks", "source", "timestamp"],
    ),
    (
        "SystemPromptEvent",
        &["dynamic_context", "id", "kind", "source", "system_prompt", "timestamp", "tools"],
    ),
    (
        "UserRejectObservation",
        &[
            "action_id",
            "id",
            "kind",
            "parent_id",
            "rejection_reason",
            "rejection_source",
            "source",
            "timestamp",
            "tool_call_id",
            "tool_name",
        ],
    ),
];

/// Fields that an event of the kind may lack or have besides.
const OPTIONAL: [&str; 7] =
    ["parent_id", "llm_response_id", "action", "summary", "value", "reasoning_content", "dynamic_context"];

fn events(sim: &Sim) -> Vec<Value> {
    sim.events().map(|event| serde_json::to_value(event).unwrap()).collect()
}

fn assert_known_fields(sim: &Sim) {
    for event in events(sim) {
        let kind = event["kind"].as_str().unwrap();
        let (_, known) = FIELDS.iter().find(|(name, _)| *name == kind).unwrap_or_else(|| panic!("{kind}"));
        let strict = |fields: Vec<String>| -> Vec<String> {
            let mut fields: Vec<String> =
                fields.into_iter().filter(|f| !OPTIONAL.contains(&f.as_str())).collect();
            fields.sort();
            fields
        };
        let has = strict(event.as_object().unwrap().keys().cloned().collect());
        let wants = strict(known.iter().map(|field| (*field).to_owned()).collect());
        assert_eq!(has, wants, "{kind}");
    }
}

#[test]
fn the_quick_start_reads_as_recorded() {
    let mut sim = Sim::new(condensing_copy(80, 4));
    sim.say("Create a NOTES.md file with three facts about this project.");
    let opening = ["SystemPrompt", "models", "Message(user)", "last_user_message_id"];
    assert_eq!(sim.news(), opening);
    sim.run();
    assert_eq!(sim.news(), ["status=running"]);
    let create = call("call_create", "file_editor", json!({"command": "create", "path": "/w/NOTES.md"}));
    sim.answer("I will write the file.", vec![create]);
    assert_eq!(sim.news(), ["usage", "Action(file_editor)", "stats"]);
    sim.observe("File created successfully at: /w/NOTES.md");
    assert_eq!(sim.news(), ["Observation(call_create)"]);
    sim.answer("", vec![finish("call_finish")]);
    assert_eq!(
        sim.news(),
        ["usage", "Action(finish)", "stats", "Observation(call_finish)", "status=finished", "run_ended"]
    );
    assert_known_fields(&sim);

    let events = events(&sim);
    assert!(events[0].get("parent_id").is_none(), "the first event has no parent");
    assert_eq!(events[2]["value"], events[1]["id"], "the update names the message");
    assert_eq!(events[2]["parent_id"], events[1]["id"]);
    let message = json!({"role": "user", "thinking_blocks": [], "content":
        [{"type": "text", "cache_prompt": false, "text": "Create a NOTES.md file with three facts about this project."}]});
    assert_eq!(events[1]["llm_message"], message);
    let action = &events[4];
    let text = r#"{"command": "create", "path": "/w/NOTES.md"}"#;
    assert_eq!(action["tool_call"]["arguments"], text);
    assert_eq!(action["summary"], format!("file_editor: {text}"));
    assert_eq!((&action["security_risk"], &action["source"]), (&json!("UNKNOWN"), &json!("agent")));
    assert_eq!(
        action["thought"],
        json!([{"type": "text", "cache_prompt": false, "text": "I will write the file."}])
    );
    let observed = events
        .iter()
        .find(|event| event["tool_call_id"] == "call_finish" && event["kind"] == "ObservationEvent");
    let expected = json!({"content": [{"type": "text", "cache_prompt": false, "text": "All done."}],
        "is_error": false, "kind": "FinishObservation"});
    assert_eq!(observed.unwrap()["observation"], expected);
}

#[test]
fn the_stats_name_every_model_from_the_first_update_on() {
    let mut sim = Sim::started(condensing_copy(80, 4));
    sim.answer("Hi.", vec![]);
    let stats = events(&sim).into_iter().find(|event| event["key"] == "stats").unwrap();
    let per_model = stats["value"]["usage_to_metrics"].as_object().unwrap().clone();
    assert_eq!(per_model.keys().collect::<Vec<_>>(), ["agent", "condenser"]);
    assert_eq!(per_model["agent"]["accumulated_token_usage"]["per_turn_token"], 110);
    let controls: Vec<&LogItem> = sim.log.iter().filter(|item| matches!(item, LogItem::Control(_))).collect();
    assert_eq!(controls.len(), 3, "models, usage, end of the run");
}

#[test]
fn settings_changed_before_the_first_message_stand_below_the_root() {
    let mut sim = Sim::new(copy());
    sim.input(Input::SetSecurityAnalyzer(Some(types::policy::SecurityAnalyzer::LLMSecurityAnalyzer)))
        .unwrap();
    sim.input(Input::SetConfirmationPolicy(types::policy::ConfirmationPolicy::AlwaysConfirm)).unwrap();
    sim.input(Input::SetSecurityAnalyzer(None)).unwrap();
    sim.say("Work with me.");
    let events = events(&sim);
    let parents: Vec<Option<&str>> = events.iter().map(|event| event["parent_id"].as_str()).collect();
    assert_eq!(parents[..4], [None, Some("__root__"), Some("__root__"), Some("__root__")]);
    assert!(events[2].get("value").is_none(), "none is left out");
}

#[test]
fn every_kind_of_event_has_the_fields_that_clients_take() {
    let mut copy = condensing_copy(80, 2);
    copy.confirmation_policy = types::policy::ConfirmationPolicy::AlwaysConfirm;
    copy.security_analyzer = Some(types::policy::SecurityAnalyzer::LLMSecurityAnalyzer);
    let mut sim = Sim::started(copy);
    sim.answer("", vec![shell("c1", "a"), call("c2", "none", json!({}))]);
    sim.input(Input::Respond { accept: false, reason: "no".to_owned(), actions: None }).unwrap();
    sim.run();
    sim.answer("", vec![shell("c3", "b")]);
    sim.run();
    sim.observe("b");
    sim.input(Input::Pause).unwrap();
    sim.input(Input::Interrupt).unwrap();
    sim.input(Input::Condense).unwrap();
    sim.answer("A summary.", vec![]);
    sim.run();
    sim.model(Err(super::support::failure(types::model::FailureKind::Other, "LLMTimeoutError")));
    let seen: std::collections::BTreeSet<String> =
        events(&sim).iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(seen.len(), FIELDS.len(), "{seen:?}");
    assert_known_fields(&sim);
}

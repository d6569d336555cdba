//! What was moved in is answered as the peer has answered it, and goes on.

use serde_json::{Map, Value};
use testing::model::Model;
use testing::server::Server;

use super::python::Python;
use super::{FORKED, KEY, Mover, WAITING, WORKING};

/// Of a conversation, what does not depend on which server answers. Not `updated_at`: here it is the time of the last event.
const OF_A_CONVERSATION: [&str; 25] = [
    "id",
    "workspace",
    "max_iterations",
    "stuck_detection",
    "execution_status",
    "confirmation_policy",
    "security_analyzer",
    "activated_knowledge_skills",
    "invoked_skills",
    "blocked_actions",
    "blocked_messages",
    "last_user_message_id",
    "leaf_event_id",
    "stats",
    "secret_registry",
    "agent_state",
    "hook_config",
    "title",
    "created_at",
    "forked_from_conversation_id",
    "parent_conversation_id",
    "tags",
    "client_tools",
    "tool_module_qualnames",
    "agent",
];

/// Answers that are the same from their first to their last word.
const WHOLE: [&str; 11] = [
    "/api/settings",
    "/api/settings/secrets",
    "/api/profiles",
    "/api/profiles/own",
    "/api/profiles/linked",
    "/api/agent-profiles",
    "/api/agent-profiles/helper",
    "/api/meta-profiles",
    "/api/meta-profiles/routes",
    "/api/llm/provider-connections",
    "/api/bash/bash_events/search?limit=100",
];

/// What the peer answered, with the names that it has here.
pub fn expected(text: &str, mover: &Mover, model: &str) -> Value {
    let text =
        text.replace("/peer", &mover.peer().display().to_string()).replace("http://model.invalid/v1", model);
    serde_json::from_str(&text).unwrap()
}

/// Without nulls, and numbers as numbers: `8` and `8.0` are one.
pub fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Number(number) => number.as_f64().into(),
        other => other.clone(),
    }
}

fn chosen(info: &Value) -> Value {
    OF_A_CONVERSATION
        .iter()
        .map(|name| ((*name).to_owned(), info[name].clone()))
        .collect::<Map<_, _>>()
        .into()
}

#[tokio::test]
async fn what_was_moved_in_is_answered_as_the_peer_has_answered_it() {
    let model = "http://127.0.0.1:9/v1";
    let mover = Mover::new(model);
    let told = mover.import().whole();
    assert_eq!(told.count("conversations"), (3, 0, 0), "{told:#?}");
    assert_eq!(told.count("secrets"), (2, 0, 0), "{told:#?}");
    let recorded = include_str!("../../moving/peer-1.58.2/expected.json");
    let server = mover.start.start();
    is_answered_as(&server, &expected(recorded, &mover, model)).await;
    let secret =
        server.client.request(reqwest::Method::GET, "/api/settings/secrets/TOKEN_A").send().await.unwrap();
    assert_eq!(secret.text().await.unwrap(), "secret-fixture-a");
    assert!(mover.start.folder().join("user/.openhands/skills/installed/greeter/SKILL.md").exists());
}

pub async fn is_answered_as(server: &Server, expected: &Value) {
    for id in [WORKING, WAITING, FORKED] {
        let path = format!("/api/conversations/{id}");
        let (ours, theirs) = (server.client.get_ok(&path).await, &expected[&path]);
        assert_eq!(plain(&chosen(&ours)), plain(&chosen(theirs)), "{path}");
        let path = format!("{path}/events/search?limit=100");
        assert_eq!(server.client.get_ok(&path).await, expected[&path], "{path}");
    }
    for path in WHOLE {
        assert_eq!(plain(&server.client.get_ok(path).await), plain(&expected[path]), "{path}");
    }
    let listed = server.client.get_ok("/api/conversations/search?limit=100").await;
    let ids = |list: &Value| -> Vec<Value> {
        list["items"].as_array().unwrap().iter().map(|info| info["id"].clone()).collect()
    };
    assert_eq!(ids(&listed), ids(&expected["/api/conversations/search?limit=100"]));
    for (path, list) in [("/api/skills/installed", "skills"), ("/api/plugins/installed", "plugins")] {
        let names = |answer: &Value| {
            let one = &answer[list][0];
            (one["name"].clone(), one["version"].clone(), one["source"].clone(), one["installed_at"].clone())
        };
        assert_eq!(names(&server.client.get_ok(path).await), names(&expected[path]), "{path}");
    }
}

#[tokio::test]
async fn a_conversation_goes_on_here_and_then_at_the_peer() {
    let model = Model::start(0, Vec::new()).await.unwrap();
    let mover = Mover::new(&model.base_url());
    mover.import().whole();
    let mut server = mover.start.start();
    server.client.send(WORKING, "Go on.", true).await;
    server.client.wait_for_status(WORKING, "finished").await;
    let events = server.client.events(WORKING).await;
    assert!(server.terminate().success());
    let asked = model.requests().last().unwrap().to_string();
    assert!(
        asked.contains("Write a note.") && asked.contains("Go on."),
        "the model knows what was said there"
    );

    let python = Python::find().await;
    let folder = python.folder();
    let told = mover.export(&folder).whole();
    assert_eq!(told.count("conversations"), (3, 0, 0), "{told:#?}");
    let read = python.open(&folder, WORKING, KEY, &model.lenient_url(), None).await;
    assert_eq!((&read["odd"], &read["title"]), (&Value::Array(Vec::new()), &"A note".into()));
    assert_eq!(read["events"].as_u64().unwrap(), events.len() as u64);
    assert_eq!((&read["model_key"], &read["status"]), (&"sk-fixture-model".into(), &"finished".into()));
    assert_eq!(read["secrets"], serde_json::json!(["SESSION"]));
    let gone_on = python.open(&folder, WORKING, KEY, &model.lenient_url(), Some("And on.")).await;
    assert_eq!(gone_on["status_after"], "finished");
    assert!(gone_on["events_after"].as_u64() > gone_on["events"].as_u64());
    let asked = model.requests().last().unwrap().to_string();
    assert!(asked.contains("Go on.") && asked.contains("And on."), "the peer knows what was said here");
}

#[tokio::test]
async fn what_waits_for_its_user_is_confirmed_here() {
    let model = Model::start(0, Vec::new()).await.unwrap();
    let mover = Mover::new(&model.base_url());
    mover.import().whole();
    let note = mover.peer().join("project/note.txt");
    std::fs::write(&note, "moved").unwrap();
    let server = mover.start.start();
    let path = format!("/api/conversations/{WAITING}/events/respond_to_confirmation");
    server.client.post_ok(&path, &serde_json::json!({"accept": true})).await;
    testing::until(async || !note.exists()).await;
}

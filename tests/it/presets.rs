//! Agents with the tools that the SDK's presets name, each on a whole server.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testing::client::conversation;
use testing::model::Model;
use testing::script::{Script, Turn};
use testing::server::{Server, Start};

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");

/// A conversation whose agent has these fields, and what its calls have ended with.
async fn observations(server: &Server, model: &Model, agent: Value) -> BTreeMap<String, Value> {
    let working_dir = server.folder().join("w").display().to_string();
    let mut body = conversation(&model.base_url(), &working_dir);
    body["agent"].as_object_mut().unwrap().extend(agent.as_object().unwrap().clone());
    let id = server.client.post_ok("/api/conversations", &body).await["id"].as_str().unwrap().to_owned();
    server.client.send(&id, "[[preset]]", true).await;
    server.client.wait_for_status(&id, "finished").await;
    let events = server.client.events(&id).await;
    let observed = events.into_iter().filter(|event| event["kind"] == "ObservationEvent");
    observed
        .map(|mut event| (event["tool_name"].as_str().unwrap().to_owned(), event["observation"].take()))
        .collect()
}

fn tools(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "params": {}})).collect()
}

#[tokio::test]
async fn an_agent_of_the_gemini_preset_writes_edits_lists_and_reads() {
    let turns = vec![
        Turn::call("1", "write_file", json!({"file_path": "notes/a.txt", "content": "one\n"})),
        Turn::call(
            "2",
            "edit",
            json!({"file_path": "notes/a.txt", "old_string": "one", "new_string": "two"}),
        ),
        Turn::call("3", "list_directory", json!({"dir_path": "notes"})),
        Turn::call("4", "read_file", json!({"file_path": "notes/a.txt"})),
        Turn::finish("done"),
    ];
    let model = Model::start(0, vec![Script::new("[[preset]]", turns)]).await.unwrap();
    let server = Start::new(BINARY).start();
    let names =
        ["terminal", "read_file", "write_file", "edit", "list_directory", "task_tracker", "browser_tool_set"];
    let seen = observations(&server, &model, json!({"tools": tools(&names)})).await;
    assert!(seen.values().all(|observation| observation["is_error"] == false), "{seen:?}");
    assert_eq!(seen["edit"]["new_content"], "two\n");
    assert_eq!(seen["list_directory"]["entries"][0]["name"], "a.txt");
    assert_eq!(seen["read_file"]["file_content"], "     1  two\n");
}

#[tokio::test]
async fn an_agent_of_the_planning_preset_searches_and_writes_its_plan() {
    let server = Start::new(BINARY).start();
    let folder = server.folder().join("w");
    std::fs::create_dir_all(folder.join("src")).unwrap();
    std::fs::write(folder.join("src/main.rs"), "fn main() {}\n").unwrap();
    let plan = folder.join(".agents_tmp/PLAN.md");
    let change = json!({"command": "str_replace", "path": plan, "old_str": "# 1. OBJECTIVE",
        "new_str": "# 1. OBJECTIVE\n\nBe brief."});
    let turns = vec![
        Turn::call("1", "glob", json!({"pattern": "**/*.rs"})),
        Turn::call("2", "grep", json!({"pattern": "FN main"})),
        Turn::call("3", "planning_file_editor", change),
        Turn::finish("done"),
    ];
    let model = Model::start(0, vec![Script::new("[[preset]]", turns)]).await.unwrap();
    let agent = json!({
        "tools": tools(&["glob", "grep", "planning_file_editor"]),
        "system_prompt_filename": "system_prompt_planning.j2",
        "system_prompt_kwargs": {"plan_structure": "The plan must follow this structure exactly: …"},
    });
    let seen = observations(&server, &model, agent).await;
    assert!(seen.values().all(|observation| observation["is_error"] == false), "{seen:?}");
    let found = json!([folder.canonicalize().unwrap().join("src/main.rs")]);
    assert_eq!((&seen["glob"]["files"], &seen["grep"]["matches"]), (&found, &found));
    assert!(std::fs::read_to_string(plan).unwrap().starts_with("# 1. OBJECTIVE\n\nBe brief.\n"));
}

#[tokio::test]
async fn the_catalogue_says_of_each_tool_what_that_of_the_peer_says() {
    let peer: Value = serde_json::from_str(include_str!("../contract/tools-1.58.2.json")).unwrap();
    let server = Start::new(BINARY).start();
    let mut ours = server.client.get_ok("/api/tools/catalog").await["tools"].take();
    let ours = ours.as_array_mut().unwrap();
    assert!(ours.len() >= 11, "{ours:?}");
    for tool in ours {
        assert!(!tool["description"].as_str().unwrap().is_empty());
        tool.as_object_mut().unwrap().remove("description");
        assert!(peer["catalog"].as_array().unwrap().contains(tool), "{tool}");
    }
}

//! Agents with tools of MCP servers, each on a whole server.

use std::path::Path;

use serde_json::{Value, json};
use testing::client::conversation;
use testing::eventually;
use testing::model::Model;
use testing::process::is_alive;
use testing::script::{Script, Turn};
use testing::server::{Server, Start};

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");

/// A server in the language that is everywhere. It notes each process that it is, says back what it is told, shows an image,
/// fails, ends in the middle of a call, and takes its time.
const SERVER: &str = r#"
echo $$ >> "$NOTE"
says() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
text() { says "{\"content\":[{\"type\":\"text\",\"text\":\"$1\"}],\"isError\":$2}"; }
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  case "$line" in
    *'"initialize"'*) says '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}}}' ;;
    *'"tools/list"'*) says '{"tools":[
      {"name":"say","description":"Says it back.","inputSchema":{"type":"object","required":["what"],
        "properties":{"what":{"anyOf":[{"type":"string"},{"type":"null"}],"title":"What"},"summary":{"type":"string"}}}},
      {"name":"show","description":"An image.","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}},
      {"name":"fail","description":"Fails.","inputSchema":{"type":"object"}},
      {"name":"die","description":"Ends.","inputSchema":{"type":"object"}},
      {"name":"wait","description":"Takes long.","inputSchema":{"type":"object"}}]}' | tr -d '\n'; echo ;;
    *'"name":"show"'*) says '{"content":[{"type":"image","mimeType":"image/png","data":"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}]}' ;;
    *'"name":"say"'*)
      what=$(printf '%s' "$line" | sed -n 's/.*"what":"\([^"]*\)".*/\1/p')
      text "$what, $API_TOKEN" false ;;
    *'"name":"fail"'*) text "it went wrong" true ;;
    *'"name":"die"'*) echo "out of ideas" >&2; exit 3 ;;
    *'"notifications/cancelled"'*) echo cancelled >> "$NOTE" ;;
  esac
done
"#;

/// As a conversation describes it.
fn shell(note: &Path, script: &str) -> Value {
    json!({"command": "/bin/sh", "args": ["-c", script], "env": {"NOTE": note, "API_TOKEN": "hunter2hunter2"}})
}

fn servers(note: &Path) -> Value {
    json!({"parrot": shell(note, SERVER)})
}

/// What is told by the server's processes, in lines.
fn noted(note: &Path) -> Vec<String> {
    std::fs::read_to_string(note).unwrap_or_default().lines().map(str::to_owned).collect()
}

async fn created(server: &Server, model: &Model, mcp_config: Value) -> String {
    let working_dir = server.folder().join("w").display().to_string();
    let mut body = conversation(&model.base_url(), &working_dir);
    body["agent"]["mcp_config"] = mcp_config;
    server.client.post_ok("/api/conversations", &body).await["id"].as_str().unwrap().to_owned()
}

/// The events of a conversation that was told `text` and is at rest again.
async fn told(server: &Server, id: &str, text: &str) -> Vec<Value> {
    server.client.send(id, text, true).await;
    server.client.wait_for_status(id, "finished").await;
    server.client.events(id).await
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["kind"] == kind).collect()
}

fn texts(observation: &Value) -> Vec<&str> {
    let blocks = observation["observation"]["content"].as_array().unwrap();
    blocks.iter().filter_map(|block| block["text"].as_str()).collect()
}

async fn scripted(turns: Vec<Turn>) -> Model {
    Model::start(0, vec![Script::new("[[mcp]]", turns)]).await.unwrap()
}

#[tokio::test]
async fn an_agent_uses_the_tools_of_a_server() {
    let turns = vec![
        Turn::call("1", "say", json!({"what": "hello", "summary": "its own"})),
        Turn::call("2", "show", json!({})),
        Turn::call("3", "fail", json!({})),
        Turn::call("4", "say", json!({"what": 7})),
        Turn::finish("done"),
    ];
    let (model, server) = (scripted(turns).await, Start::new(BINARY).start());
    let note = server.folder().join("note");
    let id = created(&server, &model, servers(&note)).await;
    assert!(noted(&note).is_empty(), "nothing is started to create a conversation");
    let events = told(&server, &id, "[[mcp]]").await;

    let prompt = of_kind(&events, "SystemPromptEvent")[0];
    let tools = prompt["tools"].as_array().unwrap();
    let say = tools.iter().find(|tool| tool["title"] == "say").unwrap();
    let form = ["kind", "action_type", "observation_type"].map(|field| say[field].as_str().unwrap());
    assert_eq!(form, ["MCPToolDefinition", "MCPToolAction", "MCPToolObservation"]);
    assert_eq!(say["mcp_tool"]["inputSchema"]["properties"]["what"]["title"], "What");
    let offered = &model.requests()[0]["tools"];
    let offered = offered.as_array().unwrap().iter().find(|tool| tool["function"]["name"] == "say").unwrap();
    let what = &offered["function"]["parameters"]["properties"]["what"];
    assert_eq!(what, &json!({"type": "string"}), "what providers do not take is left out");

    let action = of_kind(&events, "ActionEvent")[0];
    assert_eq!(action["action"]["kind"], "MCPToolAction");
    assert_eq!(action["action"]["data"], json!({"what": "hello", "summary": "its own"}));
    let observed = of_kind(&events, "ObservationEvent");
    assert_eq!(texts(observed[0]), ["[Tool 'say' executed.]", "hello, <secret-hidden>"]);
    assert_eq!(observed[0]["observation"]["tool_name"], "say");
    assert_eq!(observed[1]["observation"]["content"][1]["type"], "image");
    assert_eq!(
        (texts(observed[2])[1], &observed[2]["observation"]["is_error"]),
        ("it went wrong", &json!(true))
    );
    let refused = of_kind(&events, "AgentErrorEvent")[0];
    assert!(refused["error"].as_str().unwrap().contains("`what` must be of type string"), "{refused}");
}

#[tokio::test]
async fn a_server_that_does_not_start_is_told_and_stops_nobody() {
    let (model, server) = (
        scripted(vec![Turn::call("1", "parrot_say", json!({"what": "x"})), Turn::finish("done")]).await,
        Start::new(BINARY).start(),
    );
    let note = server.folder().join("note");
    let mut all = servers(&note);
    all["gone"] = json!({"command": "/no/such/program"});
    all["broken"] = shell(&note, "echo 'no key was given' >&2; exit 1");
    all["far"] = json!({"url": "http://127.0.0.1:9/mcp"});
    all["off"] = json!({"command": "/no/such/program", "enabled": false});
    let id = created(&server, &model, all).await;
    let events = told(&server, &id, "[[mcp]]").await;
    let kinds: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    let prompt = kinds.iter().position(|kind| *kind == "SystemPromptEvent").unwrap();
    let told = &events[prompt + 1];
    assert_eq!(
        (&told["kind"], &told["source"]),
        (&json!("MessageEvent"), &json!("environment")),
        "{kinds:?}"
    );
    let told = told["llm_message"]["content"][0]["text"].as_str().unwrap();
    let why = [
        "'gone' cannot be used, so its tools are missing. The program or its folder was not found.",
        "'broken' cannot be used, so its tools are missing. The server closed the connection. Its last words: no key was given",
        "'far' cannot be used",
    ];
    assert!(why.iter().all(|why| told.contains(why)) && !told.contains("'off'"), "{told}");
    assert_eq!(texts(of_kind(&events, "ObservationEvent")[0])[0], "[Tool 'parrot_say' executed.]");
}

#[tokio::test]
async fn conversations_share_a_server_and_the_last_one_ends_it() {
    let turns = || vec![Turn::call("1", "say", json!({"what": "x"})), Turn::finish("done")];
    let (model, server) = (scripted(turns()).await, Start::new(BINARY).start());
    let note = server.folder().join("note");
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = created(&server, &model, servers(&note)).await;
        told(&server, &id, "[[mcp]]").await;
        ids.push(id);
    }
    let processes = noted(&note);
    assert_eq!(processes.len(), 1, "one process for all: {processes:?}");
    let last = ids.pop().unwrap();
    for id in ids {
        server.client.delete(&format!("/api/conversations/{id}")).await;
    }
    assert!(is_alive(&processes[0]), "somebody still has its tools");
    server.client.delete(&format!("/api/conversations/{last}")).await;
    eventually("the end of the server", async || (!is_alive(&processes[0])).then_some(())).await;
}

#[tokio::test]
async fn a_server_that_ended_is_started_again_and_nothing_is_called_twice() {
    let turns = vec![
        Turn::call("1", "die", json!({})),
        Turn::call("2", "say", json!({"what": "back"})),
        Turn::finish("done"),
    ];
    let (model, server) = (scripted(turns).await, Start::new(BINARY).start());
    let note = server.folder().join("note");
    let id = created(&server, &model, servers(&note)).await;
    let events = told(&server, &id, "[[mcp]]").await;
    let observed = of_kind(&events, "ObservationEvent");
    let died = texts(observed[0])[0];
    assert!(died.contains("Its last words: out of ideas") && died.contains("is unknown"), "{died}");
    assert_eq!(texts(observed[1])[1], "back, <secret-hidden>");
    assert_eq!(noted(&note).len(), 2);
}

#[tokio::test]
async fn a_call_of_a_server_is_interrupted_at_once_and_the_server_is_told() {
    let turns = vec![Turn::call("1", "wait", json!({})), Turn::finish("done")];
    let (model, server) = (scripted(turns).await, Start::new(BINARY).start());
    let note = server.folder().join("note");
    let id = created(&server, &model, servers(&note)).await;
    server.client.send(&id, "[[mcp]]", true).await;
    eventually("the call", async || {
        let events = server.client.events(&id).await;
        (!of_kind(&events, "ActionEvent").is_empty()).then_some(())
    })
    .await;
    server.client.post_ok(&format!("/api/conversations/{id}/interrupt"), &json!({})).await;
    server.client.wait_for_status(&id, "paused").await;
    eventually("that the server hears of it", async || {
        noted(&note).contains(&"cancelled".to_owned()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_ends_with_ours() {
    let say = |id: &str| [Turn::call(id, "say", json!({"what": "x"})), Turn::finish("done")];
    let turns = [say("1"), say("2")].into_iter().flatten().collect();
    let (model, server) = (scripted(turns).await, Start::new(BINARY).start());
    let note = server.folder().join("note");
    let id = created(&server, &model, servers(&note)).await;
    told(&server, &id, "[[mcp]]").await;
    let mut server = server.killed_and_restarted();
    eventually("the end of what the killed one has left", async || {
        (!is_alive(&noted(&note)[0])).then_some(())
    })
    .await;
    // The conversation goes on with a server of its own.
    server.client.send(&id, "again", true).await;
    eventually("its answer", async || {
        let events = server.client.events(&id).await;
        let said =
            of_kind(&events, "ObservationEvent").into_iter().filter(|event| event["tool_name"] == "say");
        (said.count() == 2).then_some(())
    })
    .await;
    let second = noted(&note)[1].clone();
    assert!(is_alive(&second));
    server.terminate();
    eventually("the end of the server", async || (!is_alive(&second)).then_some(())).await;
}

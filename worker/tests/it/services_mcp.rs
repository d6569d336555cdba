//! MCP servers that are programs are tried out, and are over then.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Map;
use testing::eventually;
use testing::process::is_alive;
use types::calls::{McpCall, McpProbed};
use types::mcp::{McpFailureKind, McpProgram, ToolCall, ToolResult};

use crate::services::World;

/// Speaks as a server does, in the order in which it is asked: questions have the numbers 1, 2, 3. It begins something of its
/// own, and notes how it was started.
const SERVER: &str = r#"
echo "$$ $PWD $KEY ${OH_SECRET_KEY:-none}" > "$NOTE"
sleep 1000 &
echo $! > "$NOTE.helper"
echo "a greeting that is no message"
while read -r line; do
  case "$line" in
    *'"initialize"'*) echo '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}' ;;
    *'"tools/list"'*) echo '{"jsonrpc":"2.0","id":2,"result":{"tools":[{"name":"add"},{"name":"hang"}]}}' ;;
    *'"hang"'*) ;;
    *'"tools/call"'*) echo '{"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"text","text":"7"}]}}' ;;
  esac
done
"#;

fn shell(script: &str, variables: &[(&str, &str)]) -> McpProgram {
    let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    McpProgram {
        command: "/bin/sh".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: variables.collect::<BTreeMap<_, _>>(),
        cwd: None,
    }
}

async fn probe(world: &World, program: McpProgram, tool: Option<&str>, timeout_ms: u64) -> McpProbed {
    let tool_call = tool.map(|name| ToolCall { name: name.to_owned(), arguments: Map::new() });
    world.call(&McpCall::Probe { program, tool_call, timeout_ms }, Bytes::new()).await.unwrap().0
}

/// What the server has noted of itself, and who its helper is.
fn noted(world: &World) -> (String, String) {
    let read = |name: &str| std::fs::read_to_string(world.path(name)).unwrap();
    (read("note"), read("note.helper"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_asked_for_its_tools_where_commands_run() {
    let world = World::start().await;
    let program = shell(SERVER, &[("NOTE", &world.text("note")), ("KEY", "k")]);
    let McpProbed::Found(found) = probe(&world, program, Some("add"), 10_000).await else {
        panic!("not found")
    };
    assert_eq!(found.tools, ["add", "hang"]);
    assert_eq!(found.tool_result, Some(ToolResult { is_error: false, text: "7".to_owned() }));
    let (note, helper) = noted(&world);
    let folder = world.text("");
    let expected = format!(" {} k none", folder.trim_end_matches('/'));
    assert!(note.trim_end().ends_with(&expected), "{note} is not {expected}");
    let pid = note.split(' ').next().unwrap();
    assert!(!is_alive(pid) && !is_alive(&helper), "it is over before the answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_mcp_server_that_hangs_is_told_and_ended() {
    let world = World::start().await;
    let note = world.text("note");
    let silent =
        shell("echo $$ > \"$NOTE\"; sleep 1000 & echo $! > \"$NOTE.helper\"; wait", &[("NOTE", &note)]);
    let McpProbed::Failed(failure) = probe(&world, silent, None, 1_000).await else { panic!("found") };
    assert_eq!(failure.kind, McpFailureKind::Timeout);
    assert_eq!(failure.error, "The server did not list its tools within 1.0 seconds.");
    let (pid, helper) = noted(&world);
    assert!(!is_alive(&pid) && !is_alive(&helper), "it is over before the answer");
    let hangs = shell(SERVER, &[("NOTE", &note)]);
    let McpProbed::Found(found) = probe(&world, hangs, Some("hang"), 2_000).await else {
        panic!("not found")
    };
    let text = "Tool 'hang' call timed out after 2.0 seconds".to_owned();
    assert_eq!(found.tool_result, Some(ToolResult { is_error: true, text }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_program_has_left_ends_though_it_has_ended_itself_and_its_mark_is_gone() {
    let world = World::start().await;
    let note = world.text("note");
    let leaving = shell("env -i sleep 1000 > /dev/null & echo $! > \"$NOTE\"; exit 0", &[("NOTE", &note)]);
    let McpProbed::Failed(failure) = probe(&world, leaving, None, 10_000).await else { panic!("found") };
    assert_eq!(failure.error, "The server closed the connection.");
    assert!(!is_alive(std::fs::read_to_string(&note).unwrap()), "it is over before the answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_program_has_left_ends_though_it_has_a_session_of_its_own() {
    let world = World::start().await;
    let note = world.text("note");
    let leaving = "setsid sh -c 'echo $$ > \"$NOTE\"; exec sleep 1000' < /dev/null > /dev/null &
        while [ ! -s \"$NOTE\" ]; do sleep 0.01; done";
    probe(&world, shell(leaving, &[("NOTE", &note)]), None, 10_000).await;
    assert!(!is_alive(std::fs::read_to_string(&note).unwrap()), "it is over before the answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_server_is_told_in_words_of_ours() {
    let world = World::start().await;
    let missing = McpProgram { command: "/nowhere/marked".to_owned(), ..shell("", &[]) };
    for (program, kind, error) in [
        (missing, McpFailureKind::Connection, "The program or its folder was not found."),
        (shell("exit 1", &[]), McpFailureKind::Connection, "The server closed the connection."),
        (shell("cat /dev/zero", &[]), McpFailureKind::Connection, "The server sent more than is taken."),
        (
            shell("read -r line; echo '{\"id\":1,\"error\":{\"code\":1,\"message\":\"no\"}}'; cat", &[]),
            McpFailureKind::Connection,
            "The server refused: no",
        ),
    ] {
        let McpProbed::Failed(failure) = probe(&world, program, None, 10_000).await else {
            panic!("{error}")
        };
        assert_eq!((failure.kind, failure.error.as_str()), (kind, error));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_ends_with_the_worker() {
    let world = World::start().await;
    let note = world.text("note");
    let silent = shell("echo $$ > \"$NOTE\"; exec sleep 1000", &[("NOTE", &note)]);
    let call = McpCall::Probe { program: silent, tool_call: None, timeout_ms: 100_000 };
    let trial = world.call::<_, McpProbed>(&call, Bytes::new());
    let stopping = async {
        let begun = async || std::fs::read_to_string(&note).ok().filter(|pid| pid.ends_with('\n'));
        let pid = eventually("it is started", begun).await;
        world.stop().await;
        pid
    };
    let (_, pid) = tokio::join!(trial, stopping);
    assert!(!is_alive(&pid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_trial_of_a_killed_worker_has_left_ends_with_the_next_one() {
    let mut world = World::start().await;
    let note = world.text("note");
    // It is not found by what an orderly end looks for, as if there were none.
    let leaving =
        "env -u MANYHANDS_MCP setsid sh -c 'echo $$ > \"$NOTE\"; exec sleep 1000' < /dev/null > /dev/null &
        while [ ! -s \"$NOTE\" ]; do sleep 0.01; done";
    probe(&world, shell(leaving, &[("NOTE", &note)]), None, 10_000).await;
    let left = std::fs::read_to_string(&note).unwrap();
    assert!(is_alive(&left), "{left}");
    world.restart().await;
    eventually("it ends", async || (!is_alive(&left)).then_some(())).await;
}

//! Agents behind the Agent Client Protocol are asked which models they offer, and are over then.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::time::Duration;

use bytes::Bytes;
use testing::eventually;
use testing::process::is_alive;
use tokio::time::timeout;
use types::acp::{AcpDiscovery, AcpFile, AcpProgram};
use types::calls::AcpCall;

use crate::services::World;

/// Speaks as an agent does, in the order in which it is asked. It notes where it was started, what it was given as a file, and
/// how it was logged in to.
const AGENT: &str = r#"
echo "$PWD" > "$NOTE"
cat "$CODEX_HOME/auth.json" >> "$NOTE"
echo "$$" > "$NOTE.pid"
while read -r line; do
  case "$line" in
    *'"initialize"'*) echo '{"id":1,"result":{"protocolVersion":1,"agentInfo":{"name":"an-agent","version":"7"},"authMethods":[{"id":"other"},{"id":"chat-gpt"}]}}' ;;
    *'"authenticate"'*) echo "$line" >> "$NOTE"; echo '{"id":2,"result":{}}' ;;
    *'"session/new"'*) echo '{"id":3,"result":{"sessionId":"s","models":{"currentModelId":"m","availableModels":[{"modelId":"m","name":"M"}]}}}' ;;
  esac
done
"#;

fn shell(script: &str, variables: &[(&str, &str)]) -> AcpProgram {
    let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    AcpProgram {
        command: ["/bin/sh", "-c", script].map(str::to_owned).into(),
        preferred: Some(vec!["no-such-program".to_owned()]),
        env: variables.collect::<BTreeMap<_, _>>(),
        without: Vec::new(),
        files: Vec::new(),
        data_folder: None,
    }
}

async fn ask(world: &World, program: AcpProgram, timeout_ms: u64) -> AcpDiscovery {
    world.call(&AcpCall::Models { program, timeout_ms }, Bytes::new()).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_started_aside_logged_in_to_and_thrown_away() {
    let world = World::start().await;
    let note = world.text("note");
    let mut program = shell(AGENT, &[("NOTE", &note)]);
    program.files.push(AcpFile {
        folder: "codex".to_owned(),
        name: "auth.json".to_owned(),
        variable: "CODEX_HOME".to_owned(),
        is_folder_named: true,
        text: r#"{"tokens":{}}"#.to_owned(),
    });
    let found = ask(&world, program, 10_000).await;
    assert_eq!(found.error, None);
    assert_eq!((found.agent_name.as_deref(), found.agent_version.as_deref()), (Some("an-agent"), Some("7")));
    assert_eq!(found.current_model_id.as_deref(), Some("m"));
    assert_eq!(found.available_models.len(), 1);
    let noted = std::fs::read_to_string(&note).unwrap();
    assert!(noted.contains(r#"{"tokens":{}}"#), "{noted}");
    assert!(noted.contains(r#""methodId":"chat-gpt""#), "{noted}");
    let folder = noted.lines().next().unwrap();
    assert!(!std::path::Path::new(folder).exists(), "{folder} is left");
    let pid = std::fs::read_to_string(format!("{note}.pid")).unwrap();
    assert!(!is_alive(&pid), "it is over before the answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acp_program_that_ends_is_an_error_of_the_answer() {
    let world = World::start().await;
    let refusing = "read -r line; echo '{\"id\":1,\"error\":{\"code\":-32000,\"message\":\"log in\"}}'; cat";
    let missing = AcpProgram { command: vec!["/nowhere".to_owned()], ..shell("", &[]) };
    for (program, code, detail) in [
        (shell("exit 1", &[]), "ACPInitError", "Connection lost"),
        (shell(refusing, &[]), "ACPAuthRequired", "[-32000] log in"),
        (missing, "ACPSpawnError", "The program was not found."),
    ] {
        let error = ask(&world, program, 10_000).await.error.unwrap();
        assert_eq!((error.code.as_str(), error.detail.as_str()), (code, detail));
    }
    let error = ask(&world, shell("sleep 1000", &[]), 300).await.error.unwrap();
    assert_eq!(error.code, "ACPStartupTimeout");
}

/// As [`AGENT`], of which nobody asks a login.
const CONTENT: &str = r#"
while read -r line; do
  case "$line" in
    *'"initialize"'*) echo '{"id":1,"result":{"protocolVersion":1,"authMethods":[{"id":"chat-gpt"}]}}' ;;
    *'"session/new"'*) echo '{"id":2,"result":{"sessionId":"s","models":{"currentModelId":"m"}}}' ;;
    *'"authenticate"'*) exit 1 ;;
  esac
done
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_of_an_agent_holds_up_or_fills_the_server() {
    let world = World::start().await;
    world.sh("mkdir pipe zero large; mkfifo pipe/auth.json; ln -s /dev/zero zero/auth.json");
    let mut large = br#"{"tokens":{}}"#.to_vec();
    large.resize(2 << 20, b' ');
    std::fs::write(world.path("large/auth.json"), large).unwrap();
    for kind in ["large", "pipe", "zero"] {
        let program = shell(CONTENT, &[("CODEX_HOME", &world.text(kind))]);
        let asked = timeout(Duration::from_secs(10), ask(&world, program, 8_000)).await;
        // Lets go whoever waits for a writer.
        drop(OpenOptions::new().read(true).write(true).open(world.path("pipe/auth.json")).unwrap());
        let found = asked.expect(kind);
        assert_eq!((found.error, found.current_model_id.as_deref()), (None, Some("m")), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_program_has_started_is_over_before_the_answer_though_it_has_ended_itself() {
    let world = World::start().await;
    let note = world.text("note");
    // It has left its environment, and in that its mark.
    let script = "env -i /bin/sleep 1000 </dev/null >/dev/null 2>&1 & echo $! > \"$NOTE\"";
    let error = ask(&world, shell(script, &[("NOTE", &note)]), 10_000).await.error.unwrap();
    assert_eq!(error.code, "ACPInitError");
    let started = std::fs::read_to_string(&note).unwrap();
    assert!(!is_alive(&started), "{started} goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_an_agent_that_has_failed() {
    let world = World::start().await;
    let note = world.text("note");
    for (then, code) in
        [("exit 1", "ACPInitError"), ("cat /dev/zero", "ACPInitError"), ("sleep 1000", "ACPStartupTimeout")]
    {
        let script = format!("echo $PWD > \"$NOTE\"; echo $$ > \"$NOTE.pid\"; {then}");
        let error = ask(&world, shell(&script, &[("NOTE", &note)]), 3_000).await.error.unwrap();
        assert_eq!(error.code, code, "{then}: {error:?}");
        let folder = std::fs::read_to_string(&note).unwrap();
        assert!(!std::path::Path::new(folder.trim()).exists(), "{then}: {folder} is left");
        let pid = std::fs::read_to_string(format!("{note}.pid")).unwrap();
        assert!(!is_alive(&pid), "{then}: {pid} goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_of_a_killed_worker_has_left_ends_with_the_next_one() {
    let mut world = World::start().await;
    let note = world.text("note");
    // It is not found by what an orderly end looks for, as if there were none.
    let leaving =
        "env -u MANYHANDS_ACP setsid sh -c 'echo $$ > \"$NOTE\"; exec sleep 1000' < /dev/null > /dev/null &
        while [ ! -s \"$NOTE\" ]; do sleep 0.01; done";
    ask(&world, shell(leaving, &[("NOTE", &note)]), 10_000).await;
    let left = std::fs::read_to_string(&note).unwrap();
    assert!(is_alive(&left), "{left}");
    world.restart().await;
    eventually("it ends", async || (!is_alive(&left)).then_some(())).await;
}

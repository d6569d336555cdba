//! What programs of agents learn of the server's environment: what ordinary work needs and what the operator
//! named, and nothing else, wherever they look.

use serde_json::json;
use testing::model::Model;
use testing::script::{Script, Turn};
use testing::server::{Server, Start};

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");

/// Of ordinary work, or named by the operator below.
const PASSING: [(&str, &str); 12] = [
    ("JAVA_HOME", "shown-1"),
    ("VIRTUAL_ENV", "shown-2"),
    ("PIP_INDEX_URL", "https://shown-3.example/simple"),
    ("CARGO_HOME", "shown-4"),
    ("GOPATH", "shown-5"),
    ("REQUESTS_CA_BUNDLE", "shown-6"),
    ("no_proxy", "127.0.0.1,shown-7"),
    ("NO_PROXY", "127.0.0.1,shown-8"),
    ("npm_config_registry", "https://shown-9.example"),
    ("MY_FLAG", "shown-10"),
    ("NAMED_TOKEN", "shown-11"),
    ("GRADLE_USER_HOME", "shown-12"),
];

const WITHHELD: [(&str, &str); 22] = [
    ("OPENAI_API_KEY", "leaked-1"),
    ("DATABASE_URL", "postgres://u:leaked-2@db/x"),
    ("MYSQL_PWD", "leaked-3"),
    ("GH_PAT", "leaked-4"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=leaked-5"),
    ("LMNR_PROJECT_API_KEY", "leaked-6"),
    ("AWS_SECRET_ACCESS_KEY", "leaked-7"),
    ("GITHUB_TOKEN", "leaked-8"),
    ("MY_SECRET", "leaked-9"),
    ("MY_INDEX", "https://user:leaked-10@host/simple"),
    ("PIP_EXTRA_INDEX_URL", "https://user:leaked-11@host/simple"),
    ("SSH_AUTH_SOCK", "/leaked-12"),
    ("SENTRY_DSN", "https://leaked-13@sentry.example/1"),
    ("RANDOM_FLAG", "leaked-14"),
    ("OH_SECRET_KEY", "leaked-15-leaked-15-leaked-15-leaked"),
    ("OH_WEB_URL", "https://leaked-16.example"),
    ("SLACK_WEBHOOK_URL", "https://hooks.example/leaked-17"),
    ("REDIS_URL", "redis://:leaked-18@redis"),
    ("KUBECONFIG", "/leaked-19"),
    ("DB_PASSWORD", "leaked-20"),
    ("OPENHANDS_AGENT_SERVER_CONFIG_PATH", "leaked-21.json"),
    ("NAMED_TOKEN_2", "leaked-22"),
];

fn start() -> Server {
    let named = [("OH_PASS_ENV_0", "MY_*"), ("OH_PASS_ENV_1", "NAMED_TOKEN")];
    let all = PASSING.iter().chain(&WITHHELD).chain(&named);
    let start = Start::new(BINARY);
    std::fs::write(start.folder().join("leaked-21.json"), "{}").unwrap();
    all.fold(start, |start, (name, value)| start.with(name, value)).start()
}

#[track_caller]
fn assert_only_passing(seen: &str, place: &str) {
    assert!(!seen.contains("leaked"), "{place}: {seen}");
    for (name, value) in PASSING {
        assert!(seen.lines().any(|line| line == format!("{name}={value}")), "{place}, {name}: {seen}");
    }
}

#[tokio::test]
async fn commands_of_the_api_see_what_passes_and_nothing_else() {
    let server = start();
    let seen = server.client.printed(None, "env").await;
    assert_only_passing(&seen, "a command");
}

#[tokio::test]
async fn the_agents_shell_sees_the_same() {
    let turns = vec![Turn::terminal("call_1", "env"), Turn::text("Done.")];
    let model = Model::start(0, vec![Script::new("[[env]]", turns)]).await.unwrap();
    let server = start();
    let work = server.folder().join("work").display().to_string();
    let id = server.client.create(&model.base_url(), &work).await;
    server.client.send(&id, "Look around. [[env]]", true).await;
    server.client.wait_for_status(&id, "finished").await;
    let events = server.client.events(&id).await;
    let shown = events.iter().find(|event| event["kind"] == "ObservationEvent").unwrap();
    let seen = shown["observation"]["content"][0]["text"].as_str().unwrap();
    assert_only_passing(seen, "the agent's shell");
}

/// Also for the superuser, who may read it.
#[tokio::test]
async fn the_environment_of_the_server_process_shows_nothing_else_either() {
    let server = start();
    let seen = server.client.printed(None, "tr '\\0' '\\n' < /proc/$PPID/environ; true").await;
    assert!(!seen.contains("leaked"), "{seen}");
    let request = json!({ "command": "cat /proc/$PPID/cmdline" });
    let output = server.client.post_ok("/api/bash/execute_bash_command", &request).await;
    assert!(output["stdout"].as_str().unwrap().contains("manyhands"), "the parent is the server: {output}");
}

#[test]
fn a_name_that_cannot_be_passed_ends_the_start() {
    for name in ["OH_SECRET_KEY", "SESSION_API_KEY", "A=B", "A*B*"] {
        let output = Start::new(BINARY).with("OH_PASS_ENV_0", name).command().output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{name}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("OH_PASS_ENV"), "{said}");
    }
}

#[test]
fn a_config_file_that_is_named_and_not_there_ends_the_start_and_the_doctor() {
    for words in [&["--port", "0"][..], &["doctor", "--port", "0"], &["conversations"]] {
        let mut command = std::process::Command::new(BINARY);
        let start = Start::new(BINARY);
        command.args(words).current_dir(start.folder()).env("HOME", start.folder());
        let output = command.env("OPENHANDS_AGENT_SERVER_CONFIG_PATH", "sever.json").output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{words:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("OPENHANDS_AGENT_SERVER_CONFIG_PATH names sever.json"), "{said}");
    }
}

#[test]
fn the_doctor_says_what_passes_and_what_is_withheld() {
    let start =
        Start::new(BINARY).with("OH_PASS_ENV_0", "MY_*").with("MY_FLAG", "x").with("MY_TOKEN", "leaked");
    let mut doctor = std::process::Command::new(BINARY);
    doctor.arg("doctor").args(["--port", "0"]).current_dir(start.folder());
    doctor.envs(start.command().get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = doctor.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().find(|line| line.contains("children")).unwrap();
    assert!(line.contains("MY_FLAG") && line.contains("MY_TOKEN") && !said.contains("leaked"), "{line}");
}

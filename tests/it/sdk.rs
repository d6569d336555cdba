//! The real OpenHands Python SDK against this server: the scenarios of `sdk/scenarios.py`, each on a server of
//! its own with a session key. `sdk/environment.sh` finds or makes the Python they need.

use std::process::Stdio;

use testing::model::Model;
use testing::server::Start;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const SCENARIOS: &str = include_str!("../sdk/scenarios.py");

/// Also in the scenarios.
const SECRET: &str = "the secret of the server";

/// The command of a Python that has the SDK.
pub fn python() -> Vec<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/environment.sh");
    let output = std::process::Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "no Python with the SDK");
    let command = String::from_utf8(output.stdout).unwrap();
    command.split_whitespace().map(str::to_owned).collect()
}

async fn passes(scenario: &str, key: Option<&str>) {
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands"));
    let server = match key {
        Some(key) => start.with_key(key).with("OH_SECRET_KEY", SECRET).start(),
        None => start.start(),
    };
    passes_on(&server.url, scenario, key).await;
}

/// On a server that runs. The scenario's text goes in on standard input: in a changed root the file could not be seen.
pub async fn passes_on(url: &str, scenario: &str, key: Option<&str>) {
    let model = Model::start(0, Vec::new()).await.unwrap();
    let work = tempfile::tempdir().unwrap();
    let python = python();
    let mut command = Command::new(&python[0]);
    command
        .args(&python[1..])
        .args(["-", scenario, url, key.unwrap_or("-"), &model.base_url()])
        .arg(work.path());
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(SCENARIOS.as_bytes()).await.unwrap();
    let output = process.wait_with_output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains(&format!("{scenario}: passed")), "{told}\n{errors}");
    println!("{told}");
}

macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        $(#[tokio::test] async fn $name() { passes(stringify!($name), Some("session-key")).await; })+
    };
}

scenarios!(
    quick_start,
    quick_start_anthropic,
    thirty_quick_runs,
    confirmation,
    pause_and_resume,
    interrupt,
    secrets,
    workspace_calls,
    ask_and_attach,
    stored_settings,
    stored_profiles,
    other_clients,
);

#[tokio::test]
async fn quick_start_without_keys() {
    passes("quick_start", None).await;
}

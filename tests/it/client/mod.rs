//! The client in the same program, as people, scripts and editors use it.

mod acp;
mod confirming;
mod conversations;
mod help;
mod run;
mod stopping;
#[cfg(feature = "cluster")]
mod trying;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use testing::model::Model;
use testing::script::{Script, Turn};

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");
const KEY: &str = "the-key-of-the-model";

/// Somebody with a home, a folder of work, and a model.
struct User {
    home: TempDir,
    model: Model,
}

impl User {
    async fn with(turns: Vec<Turn>) -> Self {
        let model = Model::start(0, vec![Script::new("[[task]]", turns)]).await.unwrap();
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("work")).unwrap();
        Self { home, model }
    }

    fn work(&self) -> PathBuf {
        self.home.path().join("work")
    }

    /// `manyhands`, where the environment says nothing but who they are.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).current_dir(self.work()).stdin(Stdio::null());
        for (name, _) in std::env::vars() {
            let is_meant = ["OH_", "LLM_", "MANYHANDS_", "XDG_"].iter().any(|start| name.starts_with(start));
            if is_meant || name == "SESSION_API_KEY" || name == "NO_COLOR" {
                command.env_remove(name);
            }
        }
        command.env("HOME", self.home.path()).env_remove("CI").env_remove("LOG_LEVEL");
        command
    }

    /// The same with a model.
    fn with_model(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.env("LLM_MODEL", "openai/scripted").env("LLM_API_KEY", KEY);
        command.env("LLM_BASE_URL", self.model.base_url());
        command
    }

    async fn runs(&self, arguments: &[&str]) -> Ended {
        ended(self.with_model(arguments)).await
    }
}

/// How a program ended, and what it wrote.
#[derive(Debug)]
struct Ended {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    #[track_caller]
    fn with(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self:?}");
        self
    }

    fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { status: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

async fn ended(mut command: Command) -> Ended {
    let output = tokio::task::spawn_blocking(move || command.output());
    output.await.unwrap().unwrap().into()
}

/// The same, given `input` on its standard input.
async fn given(mut command: Command, input: &str) -> Ended {
    let mut process =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    tokio::task::spawn_blocking(move || process.wait_with_output()).await.unwrap().unwrap().into()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let kinds = events.iter().filter_map(|event| event["kind"].as_str());
    kinds.filter(|kind| *kind != "ConversationStateUpdateEvent").collect()
}

fn holds(folder: &Path, name: &str) -> bool {
    folder.join(name).exists()
}

//! The program that is the editor's server.

use std::io::{self, Write};
use std::process::Stdio;
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, copy, sink};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use tools::hands;
use tools::offspring::{Mark, Offspring};
use uuid::Uuid;

use super::EditorConfig;

/// The variable by which what it has started is found.
const MARK: &str = "MANYHANDS_EDITOR";

/// What it prints once it can be opened.
const READY: [&str; 2] = ["Web UI available at", "Server bound to"];
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// What it may print before that.
const MOST_SAID: u64 = 1 << 20;

/// Ends when it is dropped.
pub(super) struct Program {
    child: Child,
    offspring: Offspring,
    token: String,
}

impl Program {
    /// `kin`: the variable by which a later worker finds what this one could not end.
    ///
    /// # Errors
    /// When it cannot be started, or ends before it can be opened.
    pub async fn start(config: &EditorConfig, kin: &(String, String)) -> io::Result<Self> {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let token_file = private_file(&token)?;
        let mark = Mark::unique(MARK);
        let mut command = std::process::Command::new(&config.program);
        command
            .args(["--host", "0.0.0.0", "--disable-workspace-trust"])
            .args(["--port", &config.port.to_string()])
            .arg("--connection-token-file")
            .arg(token_file.path())
            .env_clear()
            .envs(child_environment::inherited())
            .env(&kin.0, &kin.1)
            .env(mark.name, &mark.value)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(base_path) = &config.base_path {
            command.args(["--server-base-path", base_path]);
        }
        hands::lend(&mut command);
        let offspring = Offspring::of(mark);
        let mut child = Command::from(command).kill_on_drop(true).spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("it has no output"))?;
        let mut output = BufReader::new(output);
        let is_ready = timeout(PATIENCE, is_ready(&mut output)).await.unwrap_or(Ok(false))?;
        if !is_ready {
            return Err(io::Error::other("it did not say that it can be opened"));
        }
        // Its output is taken all the time: a full pipe would stop it.
        tokio::spawn(async move { copy(&mut output, &mut sink()).await });
        Ok(Self { child, offspring, token })
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// Blocks for some seconds at most.
    pub fn end(self) {
        self.offspring.end();
    }
}

/// Nobody else on the machine reads it, as all could read what a program is called with. It goes when it is dropped.
fn private_file(text: &str) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    file.write_all(text.as_bytes())?;
    hands::give(file.as_file())?;
    Ok(file)
}

/// False where it ends before, or says too much else.
async fn is_ready(output: &mut BufReader<ChildStdout>) -> io::Result<bool> {
    let mut lines = output.take(MOST_SAID).lines();
    while let Some(line) = lines.next_line().await? {
        if READY.iter().any(|words| line.contains(words)) {
            return Ok(true);
        }
    }
    Ok(false)
}

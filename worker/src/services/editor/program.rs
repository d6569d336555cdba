//! The program that is the editor's server.

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, copy, sink};
use tokio::process::ChildStdout;
use tokio::time::timeout;
use tools::hands;
use tools::offspring::Mark;
use uuid::Uuid;

use super::super::program::Program;
use super::EditorConfig;

/// The variable by which what it has started is found.
const MARK: &str = "MANYHANDS_EDITOR";

/// What it prints once it can be opened.
const READY: [&str; 2] = ["Web UI available at", "Server bound to"];
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// What it may print before that.
const MOST_SAID: u64 = 1 << 20;

/// Ends when it is dropped.
pub(super) struct Editor {
    program: Program,
    token: String,
}

impl Editor {
    /// `kin`: the variable by which a later worker finds what this one could not end.
    ///
    /// # Errors
    /// When it cannot be started, or ends before it can be opened.
    pub async fn start(config: &EditorConfig, kin: &(String, String)) -> io::Result<Self> {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let token_file = private_file(&token)?;
        let mut command = Command::new(&config.program);
        command
            .args(["--host", "0.0.0.0", "--disable-workspace-trust"])
            .args(["--port", &config.port.to_string()])
            .arg("--connection-token-file")
            .arg(token_file.path())
            .env_clear()
            .envs(child_environment::inherited())
            .env(&kin.0, &kin.1);
        if let Some(base_path) = &config.base_path {
            command.args(["--server-base-path", base_path]);
        }
        let mut program = Program::start(command, Mark::unique(MARK), Stdio::null())?;
        let (output, _input) = program.pipes()?;
        let mut output = BufReader::new(output);
        let is_ready = timeout(PATIENCE, is_ready(&mut output)).await.unwrap_or(Ok(false))?;
        if !is_ready {
            return Err(io::Error::other("it did not say that it can be opened"));
        }
        // Its output is taken all the time: a full pipe would stop it.
        tokio::spawn(async move { copy(&mut output, &mut sink()).await });
        Ok(Self { program, token })
    }

    pub fn is_running(&self) -> bool {
        self.program.end_code().is_none()
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// Takes some seconds at most.
    pub async fn end(self) {
        self.program.end(Duration::ZERO).await;
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

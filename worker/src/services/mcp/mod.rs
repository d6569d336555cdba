//! MCP servers that are programs, tried out before a conversation uses them. The program runs as commands do, where they do
//! and with what they inherit, and is over before the answer is given.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jsonrpc::Lines;
use ports::rpc::{Fault, Reason};
use tokio_util::sync::CancellationToken;
use tools::offspring::Mark;
use types::calls::{McpCall, McpProbed};
use types::mcp::{McpFailure, McpFailureKind, McpProgram, ToolCall};

use super::program::Program;

/// The variable by which what a server has started is found.
const MARK: &str = "MANYHANDS_MCP";

/// Whoever asks for more gets so much.
const LONGEST: Duration = Duration::from_secs(120);
/// Bytes that a server may print.
const MOST_OUTPUT: usize = 1 << 20;

pub(super) struct Service {
    /// Where programs start that are not told.
    default_cwd: PathBuf,
    kin: (String, String),
    shutdown: CancellationToken,
}

impl Service {
    /// `kin`: the variable by which a later worker finds what this one could not end.
    pub fn new(default_cwd: PathBuf, kin: (String, String), shutdown: CancellationToken) -> Self {
        Self { default_cwd, kin, shutdown }
    }

    /// # Errors
    /// Where the worker ends before.
    pub async fn answer(&self, call: McpCall) -> Result<McpProbed, Fault> {
        let McpCall::Probe { program, tool_call, timeout_ms } = call;
        let patience = Duration::from_millis(timeout_ms).min(LONGEST);
        let mut started = match self.start(&program) {
            Ok(started) => started,
            Err(error) => return Ok(McpProbed::Failed(not_started(&error))),
        };
        let probing = probe(&mut started, tool_call.as_ref(), patience);
        let probed = self.shutdown.run_until_cancelled(probing).await;
        started.end(Duration::ZERO).await;
        probed.ok_or_else(|| Reason::ShuttingDown.into())
    }

    fn start(&self, program: &McpProgram) -> io::Result<Program> {
        let mut command = Command::new(&program.command);
        command
            .args(&program.args)
            .current_dir(program.cwd.as_deref().map_or(self.default_cwd.as_path(), Path::new))
            .env_clear()
            .envs(child_environment::inherited())
            .envs(&program.env)
            .env(&self.kin.0, &self.kin.1);
        Program::start(command, Mark::unique(MARK), Stdio::null())
    }
}

async fn probe(program: &mut Program, tool_call: Option<&ToolCall>, patience: Duration) -> McpProbed {
    let (output, input) = match program.pipes() {
        Ok(pipes) => pipes,
        Err(error) => return McpProbed::Failed(not_started(&error)),
    };
    match ::mcp::probe(Lines::new(output, input, MOST_OUTPUT), tool_call, patience).await {
        Ok(found) => McpProbed::Found(found),
        Err(error) => McpProbed::Failed((&error).into()),
    }
}

/// The system's own words may hold what was to be started.
fn not_started(error: &io::Error) -> McpFailure {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "The program or its folder was not found.",
        io::ErrorKind::PermissionDenied => "The program may not be started.",
        _ => "The program cannot be started.",
    };
    McpFailure { kind: McpFailureKind::Connection, error: why.to_owned() }
}

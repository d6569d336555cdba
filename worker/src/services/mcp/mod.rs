//! MCP servers that are programs: those that conversations use ([`Servers`]), and those that are tried out before, which are over
//! before the answer is given.

mod complaints;
mod pool;
mod start;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use jsonrpc::Lines;
use ports::rpc::{Fault, Reason};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::calls::{McpCall, McpProbed};
use types::mcp::{McpFailure, McpFailureKind, ToolCall};

pub(crate) use pool::Lease;
pub use pool::Servers;

use super::program::Program;
use start::{Starter, why_not};

/// Whoever asks for more gets so much.
const LONGEST: Duration = Duration::from_secs(120);
/// Bytes that a server on trial may print.
const MOST_OUTPUT: usize = 1 << 20;

pub(super) struct Service {
    starter: Starter,
    shutdown: CancellationToken,
}

impl Service {
    /// `default_cwd`: where programs start that are not told. `kin`: the variable by which a later worker finds what this one could
    /// not end.
    pub fn new(default_cwd: PathBuf, kin: (String, String), shutdown: CancellationToken) -> Self {
        Self { starter: Starter::new(default_cwd, kin), shutdown }
    }

    /// Those that conversations use.
    pub fn servers(&self, tracker: TaskTracker) -> Servers {
        Servers::new(self.starter.clone(), tracker, self.shutdown.clone())
    }

    /// # Errors
    /// Where the worker ends before.
    pub async fn answer(&self, call: McpCall) -> Result<McpProbed, Fault> {
        let McpCall::Probe { program, tool_call, timeout_ms } = call;
        let patience = Duration::from_millis(timeout_ms).min(LONGEST);
        let mut started = match self.starter.start(&program, Stdio::null()) {
            Ok(started) => started,
            Err(error) => return Ok(McpProbed::Failed(not_started(why_not(&error)))),
        };
        let probing = probe(&mut started, tool_call.as_ref(), patience);
        let probed = self.shutdown.run_until_cancelled(probing).await;
        started.end(Duration::ZERO).await;
        probed.ok_or_else(|| Reason::ShuttingDown.into())
    }
}

async fn probe(program: &mut Program, tool_call: Option<&ToolCall>, patience: Duration) -> McpProbed {
    let (output, input) = match program.pipes() {
        Ok(pipes) => pipes,
        Err(error) => return McpProbed::Failed(not_started(why_not(&error))),
    };
    match ::mcp::probe(Lines::new(output, input, MOST_OUTPUT), tool_call, patience).await {
        Ok(found) => McpProbed::Found(found),
        Err(error) => McpProbed::Failed((&error).into()),
    }
}

fn not_started(why: &str) -> McpFailure {
    McpFailure { kind: McpFailureKind::Connection, error: why.to_owned() }
}

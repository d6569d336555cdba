//! Agents behind the Agent Client Protocol, asked which models they offer: started in a folder that is thrown away, spoken to, and
//! over before the answer is given. That one does not work is an answer, and no fault.

mod environment;
mod folder;
mod login;
mod speech;
mod words;

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jsonrpc::Lines;
use ports::rpc::{Fault, Reason};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tools::offspring::Mark;
use types::acp::{AcpDiscovery, AcpProgram};
use types::calls::AcpCall;

use super::program::Program;
use environment::Environment;
use folder::{Folder, Folders};

/// The variable by which what an agent has started is found.
const MARK: &str = "MANYHANDS_ACP";

/// Whoever asks for more gets so much.
const LONGEST: Duration = Duration::from_secs(90);
/// Bytes that an agent may print.
const MOST_OUTPUT: usize = 4 << 20;
/// To write down what it has been given.
const GRACE: Duration = Duration::from_secs(1);

pub(super) struct Service {
    folders: Folders,
    kin: (String, String),
    shutdown: CancellationToken,
}

impl Service {
    /// `own`: a folder that is this worker's, and was that of those before it; `kin`: the variable by which a later worker finds
    /// what this one could not end.
    pub fn new(own: &Path, kin: (String, String), shutdown: CancellationToken) -> Self {
        Self { folders: Folders::of(own), kin, shutdown }
    }

    /// Removes what an earlier worker that was killed has left.
    pub fn sweep(&self) -> impl FnOnce() + Send + use<> {
        self.folders.sweep(&self.shutdown)
    }

    /// # Errors
    /// Where the worker ends before, or no folder can be made.
    pub async fn answer(&self, call: AcpCall) -> Result<AcpDiscovery, Fault> {
        let AcpCall::Models { program, timeout_ms } = call;
        let folder = self.folders.make().map_err(Fault::internal)?;
        let asked = self.ask(&program, &folder, Duration::from_millis(timeout_ms).min(LONGEST)).await;
        folder.remove(&self.shutdown).await;
        asked
    }

    async fn ask(
        &self,
        program: &AcpProgram,
        folder: &Folder,
        patience: Duration,
    ) -> Result<AcpDiscovery, Fault> {
        let (environment, mut started) = match self.start(program, folder) {
            Ok(started) => started,
            Err(error) => return Ok(words::not_started(&error)),
        };
        let workspace = folder.workspace();
        let asking = async {
            let (output, input) = started.pipes().map_err(Fault::internal)?;
            let wire = Lines::new(output, input, MOST_OUTPUT);
            let speaking = speech::discover(wire, &workspace, Arc::new(environment));
            Ok::<_, Fault>(match timeout(patience, speaking).await {
                Ok(Ok(discovery)) => discovery,
                Ok(Err(broken)) => words::broken(&broken),
                Err(_) => words::too_slow(patience),
            })
        };
        let asked = self.shutdown.run_until_cancelled(asking).await;
        started.end(GRACE).await;
        asked.unwrap_or_else(|| Err(Reason::ShuttingDown.into()))
    }

    fn start(&self, program: &AcpProgram, folder: &Folder) -> io::Result<(Environment, Program)> {
        let environment = Environment::of(program, folder)?;
        folder.give()?;
        let preferred = program.preferred.as_deref().filter(|command| environment.has_program(command));
        let (name, args) =
            preferred.unwrap_or(&program.command).split_first().ok_or(io::ErrorKind::NotFound)?;
        let mut command = Command::new(name);
        command
            .args(args)
            .current_dir(folder.workspace())
            .env_clear()
            .envs(environment.variables())
            .env(&self.kin.0, &self.kin.1);
        let started = Program::start(command, Mark::unique(MARK), Stdio::null())?;
        Ok((environment, started))
    }
}

//! Beginning a command: in the shell there is, or in a new one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::call::Call;
use super::observation::Frame;
use super::params::exportable;
use super::record::{Prompt, State};
use super::shell::{Farewell, Phase, Setup, Shell};
use super::wait::{heard, settled};
use super::{Config, INTERRUPTED, Terminal};
use crate::hands;
use crate::observation::Observation;

/// How long a new shell may take until it is ready.
const START: Duration = Duration::from_secs(30);
/// The same while it reads the user's profile.
const START_WITH_PROFILE: Duration = Duration::from_secs(15);
/// How long the folder of a new shell may take to be there.
const FOLDER: Duration = Duration::from_secs(10);
/// How long a shell may take to begin a command, and how long one that has to be tried out first.
const PATIENCE: Duration = Duration::from_secs(10);
const LITTLE_PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a command that a slow terminal takes in a second.
const BYTES_A_SECOND: u64 = 100_000;

const GONE: &str = "[The shell had ended since the last command. This is a new one in the same directory, without the \
    variables, functions and jobs of the old one.]\n";
const UNFIT: &str = "[The shell could not run commands any more and was ended. This one was run in a new one in the same \
    directory, without the variables, functions and jobs of the old one.]\n";
const WITHOUT_PROFILE: &str = "[The shell did not get ready with ~/.bashrc and was started without it.]\n";

impl Terminal {
    /// Runs a new command, in a new shell if need be.
    pub(super) async fn begin(
        &self,
        call: &Call,
        mut frame: Frame,
        cancel: &CancellationToken,
    ) -> Result<Observation, String> {
        let leftover = self.leftover().await;
        let exports = exportable(self.config.secrets.exports(&call.command).await);
        let mut shell = self.give(call, &exports, cancel).await?;
        if matches!(shell.phase(), Phase::Ended(Farewell { given: false, .. })) {
            self.let_go(GONE);
            shell = self.give(call, &exports, cancel).await?;
        }
        frame.prefix = std::mem::take(&mut self.slot().notice) + &leftover;
        self.wait_and_answer(call, frame, &shell, cancel).await
    }

    /// Gives the command to a shell that is ready, and waits until that says that it begins or is over. One that goes before
    /// anything was written to it has not been given it.
    async fn give(
        &self,
        call: &Call,
        exports: &[(String, String)],
        cancel: &CancellationToken,
    ) -> Result<Arc<Shell>, String> {
        let (shell, prompt) = self.ready_shell(cancel).await?;
        self.slot().unreported = true;
        shell.begin(&prompt, &call.command, exports).await;
        let typing = Duration::from_secs(call.command.len() as u64 / BYTES_A_SECOND);
        let is_heard = tokio::select! {
            biased;
            is_heard = heard(&shell, Instant::now() + PATIENCE + typing) => is_heard,
            () = cancel.cancelled() => {
                self.stop(&shell).await;
                return Err(INTERRUPTED.to_owned());
            }
        };
        if !is_heard {
            shell.close().await;
        }
        Ok(shell)
    }

    /// The shell is of no use any more, and the next answer is to say why.
    pub(super) fn let_go(&self, why: &str) {
        let mut slot = self.slot();
        slot.shell = None;
        slot.unreported = false;
        slot.notice = why.to_owned();
    }

    /// A shell that has just shown that it runs commands, started if there is none.
    async fn ready_shell(&self, cancel: &CancellationToken) -> Result<(Arc<Shell>, Prompt), String> {
        let present = self.slot().shell.clone();
        if let Some(shell) = present {
            let why = if matches!(shell.phase(), Phase::Idle(_)) { UNFIT } else { GONE };
            if let Some(prompt) = try_out(&shell, cancel).await? {
                return Ok((shell, prompt));
            }
            self.let_go(why);
        }
        let plain = self.slot().plain;
        if !plain {
            if let Some(ready) = self.new_shell(true, START_WITH_PROFILE, cancel).await? {
                return Ok(ready);
            }
            let mut slot = self.slot();
            slot.plain = true;
            slot.notice.push_str(WITHOUT_PROFILE);
        }
        let ready = self.new_shell(false, START, cancel).await?;
        ready.ok_or_else(|| format!("the shell `{}` did not become ready", self.config.program))
    }

    async fn new_shell(
        &self,
        profile: bool,
        patience: Duration,
        cancel: &CancellationToken,
    ) -> Result<Option<(Arc<Shell>, Prompt)>, String> {
        let shell = Arc::new(self.start(profile).await?);
        let is_settled = tokio::select! {
            phase = settled(&shell, Instant::now() + patience) => phase.is_some(),
            () = cancel.cancelled() => return Err(INTERRUPTED.to_owned()),
        };
        let prompt = if is_settled { try_out(&shell, cancel).await? } else { None };
        let Some(prompt) = prompt else {
            shell.close().await;
            return Ok(None);
        };
        self.slot().shell = Some(Arc::clone(&shell));
        Ok(Some((shell, prompt)))
    }

    /// The directory may lie where nobody answers: no thread of the runtime looks at it.
    async fn start(&self, profile: bool) -> Result<Shell, String> {
        let last = self.slot().directory.clone();
        let config = Arc::clone(&self.config);
        let starting = tokio::task::spawn_blocking(move || start(&config, last, profile));
        match tokio::time::timeout(FOLDER, starting).await {
            Ok(started) => started.map_err(|error| error.to_string())?,
            Err(_) => Err("cannot start a shell: its folder does not answer".to_owned()),
        }
    }
}

/// The prompt of a shell that runs what it is given; `None`, and the shell is ended, where it does not. One that has
/// said that it is ready as it should has shown it thereby; any other has to run an empty command. Whatever it says
/// to that is of the machinery.
async fn try_out(shell: &Shell, cancel: &CancellationToken) -> Result<Option<Prompt>, String> {
    let Phase::Idle(prompt) = shell.phase() else { return Ok(None) };
    if prompt.state.is_tidy() {
        return Ok(Some(prompt));
    }
    shell.begin_nothing(&prompt).await;
    let phase = tokio::select! {
        phase = settled(shell, Instant::now() + LITTLE_PATIENCE) => phase,
        () = cancel.cancelled() => {
            shell.close().await;
            return Err(INTERRUPTED.to_owned());
        }
    };
    match phase {
        Some(Phase::Idle(prompt)) if !matches!(prompt.state, State::Mute | State::Spoilt | State::Unfit) => {
            Ok(Some(prompt))
        }
        _ => {
            shell.close().await;
            Ok(None)
        }
    }
}

fn start(config: &Config, last: Option<PathBuf>, profile: bool) -> Result<Shell, String> {
    let last = last.filter(|directory| directory.is_dir());
    let directory = last.unwrap_or_else(|| config.working_dir.clone());
    // An agent may have removed it. Where it cannot be made, the start says why.
    let _ = hands::make_folders(&directory);
    let setup = Setup {
        program: &config.program,
        profile,
        directory: &directory,
        variables: &config.variables,
        observations: &config.observations,
        secrets: &config.secrets,
    };
    Shell::start(&setup)
        .map_err(|error| format!("cannot start `{}` in {}: {error}", config.program, directory.display()))
}

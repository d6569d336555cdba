//! Beginning a command: in the shell there is, or in a new one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::call::Call;
use super::observation::Frame;
use super::params::exportable;
use super::record::{Prompt, State};
use super::shell::{Phase, Setup, Shell};
use super::wait::{settled, taken};
use super::{INTERRUPTED, Terminal};
use crate::hands;
use crate::observation::Observation;

/// How long a new shell may take until it is ready.
const START: Duration = Duration::from_secs(30);
/// The same while it reads the user's profile.
const START_WITH_PROFILE: Duration = Duration::from_secs(15);
/// How long a shell may take to begin a command, and how long one that was not sound.
const PATIENCE: Duration = Duration::from_secs(10);
const LITTLE_PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of a command that a slow terminal takes in a second.
const BYTES_A_SECOND: u64 = 100_000;
/// Shells that are given the command until one takes it.
const ATTEMPTS: usize = 3;

const GONE: &str = "[The shell had ended since the last command. This is a new one in the same directory, without the \
    variables, functions and jobs of the old one.]\n";
const NOT_TAKEN: &str = "[The shell could not run this command and was ended. The command was run in a new one in the \
    same directory, without the variables, functions and jobs of the old one.]\n";
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
        for _ in 0..ATTEMPTS {
            let (shell, prompt) = self.ready_shell(cancel).await?;
            self.slot().unreported = true;
            shell.begin(&prompt, &call.command, &exports).await;
            if self.is_taken(&shell, &prompt, call, cancel).await? {
                frame.prefix = std::mem::take(&mut self.slot().notice) + &leftover;
                return self.wait_and_answer(call, frame, &shell, cancel).await;
            }
        }
        Err("no shell could run this command".to_owned())
    }

    /// Whether the command has begun. If not, it never will: the shell is gone.
    async fn is_taken(
        &self,
        shell: &Arc<Shell>,
        prompt: &Prompt,
        call: &Call,
        cancel: &CancellationToken,
    ) -> Result<bool, String> {
        let patience = if prompt.state == State::Sound { PATIENCE } else { LITTLE_PATIENCE };
        let typing = Duration::from_secs(call.command.len() as u64 / BYTES_A_SECOND);
        let is_taken = tokio::select! {
            biased;
            is_taken = taken(shell, Instant::now() + patience + typing) => is_taken,
            () = cancel.cancelled() => {
                self.stop(shell).await;
                return Err(INTERRUPTED.to_owned());
            }
        };
        if is_taken {
            return Ok(true);
        }
        shell.close().await;
        if matches!(shell.phase(), Phase::Ended { taken: true, .. }) {
            return Ok(true);
        }
        self.let_go(NOT_TAKEN);
        Ok(false)
    }

    /// The shell is of no use any more, and the next answer is to say why.
    pub(super) fn let_go(&self, why: &str) {
        let mut slot = self.slot();
        slot.shell = None;
        slot.unreported = false;
        slot.notice = why.to_owned();
    }

    /// A shell that waits for a command, started if there is none.
    async fn ready_shell(&self, cancel: &CancellationToken) -> Result<(Arc<Shell>, Prompt), String> {
        let present = self.slot().shell.clone();
        match present.map(|shell| (shell.phase(), shell)) {
            Some((Phase::Idle(prompt), shell)) => return Ok((shell, prompt)),
            Some(_) => self.let_go(GONE),
            None => {}
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
        let shell = Arc::new(self.start(profile)?);
        let phase = tokio::select! {
            phase = settled(&shell, Instant::now() + patience) => phase,
            () = cancel.cancelled() => return Err(INTERRUPTED.to_owned()),
        };
        let Some(Phase::Idle(prompt)) = phase else {
            shell.close().await;
            return Ok(None);
        };
        self.slot().shell = Some(Arc::clone(&shell));
        Ok(Some((shell, prompt)))
    }

    fn start(&self, profile: bool) -> Result<Shell, String> {
        let last = self.slot().directory.clone().filter(|directory| directory.is_dir());
        let directory = last.unwrap_or_else(|| self.config.working_dir.clone());
        // An agent may have removed it. Where it cannot be made, the start says why.
        let _ = hands::make_folders(&directory);
        let setup = Setup {
            program: &self.config.program,
            profile,
            directory: &directory,
            variables: &self.config.variables,
            observations: &self.config.observations,
            secrets: &self.config.secrets,
        };
        Shell::start(&setup).map_err(|error| {
            format!("cannot start `{}` in {}: {error}", self.config.program, directory.display())
        })
    }
}

//! What a call is answered with: how the wait for a command came out.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::call::Call;
use super::observation::{Frame, Outcome, Whereabouts};
use super::output::Report;
use super::record::{Prompt, State};
use super::shell::{Farewell, Phase, Shell, Typed};
use super::wait::{Waited, wait};
use super::{INTERRUPTED, Terminal};
use crate::observation::Observation;

const SHELL_ENDED: &str = " The shell has ended, and with it everything it had started; the next command starts a \
    new one in the same directory.";
const MENDED: &str = " The shell's own input or output had been redirected; both are back on the terminal.";
const UNKNOWN: &str = " The shell has not said that it began this command: it is not known whether it ran, wholly, in part or \
    not at all. The shell was ended, with its variables, functions and jobs; the next command starts a new one in the same \
    directory.";
const MUTE: &str = " The shell waits for the next command without having said how this one ended, so its exit code is not \
    known. The shell was ended, with its variables, functions and jobs; the next command starts a new one in the same \
    directory.";
const LOST: &str = " The command has left the shell unable to keep its exit code, which is not known.";
const SPOILT: &str = " The shell's prompts have been made read-only, which this terminal cannot work with: the shell was \
    ended, with its variables, functions and jobs. The next command starts a new one in the same directory.";
const TOO_LATE: &str = " It had ended before the input came, which was not sent.";
const UNREAD: &str = "[The input was not sent: the command has not read enough of what was sent to it before, or this is more \
    than 256 KiB.]\n";
/// The exit code where there is none.
const NOT_KNOWN: i32 = -1;
/// Characters shown of what a command printed after its last report, when another one follows.
const LEFTOVER_CHARS: usize = 2000;

impl Terminal {
    /// Polls the running command, types into it, or refuses to start another one.
    pub(super) async fn go_on(
        &self,
        call: &Call,
        mut frame: Frame,
        shell: &Arc<Shell>,
        cancel: &CancellationToken,
    ) -> Result<Observation, String> {
        frame.continues = true;
        if !call.is_follow_up() {
            let report = shell.take_output();
            return Ok(frame.answer(Outcome::Busy, self.text_of(report).await));
        }
        if !call.is_empty() && matches!(shell.phase(), Phase::Running { .. }) {
            let (bytes, note) = call.typing();
            match shell.type_in(bytes).await {
                Typed::Sent => frame.note = note,
                Typed::Unread => frame.prefix = UNREAD.to_owned(),
                Typed::Over => frame.note = TOO_LATE.to_owned(),
            }
        } else if !call.is_empty() {
            frame.note = TOO_LATE.to_owned();
        }
        self.wait_and_answer(call, frame, shell, cancel).await
    }

    pub(super) async fn wait_and_answer(
        &self,
        call: &Call,
        mut frame: Frame,
        shell: &Arc<Shell>,
        cancel: &CancellationToken,
    ) -> Result<Observation, String> {
        let waited = tokio::select! {
            biased;
            waited = wait(shell, call.timeout, self.config.no_change) => waited,
            () = cancel.cancelled() => {
                self.stop(shell).await;
                return Err(INTERRUPTED.to_owned());
            }
        };
        let report = shell.take_output();
        let mut text = self.text_of(report).await;
        let outcome = match waited {
            Waited::Silent => Outcome::Silent { seconds: self.config.no_change.as_secs_f64() },
            Waited::TimedOut { seconds } => Outcome::TimedOut { seconds },
            Waited::Idle(prompt) => {
                frame.note.push_str(self.note_on(shell, &prompt));
                self.completed(prompt).await
            }
            Waited::Ended(farewell) => {
                if farewell.exit_code.is_some() {
                    strip_farewell(&mut text);
                }
                frame.note.push_str(note_on_end(&farewell));
                self.ended(&farewell)
            }
        };
        Ok(frame.answer(outcome, text))
    }

    async fn completed(&self, prompt: Prompt) -> Outcome {
        let known = self.slot().python.clone();
        let python = known.on_path(&prompt.path).await;
        let mut slot = self.slot();
        slot.unreported = false;
        slot.directory = Some(PathBuf::from(&prompt.directory));
        slot.python = python.clone();
        let exit_code = prompt.exit_code().unwrap_or(NOT_KNOWN);
        let place = Some(Whereabouts { directory: prompt.directory, python: python.program });
        Outcome::Completed { exit_code, place }
    }

    /// What is to be said of the state of the shell. One that is of no use any more is ended.
    fn note_on(&self, shell: &Arc<Shell>, prompt: &Prompt) -> &'static str {
        match prompt.state {
            State::Unfit if prompt.exit_code().is_none() => LOST,
            State::Sound | State::Limping | State::Unfit => "",
            State::Mended => MENDED,
            State::Spoilt => self.give_up(shell, SPOILT),
            State::Mute => self.give_up(shell, UNKNOWN),
        }
    }

    fn give_up(&self, shell: &Arc<Shell>, why: &'static str) -> &'static str {
        self.slot().shell = None;
        let shell = Arc::clone(shell);
        tokio::spawn(async move { shell.close().await });
        why
    }

    fn ended(&self, farewell: &Farewell) -> Outcome {
        let mut slot = self.slot();
        slot.unreported = false;
        slot.shell = None;
        let exit_code = farewell.exit_code.filter(|_| farewell.taken).unwrap_or(NOT_KNOWN);
        Outcome::Completed { exit_code, place: None }
    }

    /// The end of an earlier command that no call has reported.
    pub(super) async fn leftover(&self) -> String {
        let Some(shell) = self.unreported_shell() else {
            return String::new();
        };
        let end = match shell.phase() {
            Phase::Idle(prompt) => {
                format!("completed with exit code {}", prompt.exit_code().unwrap_or(NOT_KNOWN))
            }
            Phase::Ended(_) | Phase::Running { .. } => "ended, and the shell with it".to_owned(),
        };
        let report = shell.take_output();
        let text = self.text_of(report).await;
        let start = text.char_indices().nth_back(LEFTOVER_CHARS).map_or(0, |(index, _)| index);
        let text = text.get(start..).unwrap_or_default();
        format!("[The previous command has {end}. Its last output:]\n{text}\n[The output of this command:]\n")
    }

    fn unreported_shell(&self) -> Option<Arc<Shell>> {
        let slot = self.slot();
        slot.shell.clone().filter(|_| slot.unreported)
    }

    async fn text_of(&self, report: Report) -> String {
        if !report.is_large() {
            return report.finish(&self.config.observations);
        }
        let folder = self.config.observations.clone();
        let finished = tokio::task::spawn_blocking(move || report.finish(&folder)).await;
        finished.unwrap_or_else(|error| format!("[The output was lost: {error}]"))
    }
}

fn note_on_end(farewell: &Farewell) -> &'static str {
    match farewell {
        Farewell { taken: false, .. } => UNKNOWN,
        Farewell { mute: true, .. } => MUTE,
        Farewell { .. } => SHELL_ENDED,
    }
}

/// An interactive bash says `exit` when it goes by itself.
fn strip_farewell(text: &mut String) {
    if let Some(rest) = text.strip_suffix("exit")
        && (rest.is_empty() || rest.ends_with('\n'))
    {
        text.truncate(rest.trim_end().len());
    }
}

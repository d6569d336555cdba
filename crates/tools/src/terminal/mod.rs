//! `terminal`: a shell that lives as long as the conversation.

mod call;
mod clean;
mod definition;
mod environment;
mod io;
mod keys;
mod observation;
mod output;
mod params;
mod python;
mod quote;
mod record;
mod script;
mod shell;
mod wait;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::context::ToolContext;
use crate::hands;
use crate::observation::Observation;
use crate::secrets::Secrets;
use crate::spec::Spec;
use crate::tool::{Holds, Listed, Tool};
use call::Call;
use observation::{Frame, Outcome, Place};
use output::Report;
use python::Python;
use record::Prompt;
use shell::{Phase, Setup, Shell};
use wait::{Waited, settled, wait};

const NO_CHANGE: Duration = Duration::from_secs(30);
/// How long a new shell may take until it is ready.
const START: Duration = Duration::from_secs(30);
/// How long an interrupted command may take to end, each time it is told.
const AFTER_INTERRUPT: Duration = Duration::from_millis(300);
/// How often it is told.
const INTERRUPTS: u32 = 4;
const INTERRUPTED: &str = "interrupted";
const CTRL_C: u8 = 3;
const SHELL_ENDED: &str = " The shell has ended, and with it everything it had started; the next command starts a \
    new one in the same directory.";
/// Characters shown of what a command printed after its last report, when another one follows.
const LEFTOVER_CHARS: usize = 2000;

/// The terminal of one conversation. Calls take turns.
pub struct Terminal {
    config: Config,
    turn: Semaphore,
    slot: Mutex<Slot>,
}

struct Config {
    working_dir: PathBuf,
    observations: PathBuf,
    program: String,
    variables: Vec<(String, String)>,
    no_change: Duration,
    secrets: Arc<dyn Secrets>,
}

#[derive(Default)]
struct Slot {
    shell: Option<Arc<Shell>>,
    /// Where the last prompt was.
    directory: Option<PathBuf>,
    /// A command was begun and its end is not reported.
    unreported: bool,
    python: Python,
}

impl Listed for Terminal {
    const NAME: &'static str = "terminal";
    const CLASS: &'static str = "Terminal";
    const SUMMARY: Option<&'static str> = Some("Runs commands in a shell that stays");

    /// `params`: `no_change_timeout_seconds`, `shell_path`, `env`; other creation parameters of the peer
    /// (`terminal_type`, `username`) have no meaning here.
    fn make(params: &Map<String, Value>, context: &ToolContext) -> Result<Self, Error> {
        let config = Config {
            working_dir: context.working_dir.clone(),
            observations: context.observations(),
            program: params::shell_path(params)?,
            variables: params::variables(params)?,
            no_change: params::no_change(params)?.unwrap_or(NO_CHANGE),
            secrets: Arc::clone(&context.secrets),
        };
        Ok(Self { config, turn: Semaphore::new(1), slot: Mutex::new(Slot::default()) })
    }
}

impl Tool for Terminal {
    type Action = Call;

    fn spec(&self) -> Spec {
        definition::spec()
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Call, String> {
        definition::parse(arguments)
    }

    async fn run(&self, call: Arc<Call>, cancel: CancellationToken) -> Result<Observation, String> {
        let _turn = tokio::select! {
            turn = self.turn.acquire() => turn.map_err(|error| error.to_string())?,
            () = cancel.cancelled() => return Err(INTERRUPTED.to_owned()),
        };
        if !call.reset {
            let frame = Frame::new(call.command.clone(), &self.config.observations);
            return self.dispatch(&call, frame, &cancel).await;
        }
        if call.is_input {
            return Err(
                "`reset` cannot be combined with `is_input`: a new terminal has nothing to read it".into()
            );
        }
        self.reset().await;
        if call.is_empty() {
            return Ok(Frame::new("[RESET]".to_owned(), &self.config.observations).reset_done());
        }
        let frame = Frame::new(format!("[RESET] {}", call.command), &self.config.observations);
        self.dispatch(&call, frame, &cancel).await
    }

    fn holds(&self) -> Holds {
        let phase = self.slot().shell.as_ref().map(|shell| shell.phase());
        Holds {
            process: !matches!(phase, None | Some(Phase::Ended { .. })),
            busy: matches!(phase, Some(Phase::Running { .. })),
        }
    }

    /// A command that is being waited for is answered as ended.
    async fn close(&self) {
        let shell = self.slot().shell.take();
        if let Some(shell) = shell {
            shell.close().await;
        }
    }
}

impl Terminal {
    async fn reset(&self) {
        self.close().await;
        *self.slot() = Slot::default();
    }

    async fn dispatch(
        &self,
        call: &Call,
        frame: Frame,
        cancel: &CancellationToken,
    ) -> Result<Observation, String> {
        if let Some(shell) = self.shell_with_news(call) {
            return self.go_on(call, frame, &shell, cancel).await;
        }
        if call.is_empty() {
            return Ok(frame.error("No previous running command to retrieve logs from."));
        }
        if call.is_input {
            return Ok(frame.error("No previous running command to interact with."));
        }
        self.begin(call, frame, cancel).await
    }

    /// The shell, when its command is running, or has ended and the call asks for that.
    fn shell_with_news(&self, call: &Call) -> Option<Arc<Shell>> {
        let slot = self.slot();
        let shell = slot.shell.as_ref()?;
        let is_running = matches!(shell.phase(), Phase::Running { .. });
        (is_running || slot.unreported && call.is_follow_up()).then(|| Arc::clone(shell))
    }

    /// Runs a new command, in a new shell if need be.
    async fn begin(
        &self,
        call: &Call,
        mut frame: Frame,
        cancel: &CancellationToken,
    ) -> Result<Observation, String> {
        frame.prefix = self.leftover().await;
        let (shell, prompt) = self.ready_shell(cancel).await?;
        let exports = params::exportable(self.config.secrets.exports(&call.command).await);
        self.slot().unreported = true;
        shell.begin(&prompt, &call.command, &exports).await;
        self.wait_and_answer(call, frame, &shell, cancel).await
    }

    /// Polls the running command, types into it, or refuses to start another one.
    async fn go_on(
        &self,
        call: &Call,
        mut frame: Frame,
        shell: &Shell,
        cancel: &CancellationToken,
    ) -> Result<Observation, String> {
        frame.continues = true;
        if !call.is_follow_up() {
            let report = shell.output().take();
            return Ok(frame.answer(Outcome::Busy, self.text_of(report).await));
        }
        if !call.is_empty() && matches!(shell.phase(), Phase::Running { .. }) {
            let (bytes, note) = call.typing();
            frame.note = note;
            shell.type_in(bytes).await;
        } else if !call.is_empty() {
            frame.note = " It had ended before the input came, which was not sent.".to_owned();
        }
        self.wait_and_answer(call, frame, shell, cancel).await
    }

    async fn wait_and_answer(
        &self,
        call: &Call,
        mut frame: Frame,
        shell: &Shell,
        cancel: &CancellationToken,
    ) -> Result<Observation, String> {
        let waited = tokio::select! {
            biased;
            waited = wait(shell, call.timeout, self.config.no_change) => waited,
            () = cancel.cancelled() => {
                self.interrupt(shell).await;
                return Err(INTERRUPTED.to_owned());
            }
        };
        let report = shell.output().take();
        let mut text = self.text_of(report).await;
        let outcome = match waited {
            Waited::Silent => Outcome::Silent { seconds: self.config.no_change.as_secs_f64() },
            Waited::TimedOut { seconds } => Outcome::TimedOut { seconds },
            Waited::Idle(prompt) => self.completed(prompt),
            Waited::Ended(exit_code) => {
                strip_farewell(&mut text);
                frame.note.push_str(SHELL_ENDED);
                self.ended(exit_code)
            }
        };
        Ok(frame.answer(outcome, text))
    }

    fn completed(&self, prompt: Prompt) -> Outcome {
        let mut slot = self.slot();
        slot.unreported = false;
        let python = slot.python.on_path(&prompt.path);
        slot.directory = Some(PathBuf::from(&prompt.directory));
        let place = Some(Place { directory: prompt.directory, python });
        Outcome::Completed { exit_code: prompt.status, place }
    }

    fn ended(&self, exit_code: Option<i32>) -> Outcome {
        let mut slot = self.slot();
        slot.unreported = false;
        slot.shell = None;
        Outcome::Completed { exit_code: exit_code.unwrap_or(-1), place: None }
    }

    /// Stops the running command; what it printed is forgotten.
    ///
    /// A Ctrl-C between two programs may be lost, or bash may show its prompt and then lose the next line or
    /// wait for a program after all. So it is stopped only once it has answered a line that does nothing.
    async fn interrupt(&self, shell: &Shell) {
        let mut prompt = None;
        for _ in 0..INTERRUPTS {
            shell.type_in(vec![CTRL_C]).await;
            if prompt.is_none() {
                prompt = settled(shell, Instant::now() + AFTER_INTERRUPT).await;
            }
            match &prompt {
                Some(Phase::Idle(prompt)) => {
                    shell.begin(prompt, &format!("__prompt_r {}", prompt.status), &[]).await;
                }
                Some(Phase::Ended { .. }) => return,
                Some(Phase::Running { .. }) | None => continue,
            }
            if settled(shell, Instant::now() + AFTER_INTERRUPT).await.is_some() {
                drop(shell.output().take());
                self.slot().unreported = false;
                return;
            }
        }
    }

    /// A shell that waits for a command, started if there is none.
    async fn ready_shell(&self, cancel: &CancellationToken) -> Result<(Arc<Shell>, Prompt), String> {
        let present = self.slot().shell.clone();
        if let Some(shell) = present
            && let Phase::Idle(prompt) = shell.phase()
        {
            return Ok((shell, prompt));
        }
        let shell = Arc::new(self.start()?);
        let phase = tokio::select! {
            phase = settled(&shell, Instant::now() + START) => phase,
            () = cancel.cancelled() => return Err(INTERRUPTED.to_owned()),
        };
        let Some(Phase::Idle(prompt)) = phase else {
            return Err(format!("the shell `{}` did not become ready", self.config.program));
        };
        self.slot().shell = Some(Arc::clone(&shell));
        Ok((shell, prompt))
    }

    fn start(&self) -> Result<Shell, String> {
        let last = self.slot().directory.clone().filter(|directory| directory.is_dir());
        let directory = last.unwrap_or_else(|| self.config.working_dir.clone());
        // An agent may have removed it. Where it cannot be made, the start says why.
        let _ = hands::make_folders(&directory);
        let setup = Setup {
            program: &self.config.program,
            directory: &directory,
            variables: &self.config.variables,
            observations: &self.config.observations,
            secrets: &self.config.secrets,
        };
        Shell::start(&setup).map_err(|error| {
            format!("cannot start `{}` in {}: {error}", self.config.program, directory.display())
        })
    }

    /// The end of an earlier command that no call has reported.
    async fn leftover(&self) -> String {
        let Some(shell) = self.unreported_shell() else {
            return String::new();
        };
        let end = match shell.phase() {
            Phase::Idle(prompt) => format!("completed with exit code {}", prompt.status),
            Phase::Ended { .. } | Phase::Running { .. } => "ended, and the shell with it".to_owned(),
        };
        let report = shell.output().take();
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

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An interactive bash says `exit` when it goes.
fn strip_farewell(text: &mut String) {
    if let Some(rest) = text.strip_suffix("exit")
        && (rest.is_empty() || rest.ends_with('\n'))
    {
        text.truncate(rest.trim_end().len());
    }
}

//! `terminal`: a shell that lives as long as the conversation, and is replaced when it cannot.
//!
//! **Who owns what.** [`Shell`] is one bash on a terminal of its own; a task of its own ([`io`]) reads all it prints
//! and ends its processes. [`Terminal`] holds at most one shell, in its slot; calls take turns. Callers see of a shell
//! its phase and its unreported output, nothing else.
//!
//! ```text
//!            begin               the command says          the shell says
//!   Idle ───────────▶ Running ──"I begin"────▶ Running ──"I am ready"──▶ Idle
//!     │              not taken                  taken                      │
//!     └──────────────────┴────────────────────────┴────▶ Ended ◀───────────┘
//! ```
//!
//! **A command is given to one shell, once.** A shell gets it only when it has just shown that it runs what it is given:
//! the record that it is ready is printed by the very words that run commands ([`words`]), and a shell that said it in
//! another way has to run an empty command first. One that fails there has not seen the command: it is ended, and a new
//! one gets it. From then on nothing is tried again. The text that runs says itself that it begins ([`script`]): with
//! that word the exit code is the command's; without it nobody knows whether the command ran, and the answer says so,
//! with -1. A shell that goes before anything was written to it was given nothing: another one gets the command.
//!
//! **What a command may do to its shell**, and what is done about it:
//! - *prompts, `PROMPT_COMMAND`, line editing, redirected input or output of the shell, terminal modes, options*: put back
//!   after each command. Where `PROMPT_COMMAND` is read-only, the line itself prints the record.
//! - *read-only prompts*: every later output would hold them. The shell is replaced.
//! - *`exit`, `kill -9 $$`, a crash, a closed input*: the next command gets a new shell in the same directory.
//! - *whatever keeps it from running the next line* (builtins that are gone or do something else, restrictions, limits,
//!   traps): found out before the next command, as above.
//! - *whatever keeps it from saying that a command is over*: the kernel tells that it waits for the next one
//!   ([`sight`]). It is ended, the exit code is -1.
//! - *whatever keeps it from keeping the exit code* (limits, restrictions, its variables read-only): it is -1, and said.
//! - *input that a program did not read*: thrown away when the command ends, and before the next line; what the shell has of
//!   it by then spoils a word of that line that does nothing. It is typed only to a command that has begun, at most 256 KiB
//!   ahead.
//! - *a job that prints without end*: nothing here waits for the terminal but by reading it.
//! - *half of an escape sequence or of a letter*: ends with the command.
//! - *an exported prompt, which a shell inside of it shows*: passed over while that one has the terminal.
//! - *`kill -STOP $$`*: it is told to go on.
//! - *a `~/.bashrc` that ends the shell or never comes to an end*: the shell is started without it from then on.
//!
//! Whenever a shell is replaced the next answer says so in a sentence: variables, functions and jobs are lost then.
//!
//! **What stays as it is.** The text of a command is run by `eval`, so a trap on `ERR` runs once for the command that fails
//! and once for that. With `BASH_XTRACEFD` set, `set -x` also shows the words of this terminal: the shell closes the file of
//! that variable with it, so it is left alone. A program that reads whole lines gets the first 4095 bytes of each, as from any
//! terminal.
//!
//! **Stop means stop** ([`stop`]): Ctrl-C, then TERM and KILL to the foreground group, and in the end a new shell. All of
//! it takes some four seconds. A command that is still typed begins first, or goes with its shell: none runs in part.
//!
//! **How it ends.** [`Tool::close`] hangs up and kills what is left; dropping the terminal kills at once.

mod answer;
mod begin;
mod call;
mod clean;
mod definition;
mod environment;
mod io;
mod keeper;
mod keys;
mod observation;
mod output;
mod params;
mod phase;
mod python;
mod quote;
mod record;
mod script;
mod shell;
mod sight;
mod stop;
mod wait;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::context::ToolContext;
use crate::observation::Observation;
use crate::secrets::Secrets;
use crate::spec::Spec;
use crate::tool::{Holds, Listed, Tool};
use call::Call;
use observation::Frame;
use python::Python;
use shell::{Phase, Shell};

const NO_CHANGE: Duration = Duration::from_secs(30);
const INTERRUPTED: &str = "interrupted";

/// The terminal of one conversation. Calls take turns.
pub struct Terminal {
    config: Arc<Config>,
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
    /// New shells do without the user's profile: it has kept one from getting ready.
    plain: bool,
    /// What the next answer has to tell first.
    notice: String,
}

impl Listed for Terminal {
    const NAME: &'static str = "terminal";
    const CLASS: &'static str = "Terminal";
    const SUMMARY: Option<&'static str> = Some("Runs commands in a shell that stays");
    const IN_DEFAULT_SET: bool = true;

    /// `params`: `no_change_timeout_seconds`, `shell_path`, `env`; other creation parameters of the peer
    /// (`terminal_type`, `username`) have no meaning here.
    fn make(params: &Map<String, Value>, context: &ToolContext) -> Result<Self, Error> {
        let config = Config {
            working_dir: context.working_dir.clone(),
            observations: context.observations(),
            program: params::shell_path(params)?,
            variables: [params::variables(params)?, context.environment.clone()].concat(),
            no_change: params::no_change(params)?.unwrap_or(NO_CHANGE),
            secrets: Arc::clone(&context.secrets),
        };
        Ok(Self { config: Arc::new(config), turn: Semaphore::new(1), slot: Mutex::new(Slot::default()) })
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
            biased;
            () = cancel.cancelled() => return Err(INTERRUPTED.to_owned()),
            turn = self.turn.acquire() => turn.map_err(|error| error.to_string())?,
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
            process: !matches!(phase, None | Some(Phase::Ended(_))),
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

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock()
    }
}

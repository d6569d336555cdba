//! One bash on a terminal of its own.
//!
//! A single task owns the terminal: it reads everything the shell prints, writes what it is told to, and
//! ends the shell's processes when it stops. Callers see the [`Phase`] and the unreported [`Output`].

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pty_process::{Pts, Pty, Size};
use rustix::process::Pid;
use rustix::termios::{InputModes, LocalModes, OptionalActions, OutputModes, Termios, tcgetattr, tcsetattr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::environment;
use super::output::Output;
use super::processes::ProcessSession;
use super::quote::push_quoted;
use super::record::{Piece, Prompt, Scanner, prompt_command};

/// Rows and columns the shell believes to have.
const SIZE: (u16, u16) = (200, 256);
const READ_BYTES: usize = 4096;
/// How long the last words of a shell that has ended may take.
const LAST_WORDS: Duration = Duration::from_millis(50);
const MAX_LAST_READS: usize = 1024;
const END_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
pub enum Phase {
    /// Command `sequence` has not ended; 0 is the shell's own preparation.
    Running {
        sequence: u64,
    },
    Idle(Prompt),
    /// The shell is gone; none: it was killed.
    Ended {
        exit_code: Option<i32>,
    },
}

/// What a new shell is made of.
pub struct Setup<'a> {
    pub program: &'a str,
    pub directory: &'a Path,
    /// Set on top of the inherited environment.
    pub variables: &'a [(String, String)],
    /// Where large outputs are saved.
    pub observations: &'a Path,
}

pub struct Shell {
    phase: Arc<watch::Sender<Phase>>,
    output: Arc<Mutex<Output>>,
    orders: mpsc::Sender<Order>,
    closing: CancellationToken,
    task: JoinHandle<()>,
}

enum Order {
    /// Mends the terminal's modes first: the last program may have left them in any state.
    Command(Vec<u8>),
    Input(Vec<u8>),
}

impl Shell {
    /// Starts the program; it is ready when its phase is idle. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// The program cannot be started, or no terminal can be had.
    pub fn start(setup: &Setup) -> io::Result<Self> {
        let (pty, pts) = pty_process::open().map_err(into_io)?;
        pty.resize(Size::new(SIZE.0, SIZE.1)).map_err(into_io)?;
        let modes = line_modes(&pts)?;
        let child = spawn(setup, pts)?;
        let leader = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let leader = leader.ok_or_else(|| io::Error::other("the shell ended at once"))?;

        let token = uuid::Uuid::new_v4().simple().to_string();
        let (orders, inbox) = mpsc::channel(16);
        let phase = Arc::new(watch::Sender::new(Phase::Running { sequence: 0 }));
        let output = Arc::new(Mutex::new(Output::new(setup.observations)));
        let closing = CancellationToken::new();
        let keeper =
            Keeper { scanner: Scanner::new(&token), phase: Arc::clone(&phase), output: Arc::clone(&output) };
        let _ = orders.try_send(Order::Command(preparation(&token)));
        let io = Io { pty, keeper, modes, child, inbox, closing: closing.clone() };
        let task = tokio::spawn(io.run(ProcessSession::new(leader)));
        Ok(Self { phase, output, orders, closing, task })
    }

    pub fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins `command` after an idle `prompt`. Neither text may hold a NUL.
    pub async fn begin(&self, prompt: &Prompt, command: &str, exports: &[(String, String)]) {
        let sequence = prompt.sequence + 1;
        let line = command_line(sequence, prompt.status, command, exports);
        self.phase.send_modify(|phase| {
            if matches!(phase, Phase::Idle(_)) {
                *phase = Phase::Running { sequence };
            }
        });
        // A closed channel means the shell has ended, which the phase tells.
        let _ = self.orders.send(Order::Command(line)).await;
    }

    /// Types into the running command.
    pub async fn type_in(&self, bytes: Vec<u8>) {
        let _ = self.orders.send(Order::Input(bytes)).await;
    }

    /// Ends the shell and its session; returns when they are gone, or after some seconds.
    pub async fn close(&self) {
        self.closing.cancel();
        let mut phase = self.watch();
        let ended = phase.wait_for(|phase| matches!(phase, Phase::Ended { .. }));
        if tokio::time::timeout(END_TIMEOUT, ended).await.is_err() {
            // Dropping the task's future kills.
            self.task.abort();
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Kills at once: the task owns the processes.
        self.task.abort();
    }
}

/// No echo, no flow control, newlines as they are; signals and line editing stay.
fn line_modes(pts: &Pts) -> io::Result<Termios> {
    let mut modes = tcgetattr(pts)?;
    modes.local_modes -= LocalModes::ECHO | LocalModes::ECHOE | LocalModes::ECHOK | LocalModes::ECHONL;
    modes.local_modes |= LocalModes::ICANON | LocalModes::ISIG;
    modes.output_modes -= OutputModes::ONLCR | OutputModes::TABDLY;
    modes.input_modes -= InputModes::IXON | InputModes::IXOFF;
    modes.input_modes |= InputModes::ICRNL | InputModes::IUTF8;
    tcsetattr(pts, OptionalActions::Now, &modes)?;
    Ok(modes)
}

fn spawn(setup: &Setup, pts: Pts) -> io::Result<Child> {
    pty_process::Command::new(setup.program)
        .args(["--noprofile", "--norc", "--noediting", "+H", "-i"])
        .current_dir(setup.directory)
        .env_clear()
        .envs(environment::for_shell(std::env::vars_os()))
        // Or bash reads the user's history before it can be told not to.
        .env("HISTFILE", "/dev/null")
        .envs(setup.variables.iter().map(|(name, value)| (name, value)))
        .spawn(pts)
        .map_err(into_io)
}

fn into_io(error: pty_process::Error) -> io::Error {
    match error {
        pty_process::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// The first line a shell gets: no history, the record as prompt.
fn preparation(token: &str) -> Vec<u8> {
    let mut line =
        "set +o history; history -c; unset HISTFILE MAILCHECK; __prompt_r() { return \"$1\"; }; ".to_owned();
    line.push_str("declare -r __prompt_p=");
    push_quoted(&mut line, &prompt_command(token));
    line.push_str("; __prompt_n=0 PROMPT_COMMAND=$__prompt_p\n");
    line.into_bytes()
}

/// Runs `command` by `eval` with the previous status in `$?`. What belongs to us is kept out of `set -x`,
/// and the prompt is put back in case the command replaced it. The redirection in front does nothing (one of
/// the standard input would fork): after
/// some syntax errors bash does not know a `{` as the first thing on a line.
fn command_line(sequence: u64, status: i32, command: &str, exports: &[(String, String)]) -> Vec<u8> {
    let mut line = "2>/dev/null; { ".to_owned();
    for (name, value) in exports {
        line.push_str("export ");
        line.push_str(name);
        line.push('=');
        push_quoted(&mut line, value);
        line.push_str("; ");
    }
    line.push_str(&format!("__prompt_n={sequence}"));
    let joint = if status == 0 { String::new() } else { format!("; __prompt_r {status}") };
    let operator = if status == 0 { "&&" } else { "||" };
    line.push_str(&format!("{joint}; }} 2>/dev/null {operator} eval "));
    push_quoted(&mut line, command);
    line.push_str("; { __prompt_s=$? PROMPT_COMMAND=$__prompt_p; } 2>/dev/null\n");
    line.into_bytes()
}

/// The task's own state.
struct Io {
    pty: Pty,
    keeper: Keeper,
    modes: Termios,
    child: Child,
    inbox: mpsc::Receiver<Order>,
    closing: CancellationToken,
}

enum Happened {
    Read(io::Result<usize>),
    Written(io::Result<usize>),
    Ordered(Option<Order>),
    Exited(Option<i32>),
    Closed,
}

impl Io {
    async fn run(mut self, processes: ProcessSession) {
        let exited = self.serve().await;
        let ending = tokio::task::spawn_blocking(move || processes.end());
        // Waiting takes the zombie away, which the ending must not wait for.
        let exit_code = match exited {
            Some(exit_code) => exit_code,
            None => self.child.wait().await.ok().and_then(|status| status.code()),
        };
        let _ = ending.await;
        self.read_last_words().await;
        self.keeper.phase.send_replace(Phase::Ended { exit_code });
    }

    /// Until the shell has ended (its exit code) or is to be closed (none).
    async fn serve(&mut self) -> Option<Option<i32>> {
        let mut buffer = [0; READ_BYTES];
        let mut unsent: Vec<u8> = Vec::new();
        loop {
            match self.next(&mut buffer, &unsent).await {
                Happened::Read(Ok(count)) if count > 0 => {
                    self.keeper.take(buffer.get(..count).unwrap_or_default()).await;
                }
                // Nobody holds the terminal any more.
                Happened::Read(_) => return None,
                Happened::Written(Ok(count)) if count < unsent.len() => drop(unsent.drain(..count)),
                Happened::Written(_) => unsent = Vec::new(),
                Happened::Ordered(Some(Order::Command(line))) => {
                    let _ = tcsetattr(&self.pty, OptionalActions::Now, &self.modes);
                    unsent = line;
                }
                Happened::Ordered(Some(Order::Input(bytes))) => unsent = bytes,
                Happened::Exited(exit_code) => return Some(exit_code),
                Happened::Ordered(None) | Happened::Closed => return None,
            }
        }
    }

    async fn next(&mut self, buffer: &mut [u8], unsent: &[u8]) -> Happened {
        let (mut reader, mut writer) = self.pty.split();
        tokio::select! {
            read = reader.read(buffer) => Happened::Read(read),
            written = writer.write(unsent), if !unsent.is_empty() => Happened::Written(written),
            order = self.inbox.recv(), if unsent.is_empty() => Happened::Ordered(order),
            status = self.child.wait() => Happened::Exited(status.ok().and_then(|status| status.code())),
            () = self.closing.cancelled() => Happened::Closed,
        }
    }

    /// Reads what the terminal still holds. A process that left the session may keep it open in silence.
    async fn read_last_words(&mut self) {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..MAX_LAST_READS {
            match tokio::time::timeout(LAST_WORDS, self.pty.read(&mut buffer)).await {
                Ok(Ok(count)) if count > 0 => {
                    self.keeper.take(buffer.get(..count).unwrap_or_default()).await;
                }
                _ => break,
            }
        }
        self.keeper.finish();
    }
}

/// Turns what is read into output and phases.
struct Keeper {
    scanner: Scanner,
    phase: Arc<watch::Sender<Phase>>,
    output: Arc<Mutex<Output>>,
}

impl Keeper {
    async fn take(&mut self, bytes: &[u8]) {
        let mut ready = None;
        let overflow = {
            let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
            self.scanner.feed(bytes, |piece| match piece {
                Piece::Text(text) => output.push(text),
                Piece::Prompt(prompt) => ready = Some(prompt),
            });
            output.take_overflow()
        };
        if let Some(overflow) = overflow {
            // A write that fails shows as a shorter file; the command must not stop for it.
            let _ = tokio::task::spawn_blocking(move || overflow.write()).await;
        }
        if let Some(prompt) = ready {
            self.become_idle(prompt);
        }
    }

    /// A record of an earlier command (C-c may cause a second one) is passed over.
    fn become_idle(&self, prompt: Prompt) {
        if prompt.sequence == 0 {
            // The shell's greeting.
            drop(self.output.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        self.phase.send_if_modified(|phase| {
            let is_awaited = matches!(*phase, Phase::Running { sequence } if sequence == prompt.sequence);
            if is_awaited {
                *phase = Phase::Idle(prompt);
            }
            is_awaited
        });
    }

    fn finish(&mut self) {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        self.scanner.finish(|piece| {
            if let Piece::Text(text) = piece {
                output.push(text);
            }
        });
    }
}

//! One bash on a terminal of its own.
//!
//! A single task owns the terminal: it reads everything the shell prints, writes what it is told to, and
//! ends the shell's processes when it stops. Callers see the [`Phase`] and the unreported [`Output`].

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use pty_process::{Pts, Size};
use rustix::process::{Pid, Signal};
use rustix::pty::ptsname;
use rustix::termios::{InputModes, LocalModes, OptionalActions, OutputModes, Termios, tcgetattr, tcsetattr};
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::environment;
pub use super::io::Typed;
use super::io::{Io, Order};
use super::keeper::Keeper;
use super::output::{Output, Report};
use super::phase::end_without_word;
pub use super::phase::{Farewell, Phase};
use super::record::{Prompt, Scanner};
use super::script::{command_line, preparation};
use super::sight::Sight;
use super::words::TIDY_FIRST;
use crate::exit::Exit;
use crate::hands;
use crate::offspring::{Mark, Offspring};
use crate::secrets::Secrets;

/// Rows and columns the shell believes to have.
const SIZE: (u16, u16) = (200, 256);
/// The variable that tells whose shell a process descends from.
const MARK: &str = "MANYHANDS_SHELL";
const END_TIMEOUT: Duration = Duration::from_secs(3);
/// How long it may take to take an input. The task may be writing a file.
const TYPING: Duration = Duration::from_secs(1);
/// The status of a command that a Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

/// What a new shell is made of.
pub struct Setup<'a> {
    pub program: &'a str,
    /// Whether it reads the user's `~/.bashrc`.
    pub profile: bool,
    pub directory: &'a Path,
    /// Set on top of the inherited environment.
    pub variables: &'a [(String, String)],
    /// Where large outputs are saved.
    pub observations: &'a Path,
    /// What must not be seen in the output.
    pub secrets: &'a Arc<dyn Secrets>,
}

pub struct Shell {
    phase: Arc<watch::Sender<Phase>>,
    output: Arc<Mutex<Output>>,
    orders: mpsc::Sender<Order>,
    signals: mpsc::Sender<Signal>,
    closing: CancellationToken,
    task: JoinHandle<()>,
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
        let peer = pts.as_fd().try_clone_to_owned()?;
        let terminal = ptsname(&pty, Vec::new()).map(|name| name.to_string_lossy().into_owned())?;
        let mark = Mark::unique(MARK);
        let child = spawn(setup, &mark, pts)?;
        let leader = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let leader = leader.ok_or_else(|| io::Error::other("the shell ended at once"))?;
        let processes = Offspring::of_session(leader, mark);
        let (exit, sight) = (Exit::of(leader)?, Sight::new(leader));

        let token = uuid::Uuid::new_v4().simple().to_string();
        let (orders, inbox) = mpsc::channel(16);
        let (signals, alarms) = mpsc::channel(4);
        let phase = Arc::new(watch::Sender::new(Phase::Running { sequence: 0, taken: true }));
        let output = Arc::new(Mutex::new(Output::new(setup.observations, Arc::clone(setup.secrets))));
        let closing = CancellationToken::new();
        let scanner = Scanner::new(&token);
        let keeper =
            Keeper { shell: leader, scanner, phase: Arc::clone(&phase), output: Arc::clone(&output) };
        let line = preparation(&token, &terminal, &setup.directory.to_string_lossy());
        let _ = orders.try_send(Order::Probe { sequence: 0, line });
        let closing_too = closing.clone();
        let io = Io {
            pty,
            peer,
            keeper,
            modes,
            child,
            exit,
            sight,
            inbox,
            signals: alarms,
            closing: closing_too,
            given: 0,
            typed: false,
        };
        let task = tokio::spawn(io.run(processes));
        Ok(Self { phase, output, orders, signals, closing, task })
    }

    pub fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    pub fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock()
    }

    /// What was printed since the last report.
    pub fn take_output(&self) -> Report {
        let over = !matches!(self.phase(), Phase::Running { .. });
        self.output().take(over)
    }

    /// Begins `command` after an idle `prompt`. Neither text may hold a NUL.
    pub async fn begin(&self, prompt: &Prompt, command: &str, exports: &[(String, String)]) {
        self.output().begin();
        self.give(prompt, command, exports).await;
    }

    /// Begins an empty command, whose output is nobody's.
    pub async fn begin_nothing(&self, prompt: &Prompt) {
        self.output().mute();
        self.give(prompt, "", &[]).await;
    }

    async fn give(&self, prompt: &Prompt, command: &str, exports: &[(String, String)]) {
        let sequence = prompt.sequence + 1;
        let mut line = if prompt.state.is_tidy() { Vec::new() } else { TIDY_FIRST.into() };
        line.extend(command_line(sequence, prompt.status, command, exports));
        self.phase.send_modify(|phase| {
            if matches!(phase, Phase::Idle(_)) {
                *phase = Phase::Running { sequence, taken: false };
            }
        });
        // A closed channel means the shell has ended, which the phase tells.
        let _ = self.orders.send(Order::Command { sequence, line }).await;
    }

    /// Gives a line that does nothing: a shell that is at its prompt, whatever its phase says, is idle after it.
    pub fn probe(&self) {
        let mut next = (0, INTERRUPTED);
        self.phase.send_modify(|phase| {
            next = match phase {
                Phase::Idle(prompt) => (prompt.sequence + 1, prompt.status),
                Phase::Running { sequence, .. } => (*sequence + 1, INTERRUPTED),
                Phase::Ended(_) => return,
            };
            *phase = Phase::Running { sequence: next.0, taken: false };
        });
        let (sequence, status) = next;
        let line = [TIDY_FIRST.as_bytes(), &command_line(sequence, status, "", &[])].concat();
        let _ = self.orders.try_send(Order::Probe { sequence, line });
    }

    /// Sends a signal to the programs in the foreground, whether or not they read their input.
    pub async fn signal(&self, signal: Signal) {
        let _ = self.signals.send(signal).await;
    }

    /// Types into the running command, which need not read it.
    pub async fn type_in(&self, bytes: Vec<u8>) -> Typed {
        let (fate, typed) = oneshot::channel();
        // An order that cannot be given is dropped, which its fate tells.
        let _ = self.orders.try_send(Order::Input { bytes, fate });
        match tokio::time::timeout(TYPING, typed).await {
            Ok(Ok(typed)) => typed,
            _ if matches!(self.phase(), Phase::Running { .. }) => Typed::Unread,
            _ => Typed::Over,
        }
    }

    /// Ends the shell and all it has started; returns when they are gone, or after some seconds.
    pub async fn close(&self) {
        self.closing.cancel();
        let mut phase = self.watch();
        let ended = phase.wait_for(|phase| matches!(phase, Phase::Ended(_)));
        if tokio::time::timeout(END_TIMEOUT, ended).await.is_ok() {
            return;
        }
        // Dropping the task's future kills.
        self.task.abort();
        end_without_word(&self.phase);
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

fn spawn(setup: &Setup, mark: &Mark, pts: Pts) -> io::Result<Child> {
    let profile: &[&str] = if setup.profile { &[] } else { &["--norc"] };
    let command = pty_process::Command::new(setup.program)
        .arg("--noprofile")
        .args(profile)
        .args(["--noediting", "+H", "-i"])
        .current_dir(setup.directory)
        .env_clear()
        .envs(environment::for_shell(child_environment::inherited()))
        // Or bash reads the user's history before it can be told not to.
        .env("HISTFILE", "/dev/null")
        .envs(setup.variables.iter().map(|(name, value)| (name, value)))
        .env(mark.name, &mark.value);
    hands::lend_terminal(command).spawn(pts).map_err(into_io)
}

fn into_io(error: pty_process::Error) -> io::Error {
    match error {
        pty_process::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tokio::runtime::{Builder, Runtime};

    use super::super::wait::{heard, settled};
    use super::*;
    use crate::secrets::NoSecrets;

    fn soon() -> std::time::Instant {
        std::time::Instant::now() + Duration::from_secs(20)
    }

    /// A shell that runs `command`.
    async fn running(folder: &TempDir, command: &str) -> Arc<Shell> {
        let secrets: Arc<dyn Secrets> = Arc::new(NoSecrets);
        let directory = folder.path();
        let setup = Setup {
            program: "bash",
            profile: false,
            directory,
            variables: &[],
            observations: directory,
            secrets: &secrets,
        };
        let shell = Arc::new(Shell::start(&setup).unwrap());
        let Some(Phase::Idle(prompt)) = settled(&shell, soon()).await else { panic!("it is not ready") };
        shell.begin(&prompt, command, &[]).await;
        assert!(heard(&shell, soon()).await);
        shell
    }

    /// Its task waits for the output, which the test holds.
    #[test]
    fn an_input_told_as_not_sent_is_never_sent() {
        // A clock of its own: the one of the shell's runtime may stand as long as its task does.
        let of_the_shell = Runtime::new().unwrap();
        let own = Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let shell = running(&folder, "while sleep 0.01; do echo x; done & cat > got; kill $!");
        let shell = of_the_shell.block_on(shell);
        let (held, release) = (oneshot::channel(), std::sync::mpsc::channel::<()>());
        let holder = {
            let shell = Arc::clone(&shell);
            std::thread::spawn(move || {
                let _output = shell.output();
                let _ = held.0.send(());
                let _ = release.1.recv_timeout(Duration::from_secs(20));
            })
        };
        held.1.blocking_recv().unwrap();
        let mut sent = 0;
        while own.block_on(shell.type_in(b"late\r".to_vec())) == Typed::Sent {
            sent += 1;
        }
        release.0.send(()).unwrap();
        holder.join().unwrap();
        own.block_on(async {
            for _ in 0..20 {
                if shell.type_in(vec![4]).await == Typed::Sent {
                    break;
                }
            }
            assert!(matches!(settled(&shell, soon()).await, Some(Phase::Idle(_))));
            shell.close().await;
        });
        let got = std::fs::read_to_string(folder.path().join("got")).unwrap();
        assert_eq!(got, "late\n".repeat(sent));
    }

    #[tokio::test]
    async fn an_input_to_a_shell_that_has_ended_is_told_as_too_late() {
        let folder = tempfile::tempdir().unwrap();
        let shell = running(&folder, "sleep 60").await;
        shell.close().await;
        assert_eq!(shell.type_in(b"late\r".to_vec()).await, Typed::Over);
    }
}

//! One command from its start to the end of the last child it left behind.

mod report;

use std::ffi::OsString;
use std::io::{self, ErrorKind::TimedOut};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use types::BashScope;
use types::bash::BashCommand;

use super::journal::{Journals, Kept, Receipt, Result};
use super::output::Stream;
use super::process::{self, Group, Spawned};
use super::{STORE_PATIENCE, unwritable};
use report::Report;

/// How long a program may take to start.
const SPAWN_PATIENCE: Duration = Duration::from_secs(10);
/// How long output waits for more before it is shown.
const FLUSH_AFTER: Duration = Duration::from_millis(50);
/// Waiting output of both streams, in bytes, that is shown at once.
const FLUSH_SIZE: usize = 128 * 1024;
/// How long a command may go on after each of the signals that ask it to end.
const SIGNAL_GRACE: Duration = Duration::from_secs(1);
/// How long the output of background children is awaited once the shell has ended.
const BACKGROUND_GRACE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// The exit code of a command that ran out of time or could not be started.
const FAILED: i32 = -1;
const NOT_BEGUN: &str = "The log of commands could not be written in time: this command was not begun.";

pub(super) struct Run {
    pub(super) command: BashCommand,
    pub(super) cwd: PathBuf,
    pub(super) environment: Arc<Vec<(OsString, OsString)>>,
    pub(super) journals: Arc<Journals>,
    pub(super) journal: BashScope,
    /// Ends the command, and the children it left behind.
    pub(super) stop: CancellationToken,
    /// Kills everything; nothing more is stored.
    pub(super) shutdown: CancellationToken,
}

impl Run {
    /// Begins once the command's event is stored, and tells `begun` so. Returns when no process of the command is of
    /// interest any more.
    pub(super) async fn live(self, mut stored: Receipt, begun: oneshot::Sender<Result<Kept>>) {
        let mut report = Report::new(Arc::clone(&self.journals), self.journal, self.command.id.clone());
        let Ok(outcome) = timeout(STORE_PATIENCE, &mut stored).await else {
            // Nobody may wait for the answer any more.
            let _ = begun.send(Err(unwritable()));
            if let Ok(Ok(_)) = stored.await {
                report.failed(NOT_BEGUN).await;
            }
            return;
        };
        let Ok(Ok(kept)) = outcome else {
            let _ = begun.send(outcome.unwrap_or_else(|_| Err(unwritable())));
            return;
        };
        let _ = begun.send(Ok(kept));
        self.run(report).await;
    }

    async fn run(self, mut report: Report) {
        let deadline = Instant::now() + timeout_of(&self.command);
        let spawned = match self.spawn().await {
            Ok(spawned) => spawned,
            Err(error) => return report.failed(&self.describe(&error)).await,
        };
        let mut running = Running {
            stdout: Stream::new(spawned.stdout),
            stderr: Stream::new(spawned.stderr),
            group: spawned.group,
            deadline,
            phase: Phase::Running,
            timed_out: false,
            exit: None,
            flush_at: None,
        };
        let Some(code) = running.watch(&self, &mut report).await else {
            drop(running);
            return report.if_refused().await;
        };
        report.last(&mut running.stdout, &mut running.stderr, code).await;
        report.if_refused().await;
        running.linger(&self).await;
    }

    /// Looks at the folder, which may be one that does not answer.
    async fn spawn(&self) -> io::Result<Spawned> {
        let (command, cwd, environment) =
            (self.command.clone(), self.cwd.clone(), Arc::clone(&self.environment));
        let spawning = tokio::task::spawn_blocking(move || process::spawn(&command, &cwd, &environment));
        // One that comes later ends as it is dropped.
        let spawned = timeout(SPAWN_PATIENCE, spawning).await.map_err(|_| io::Error::from(TimedOut))?;
        spawned.map_err(io::Error::other)?
    }

    fn describe(&self, error: &io::Error) -> String {
        if error.kind() == io::ErrorKind::NotFound && !self.cwd.is_dir() {
            return format!("Error executing command: no such folder: {}", self.cwd.display());
        }
        format!("Error executing command: {error}")
    }
}

/// Reads once, from either: one that floods does not hide the other.
async fn fill_one(stdout: &mut Stream, stderr: &mut Stream, room: usize) {
    tokio::select! {
        () = stdout.fill(room), if stdout.is_open() => {}
        () = stderr.fill(room), if stderr.is_open() => {}
        else => {}
    }
}

fn timeout_of(command: &BashCommand) -> Duration {
    u64::try_from(command.timeout).map_or(Duration::ZERO, Duration::from_secs).min(LONGEST)
}

struct Running {
    stdout: Stream,
    stderr: Stream,
    group: Group,
    deadline: Instant,
    phase: Phase,
    timed_out: bool,
    exit: Option<Exit>,
    flush_at: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Running,
    /// Asked to end; killed at this time.
    Terminating(Instant),
    /// Not waited for after this time.
    Killed(Instant),
}

#[derive(Clone, Copy)]
struct Exit {
    code: i32,
    at: Instant,
}

impl Running {
    /// Shows output until the command has ended; its exit code, or `None` if nobody is to be told.
    async fn watch(&mut self, run: &Run, report: &mut Report) -> Option<i32> {
        loop {
            let room = FLUSH_SIZE.saturating_sub(self.stdout.len() + self.stderr.len());
            let may_read = room > 0 && (self.stdout.is_open() || self.stderr.is_open());
            let next_wake = self.next_wake(report.has_room());
            tokio::select! {
                biased;
                () = run.shutdown.cancelled() => return None,
                () = run.stop.cancelled(), if self.phase == Phase::Running => self.terminate(),
                exit = self.group.shell_ended(), if self.exit.is_none() => {
                    self.exit = Some(Exit { code: exit.unwrap_or(FAILED), at: Instant::now() });
                    self.stdout.note_what_is_owed();
                    self.stderr.note_what_is_owed();
                }
                stored = report.oldest_stored(), if report.is_waiting() => if stored.is_err() { return None },
                () = fill_one(&mut self.stdout, &mut self.stderr, room), if may_read => {}
                () = sleep_until(next_wake) => {}
            }
            let now = Instant::now();
            if self.has_ended(now) {
                return Some(self.code());
            }
            self.advance(now);
            self.flush(now, report).await;
        }
    }

    /// The shell has ended, and so has its output or the patience with its children; but what the shell and they
    /// had written until then is read first, however long the log takes.
    fn has_ended(&self, now: Instant) -> bool {
        let quiet = !self.stdout.is_open() && !self.stderr.is_open();
        self.exit.is_some() && quiet || self.patience_ends().is_some_and(|end| now >= end)
    }

    /// When whoever still holds the output is not waited for any more.
    fn patience_ends(&self) -> Option<Instant> {
        if self.stdout.is_owed() || self.stderr.is_owed() {
            return None;
        }
        match self.phase {
            Phase::Killed(give_up) => Some(give_up),
            Phase::Running => self.exit.map(|exit| exit.at + BACKGROUND_GRACE),
            Phase::Terminating(_) => None,
        }
    }

    fn code(&self) -> i32 {
        if self.timed_out { FAILED } else { self.exit.map_or(-Signal::KILL.as_raw(), |exit| exit.code) }
    }

    fn terminate(&mut self) {
        self.group.signal(Signal::TERM);
        self.phase = Phase::Terminating(Instant::now() + SIGNAL_GRACE);
    }

    fn advance(&mut self, now: Instant) {
        match self.phase {
            Phase::Running if now >= self.deadline => {
                self.timed_out = true;
                self.terminate();
            }
            Phase::Terminating(kill_at) if now >= kill_at => {
                self.group.signal(Signal::KILL);
                self.phase = Phase::Killed(now + SIGNAL_GRACE);
            }
            Phase::Running | Phase::Terminating(_) | Phase::Killed(_) => {}
        }
    }

    fn next_wake(&self, may_flush: bool) -> Instant {
        let phase_ends = match self.phase {
            Phase::Running => Some(self.deadline),
            Phase::Terminating(kill_at) => Some(kill_at),
            Phase::Killed(_) => None,
        };
        let flush_at = self.flush_at.filter(|_| may_flush);
        let wakes = [phase_ends, self.patience_ends(), flush_at];
        // Where there is none, what is owed comes, or the log takes what waits.
        wakes.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + SIGNAL_GRACE)
    }

    /// Sends waiting output when there is much or it has waited enough. Output is not read while too much of
    /// it waits to be stored.
    async fn flush(&mut self, now: Instant, report: &mut Report) {
        let waiting = self.stdout.len() + self.stderr.len();
        if waiting == 0 {
            self.flush_at = None;
            return;
        }
        let flush_at = *self.flush_at.get_or_insert(now + FLUSH_AFTER);
        if (now >= flush_at || waiting >= FLUSH_SIZE) && report.has_room() {
            self.flush_at = None;
            report.more(&mut self.stdout, &mut self.stderr).await;
        }
    }

    /// Children that still hold the output live on until the command's time is over or it is stopped.
    async fn linger(mut self, run: &Run) {
        if self.phase != Phase::Running {
            return;
        }
        let both_closed = async { tokio::join!(self.stdout.discard(), self.stderr.discard()) };
        tokio::select! {
            biased;
            () = run.shutdown.cancelled() => {}
            () = run.stop.cancelled() => {}
            _ = both_closed => self.group.leave_alone(),
            () = sleep_until(self.deadline) => {}
        }
    }
}

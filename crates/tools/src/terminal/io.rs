//! The task that owns a shell's terminal.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use pty_process::Pty;
use rustix::process::{Signal, kill_process_group};
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetpgrp, tcsetattr,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::keeper::Keeper;
use super::keys::is_signal_key;
use super::phase::{Farewell, LastWord, Phase};
use super::sight::{Look, Sight};
use crate::exit::Exit;
use crate::offspring::Offspring;

pub const READ_BYTES: usize = 4096;
/// How often a shell is looked at from outside.
const TICK: Duration = Duration::from_millis(500);
/// How often, and how long apart, it is looked whether a shell goes that may have found the end of its input.
const GOING: usize = 500;
const GOING_PAUSE: Duration = Duration::from_millis(2);
/// Looks in a row that find it waiting for a command: a machine may be too busy to let it read at once.
const MOST_RESTED: usize = 3;
/// Bytes of input that wait for a program to read what it was sent before.
const MOST_UNSENT: usize = 256 * 1024;
/// Reads in a row before anything is written: as much as a terminal holds, which may say that the command is over.
const MOST_READS: usize = 16;

pub enum Order {
    /// Settles the terminal first.
    Command {
        sequence: u64,
        line: Vec<u8>,
    },
    /// The same, whether the shell is ready for it or not.
    Probe {
        sequence: u64,
        line: Vec<u8>,
    },
    Input {
        bytes: Vec<u8>,
        fate: oneshot::Sender<Typed>,
    },
}

/// What has become of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    Sent,
    /// Not sent: the command was sent enough that it does not read, or has not begun.
    Unread,
    /// Not sent: there is no command any more that would read it.
    Over,
}

/// The task's own state.
pub struct Io {
    pub pty: Pty,
    /// The shell's side of the terminal. As long as it is open a shell may close its own ends of it and go on.
    pub peer: OwnedFd,
    pub keeper: Keeper,
    /// What the terminal is set to before each command.
    pub modes: Termios,
    pub child: Child,
    pub exit: Exit,
    pub sight: Sight,
    pub inbox: mpsc::Receiver<Order>,
    /// Signals for whoever runs in the foreground. They wait for nothing.
    pub signals: mpsc::Receiver<Signal>,
    pub closing: CancellationToken,
    /// The number of the last command of which anything was written.
    pub given: u64,
    /// Something was written that the shell may not have read.
    pub typed: bool,
}

enum Happened {
    Read(io::Result<usize>),
    /// It was not read, and there was nothing else to do.
    Nothing,
    Written(io::Result<usize>),
    Ordered(Option<Order>),
    Signalled(Signal),
    Exited,
    Ticked,
    Closed,
}

/// Why the shell is served no longer.
#[derive(PartialEq)]
enum Left {
    Gone,
    Mute,
    /// Nobody wants it any more.
    Closed,
}

impl Io {
    /// Serves until the shell has ended or is to be closed, then ends its `processes`. The shell is reaped after them:
    /// until then no other process can get its number, which is also that of its session.
    pub async fn run(self, processes: Offspring) {
        let _last = LastWord(Arc::clone(&self.keeper.phase));
        self.serve_and_end(processes).await;
    }

    async fn serve_and_end(mut self, processes: Offspring) {
        let left = self.serve().await;
        let Self { mut pty, peer, mut keeper, child, given: last_given, .. } = self;
        drop(peer);
        let ending = tokio::task::spawn_blocking(move || {
            processes.end();
            child
        });
        let exit_code = match ending.await {
            Ok(mut child) => child.wait().await.ok().and_then(|status| status.code()),
            Err(_) => None,
        };
        keeper.read_last_words(&mut pty).await;
        let mute = left == Left::Mute;
        keeper.phase.send_modify(|phase| {
            let (taken, given) = match phase {
                Phase::Running { sequence, taken } => {
                    (*taken, *sequence <= last_given || left == Left::Closed)
                }
                Phase::Idle(_) | Phase::Ended(_) => (false, true),
            };
            *phase = Phase::Ended(Farewell { exit_code, taken, mute, given });
        });
    }

    async fn serve(&mut self) -> Left {
        let mut buffer = [0; READ_BYTES];
        let mut unsent: Vec<u8> = Vec::new();
        let mut giving = 0;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut rested, mut reads) = (0, 0);
        loop {
            let happened = self.next(&mut buffer, &unsent, &mut ticks, reads < MOST_READS).await;
            reads = if matches!(happened, Happened::Read(_)) { reads + 1 } else { 0 };
            if matches!(happened, Happened::Written(_) | Happened::Ordered(_)) {
                rested = 0;
            }
            match happened {
                Happened::Read(Ok(count)) if count > 0 => {
                    let was_new = self.keeper.is_new();
                    let is_over = self.keeper.take(buffer.get(..count).unwrap_or_default(), &self.pty).await;
                    if is_over {
                        // The rest of an input, which the shell would run.
                        unsent = Vec::new();
                        self.throw_away_input();
                    }
                    if was_new && !self.keeper.is_new() {
                        self.sight.learn().await;
                    }
                }
                // Hung up.
                Happened::Read(_) => return Left::Gone,
                Happened::Written(written) => {
                    self.given = giving;
                    match written {
                        Ok(count) if count < unsent.len() => drop(unsent.drain(..count)),
                        _ => unsent = Vec::new(),
                    }
                }
                Happened::Ordered(Some(Order::Command { sequence, line })) => {
                    if self.settle() && !self.stays().await {
                        return Left::Gone;
                    }
                    (giving, unsent) = (sequence, line);
                }
                Happened::Ordered(Some(Order::Probe { sequence, line })) => {
                    self.settle();
                    self.typed = true;
                    (giving, unsent) = (sequence, line);
                }
                Happened::Ordered(Some(Order::Input { bytes, fate })) => {
                    let typed = self.fate_of(&bytes, &unsent);
                    // Whoever does not wait for it any more has said that it was not sent.
                    if fate.send(typed).is_ok() && typed == Typed::Sent {
                        self.type_in(&bytes, &mut unsent);
                    }
                }
                Happened::Signalled(signal) => {
                    // Nobody is to read what a program did not want to.
                    unsent = Vec::new();
                    self.throw_away_input();
                    self.signal_foreground(signal);
                }
                Happened::Ticked if self.is_resting().await && unsent.is_empty() => {
                    rested += 1;
                    if rested == MOST_RESTED {
                        return Left::Mute;
                    }
                }
                Happened::Ticked => rested = 0,
                Happened::Nothing => {}
                Happened::Ordered(None) | Happened::Closed => return Left::Closed,
                Happened::Exited => return Left::Gone,
            }
        }
    }

    /// Before the next line: the last program may have left the terminal in any mode, and some of its input unread, which
    /// would be the beginning of that line. The modes are set `Now`, as any other way waits for the job that prints, while
    /// that one waits for this task to read.
    /// Whether reads may have come back empty (`stty min 0`): to a shell that is the end of its input.
    fn settle(&mut self) -> bool {
        let modes = tcgetattr(&self.peer);
        let _ = tcsetattr(&self.peer, OptionalActions::Now, &self.modes);
        self.throw_away_input();
        modes.is_ok_and(|modes| !modes.local_modes.contains(LocalModes::ICANON))
    }

    /// Only a command that has begun is typed to. A key that the terminal answers by a signal is for any.
    fn fate_of(&self, bytes: &[u8], unsent: &[u8]) -> Typed {
        match *self.keeper.phase.borrow() {
            Phase::Running { .. } if self.is_signal(bytes) => Typed::Sent,
            Phase::Running { taken: true, .. } if unsent.len() + bytes.len() <= MOST_UNSENT => Typed::Sent,
            Phase::Running { .. } => Typed::Unread,
            Phase::Idle(_) | Phase::Ended(_) => Typed::Over,
        }
    }

    /// Where the terminal answers by a signal, what was typed before and is not read is thrown away, or the key would wait
    /// behind it.
    fn type_in(&mut self, bytes: &[u8], unsent: &mut Vec<u8>) {
        if self.is_signal(bytes) {
            self.throw_away_input();
            unsent.clear();
        }
        self.typed = true;
        unsent.extend(bytes);
    }

    fn is_signal(&self, bytes: &[u8]) -> bool {
        is_signal_key(bytes)
            && tcgetattr(&self.peer).is_ok_and(|modes| modes.local_modes.contains(LocalModes::ISIG))
    }

    /// By the shell's side: by ours only what the terminal has worked off is emptied, and at once filled again.
    fn throw_away_input(&mut self) {
        if std::mem::take(&mut self.typed) {
            let _ = tcflush(&self.peer, QueueSelector::IFlush);
        }
    }

    /// Whether a shell that may have found the end of its input waits for a command after all. In a worker that runs
    /// commands as another user that cannot be seen: there it is given some time to go.
    async fn stays(&mut self) -> bool {
        for _ in 0..GOING {
            if self.sight.look() == Look::Resting {
                return true;
            }
            if tokio::time::timeout(GOING_PAUSE, self.exit.status()).await.is_ok() {
                return false;
            }
        }
        true
    }

    /// Whether the shell waits for a command, and has not said that the last one is over. One that was stopped is
    /// told to go on: nobody else could tell it.
    async fn is_resting(&mut self) -> bool {
        let phase = self.keeper.phase.borrow().clone();
        match phase {
            Phase::Idle(_) => self.sight.learn().await,
            Phase::Running { .. } => match self.sight.look() {
                Look::Stopped => self.sight.wake(),
                Look::Resting => return true,
                Look::Busy => {}
            },
            Phase::Ended(_) => {}
        }
        false
    }

    /// Reads before it writes: what is to be read may say that nothing is to be written any more.
    async fn next(
        &mut self,
        buffer: &mut [u8],
        unsent: &[u8],
        ticks: &mut Interval,
        may_read: bool,
    ) -> Happened {
        let (mut reader, mut writer) = self.pty.split();
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Happened::Closed,
            Some(signal) = self.signals.recv() => Happened::Signalled(signal),
            order = self.inbox.recv() => Happened::Ordered(order),
            read = reader.read(buffer), if may_read => Happened::Read(read),
            _ = self.exit.status() => Happened::Exited,
            written = writer.write(unsent), if !unsent.is_empty() => Happened::Written(written),
            _ = ticks.tick() => Happened::Ticked,
            () = std::future::ready(()), if !may_read => Happened::Nothing,
        }
    }

    fn signal_foreground(&self, signal: Signal) {
        let Ok(group) = tcgetpgrp(&self.pty) else { return };
        // A shell that has just got its terminal back is not what is to be killed.
        if signal != Signal::KILL || group != self.keeper.shell {
            // It may have ended meanwhile.
            let _ = kill_process_group(group, signal);
        }
    }
}

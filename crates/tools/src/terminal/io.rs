//! The task that owns a shell's terminal.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pty_process::Pty;
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetpgrp, tcsetattr,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::keys::is_answered_by_the_terminal;
use super::output::Output;
use super::phase::{Farewell, LastWord, Phase};
use super::record::{Piece, Prompt, Scanner, State};
use super::sight::{Look, Sight};
use crate::exit::Exit;
use crate::offspring::Offspring;

const READ_BYTES: usize = 4096;
/// How long the last words of a shell that has ended may take.
const LAST_WORDS: Duration = Duration::from_millis(50);
const MAX_LAST_READS: usize = 1024;
/// How often a shell is looked at from outside.
const TICK: Duration = Duration::from_millis(500);
/// How often, and how long apart, it is looked whether a shell goes that may have found the end of its input.
const GOING: usize = 500;
const GOING_PAUSE: Duration = Duration::from_millis(2);
/// Looks in a row that find it waiting for a command: a machine may be too busy to let it read at once.
const MOST_RESTED: usize = 3;
/// Bytes of input that wait for a program to read what it was sent before.
const MOST_UNSENT: usize = 64 * 1024;

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
    /// Not sent: the command reads nothing, and was sent enough.
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
        let mut rested = 0;
        loop {
            let happened = self.next(&mut buffer, &unsent, &mut ticks).await;
            if matches!(happened, Happened::Written(_) | Happened::Ordered(_)) {
                rested = 0;
            }
            match happened {
                Happened::Read(Ok(count)) if count > 0 => {
                    let was_new = self.keeper.is_new();
                    self.keeper.take(buffer.get(..count).unwrap_or_default(), &self.pty).await;
                    if was_new && !self.keeper.is_new() {
                        self.sight.learn().await;
                    }
                    if self.keeper.is_idle() {
                        // The rest of an input, which the shell would run.
                        unsent = Vec::new();
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
                    let _ = fate.send(self.type_in(&bytes, &mut unsent));
                }
                Happened::Signalled(signal) => {
                    // Nobody is to read what a program did not want to.
                    unsent = Vec::new();
                    self.signal_foreground(signal);
                }
                Happened::Ticked if self.is_resting().await && unsent.is_empty() => {
                    rested += 1;
                    if rested == MOST_RESTED {
                        return Left::Mute;
                    }
                }
                Happened::Ticked => rested = 0,
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
        if std::mem::take(&mut self.typed) {
            self.throw_away_input();
        }
        modes.is_ok_and(|modes| !modes.local_modes.contains(LocalModes::ICANON))
    }

    /// Only a command that has begun is typed to. A key that the terminal answers by a signal is for any: what was typed
    /// before and is not read is thrown away, or the key would wait behind it.
    fn type_in(&mut self, bytes: &[u8], unsent: &mut Vec<u8>) -> Typed {
        match *self.keeper.phase.borrow() {
            Phase::Running { .. } if is_answered_by_the_terminal(bytes) => {
                self.throw_away_input();
                unsent.clear();
            }
            Phase::Running { taken: true, .. } if unsent.len() < MOST_UNSENT => {}
            Phase::Running { .. } => return Typed::Unread,
            Phase::Idle(_) | Phase::Ended(_) => return Typed::Over,
        }
        self.typed = true;
        unsent.extend(bytes);
        Typed::Sent
    }

    /// By the shell's side: by ours only what the terminal has worked off is emptied, and at once filled again.
    fn throw_away_input(&self) {
        let _ = tcflush(&self.peer, QueueSelector::IFlush);
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

    async fn next(&mut self, buffer: &mut [u8], unsent: &[u8], ticks: &mut Interval) -> Happened {
        let (mut reader, mut writer) = self.pty.split();
        tokio::select! {
            read = reader.read(buffer) => Happened::Read(read),
            written = writer.write(unsent), if !unsent.is_empty() => Happened::Written(written),
            Some(signal) = self.signals.recv() => Happened::Signalled(signal),
            order = self.inbox.recv() => Happened::Ordered(order),
            _ = self.exit.status() => Happened::Exited,
            _ = ticks.tick() => Happened::Ticked,
            () = self.closing.cancelled() => Happened::Closed,
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

/// Turns what is read into output and phases.
pub struct Keeper {
    pub shell: Pid,
    pub scanner: Scanner,
    pub phase: Arc<watch::Sender<Phase>>,
    pub output: Arc<Mutex<Output>>,
}

impl Keeper {
    /// Whether the shell has not greeted yet.
    fn is_new(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Running { sequence: 0, .. })
    }

    fn is_idle(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Idle(_))
    }

    async fn take(&mut self, bytes: &[u8], pty: &Pty) {
        let (mut begun, mut prompts) = (Vec::new(), Vec::new());
        let overflow = {
            let mut output = self.output.lock();
            self.scanner.feed(bytes, |piece| match piece {
                Piece::Text(text) => output.push(text),
                Piece::Begun(sequence) => begun.push(sequence),
                Piece::Prompt(prompt) => prompts.push(prompt),
            });
            output.take_overflow()
        };
        if let Some(overflow) = overflow {
            // A write that fails shows as a shorter file; the command must not stop for it.
            let _ = tokio::task::spawn_blocking(move || overflow.write()).await;
        }
        for sequence in begun {
            self.note_taken(sequence);
        }
        for prompt in prompts {
            // A program that was given the prompt by `export` shows it too, while it has the terminal.
            if !prompt.state.is_of_the_prompt() || !self.is_behind(pty) {
                self.become_idle(prompt);
            }
        }
    }

    /// Whether another program has the terminal.
    fn is_behind(&self, pty: &Pty) -> bool {
        tcgetpgrp(pty).is_ok_and(|group| group != self.shell)
    }

    fn note_taken(&self, begun: u64) {
        self.phase.send_if_modified(|phase| match phase {
            Phase::Running { sequence, taken } if *sequence == begun => !std::mem::replace(taken, true),
            Phase::Running { .. } | Phase::Idle(_) | Phase::Ended(_) => false,
        });
    }

    /// A record of an earlier command (C-c may cause a second one) is passed over. One of a command that the shell has
    /// not said to take says nothing of that command.
    fn become_idle(&self, mut prompt: Prompt) {
        if prompt.sequence == 0 {
            // The shell's greeting.
            drop(self.output.lock().take(true));
        }
        self.phase.send_if_modified(|phase| {
            let Phase::Running { sequence, taken } = *phase else { return false };
            if sequence != prompt.sequence {
                return false;
            }
            if !taken {
                prompt.state = State::Mute;
            }
            *phase = Phase::Idle(prompt);
            true
        });
    }

    /// Reads what the terminal still holds. A process that left the session may keep it open in silence.
    async fn read_last_words(&mut self, pty: &mut Pty) {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..MAX_LAST_READS {
            match tokio::time::timeout(LAST_WORDS, pty.read(&mut buffer)).await {
                Ok(Ok(count)) if count > 0 => self.take(buffer.get(..count).unwrap_or_default(), pty).await,
                _ => break,
            }
        }
        self.finish();
    }

    fn finish(&mut self) {
        let mut output = self.output.lock();
        self.scanner.finish(|piece| {
            if let Piece::Text(text) = piece {
                output.push(text);
            }
        });
    }
}

//! The task that owns a shell's terminal.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pty_process::Pty;
use rustix::process::{Signal, kill_process_group};
use rustix::termios::{OptionalActions, Termios, tcgetpgrp, tcsetattr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::output::Output;
use super::record::{Piece, Prompt, Scanner};
use crate::offspring::Offspring;

const READ_BYTES: usize = 4096;
/// How long the last words of a shell that has ended may take.
const LAST_WORDS: Duration = Duration::from_millis(50);
const MAX_LAST_READS: usize = 1024;

#[derive(Clone, Debug)]
pub enum Phase {
    /// Command `sequence` has not ended; 0 is the shell's own preparation.
    Running {
        sequence: u64,
        /// The shell has said that it takes the command.
        taken: bool,
    },
    Idle(Prompt),
    /// The shell is gone.
    Ended {
        /// None: it was killed.
        exit_code: Option<i32>,
        /// It had taken the command given last, and it was not over.
        taken: bool,
    },
}

pub enum Order {
    /// Mends the terminal's modes first: the last program may have left them in any state.
    Command(Vec<u8>),
    Input(Vec<u8>),
}

/// The task's own state.
pub struct Io {
    pub pty: Pty,
    pub keeper: Keeper,
    /// What the terminal is set to before each command.
    pub modes: Termios,
    pub child: Child,
    pub inbox: mpsc::Receiver<Order>,
    /// Signals for whoever runs in the foreground. They wait for nothing.
    pub signals: mpsc::Receiver<Signal>,
    pub closing: CancellationToken,
}

enum Happened {
    Read(io::Result<usize>),
    Written(io::Result<usize>),
    Ordered(Option<Order>),
    Signalled(Signal),
    Exited(Option<i32>),
    Closed,
}

impl Io {
    /// Serves until the shell has ended or is to be closed, then ends its `processes`.
    pub async fn run(mut self, processes: Offspring) {
        let exited = self.serve().await;
        let ending = tokio::task::spawn_blocking(move || processes.end());
        // Waiting takes the zombie away, which the ending must not wait for.
        let exit_code = match exited {
            Some(exit_code) => exit_code,
            None => self.child.wait().await.ok().and_then(|status| status.code()),
        };
        let _ = ending.await;
        self.read_last_words().await;
        self.keeper.phase.send_modify(|phase| {
            let taken = matches!(phase, Phase::Running { taken: true, .. });
            *phase = Phase::Ended { exit_code, taken };
        });
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
                Happened::Signalled(signal) => {
                    // Nobody is to read what a program did not want to.
                    unsent = Vec::new();
                    self.signal_foreground(signal);
                }
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
            Some(signal) = self.signals.recv() => Happened::Signalled(signal),
            order = self.inbox.recv(), if unsent.is_empty() => Happened::Ordered(order),
            status = self.child.wait() => Happened::Exited(status.ok().and_then(|status| status.code())),
            () = self.closing.cancelled() => Happened::Closed,
        }
    }

    fn signal_foreground(&self, signal: Signal) {
        if let Ok(group) = tcgetpgrp(&self.pty) {
            // It may have ended meanwhile.
            let _ = kill_process_group(group, signal);
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
pub struct Keeper {
    pub scanner: Scanner,
    pub phase: Arc<watch::Sender<Phase>>,
    pub output: Arc<Mutex<Output>>,
}

impl Keeper {
    async fn take(&mut self, bytes: &[u8]) {
        let (mut begun, mut prompts) = (Vec::new(), Vec::new());
        let overflow = {
            let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
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
            self.become_idle(prompt);
        }
    }

    fn note_taken(&self, begun: u64) {
        self.phase.send_if_modified(|phase| match phase {
            Phase::Running { sequence, taken } if *sequence == begun => !std::mem::replace(taken, true),
            Phase::Running { .. } | Phase::Idle(_) | Phase::Ended { .. } => false,
        });
    }

    /// A record of an earlier command (C-c may cause a second one) is passed over, and so is one of a command that the
    /// shell has not taken: it has not run, and an exit code would say that it had.
    fn become_idle(&self, prompt: Prompt) {
        if prompt.sequence == 0 {
            // The shell's greeting.
            drop(self.output.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        self.phase.send_if_modified(|phase| {
            let is_awaited =
                matches!(*phase, Phase::Running { sequence, taken: true } if sequence == prompt.sequence);
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

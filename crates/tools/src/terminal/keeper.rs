//! Turns what is read from a shell's terminal into output and phases.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pty_process::Pty;
use rustix::process::Pid;
use rustix::termios::tcgetpgrp;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use super::io::READ_BYTES;
use super::output::Output;
use super::phase::Phase;
use super::record::{Piece, Prompt, Scanner, State};

/// How long the last words of a shell that has ended may take.
const LAST_WORDS: Duration = Duration::from_millis(50);
const MAX_LAST_READS: usize = 1024;

pub struct Keeper {
    pub shell: Pid,
    pub scanner: Scanner,
    pub phase: Arc<watch::Sender<Phase>>,
    pub output: Arc<Mutex<Output>>,
}

impl Keeper {
    /// Whether the shell has not greeted yet.
    pub fn is_new(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Running { sequence: 0, .. })
    }

    /// Whether the running command is over with that.
    pub async fn take(&mut self, bytes: &[u8], pty: &Pty) -> bool {
        let running = match *self.phase.borrow() {
            Phase::Running { sequence, .. } => Some(sequence),
            Phase::Idle(_) | Phase::Ended(_) => None,
        };
        let (mut begun, mut prompts) = (Vec::new(), Vec::new());
        let overflow = {
            let mut output = self.output.lock();
            self.scanner.feed(bytes, |piece| match piece {
                Piece::Text(text) => output.push(text),
                Piece::Begun(sequence) => begun.push(sequence),
                Piece::Prompt(prompt) => {
                    if running == Some(prompt.sequence) {
                        output.end_unfinished();
                    }
                    prompts.push(prompt);
                }
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
        let mut is_over = false;
        for prompt in prompts {
            // A program that was given the prompt by `export` shows it too, while it has the terminal.
            if !prompt.state.is_of_the_prompt() || !self.is_behind(pty) {
                is_over |= self.become_idle(prompt);
            }
        }
        is_over
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
    fn become_idle(&self, mut prompt: Prompt) -> bool {
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
        })
    }

    /// Reads what the terminal still holds. A process that left the session may keep it open in silence.
    pub async fn read_last_words(&mut self, pty: &mut Pty) {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..MAX_LAST_READS {
            match tokio::time::timeout(LAST_WORDS, pty.read(&mut buffer)).await {
                Ok(Ok(count)) if count > 0 => {
                    self.take(buffer.get(..count).unwrap_or_default(), pty).await;
                }
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
        output.end_unfinished();
    }
}

//! Stopping a command: by Ctrl-C, by force, and in the end with its shell.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Terminal;
use super::shell::{Phase, Shell, Typed};
use super::wait::{heard, settled};

/// How long a program may take to end, each time it is told, and its shell to answer afterwards.
const AFTER: Duration = Duration::from_millis(300);
/// The same where no key did it: the shell may wait for silence first, as it does where a program has left input unread.
const AFTER_A_SIGNAL: Duration = Duration::from_millis(450);
/// How long a command may take to begin.
const BEGINNING: Duration = Duration::from_secs(1);
const CTRL_C: u8 = 3;
const STOPPED: &str = "[The command that was interrupted did not stop and was ended with its shell. This is a new one in \
    the same directory, without the variables, functions and jobs of the old one.]\n";

/// What is tried, in order.
const MEANS: [Means; 4] =
    [Means::CtrlC, Means::CtrlC, Means::Signal(Signal::TERM), Means::Signal(Signal::KILL)];

enum Means {
    CtrlC,
    Signal(Signal),
}

impl Terminal {
    /// Stops the running command; what it printed is forgotten.
    ///
    /// A Ctrl-C between two programs may be lost, or bash may show its prompt and then lose the next line or wait for a
    /// program after all. So it is stopped only once it has answered a line that does nothing. A program that reads
    /// that line instead is about to be killed anyway.
    ///
    /// A line that the shell has read in part would be ended by the next one, and the command run in part: it has to begin
    /// before it is stopped.
    pub(super) async fn stop(&self, shell: &Arc<Shell>) {
        if !heard(shell, Instant::now() + BEGINNING).await {
            shell.close().await;
            return self.let_go(STOPPED);
        }
        for means in MEANS {
            let patience = match means {
                Means::CtrlC => {
                    // A key that finds no way in, as the terminal's task is busy, is a signal that waits for nothing.
                    if shell.type_in(vec![CTRL_C]).await == Typed::Unread {
                        shell.signal(Signal::INT).await;
                    }
                    AFTER
                }
                Means::Signal(signal) => {
                    shell.signal(signal).await;
                    AFTER_A_SIGNAL
                }
            };
            let prompt = settled(shell, Instant::now() + patience).await;
            if matches!(prompt, Some(Phase::Ended(_))) {
                return self.let_go(STOPPED);
            }
            shell.probe();
            match settled(shell, Instant::now() + patience).await {
                Some(Phase::Idle(_)) => {
                    drop(shell.take_output());
                    self.slot().unreported = false;
                    return;
                }
                Some(Phase::Ended(_)) => return self.let_go(STOPPED),
                Some(Phase::Running { .. }) | None => {}
            }
        }
        shell.close().await;
        self.let_go(STOPPED);
    }
}

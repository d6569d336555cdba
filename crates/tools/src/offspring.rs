//! What a program has started, wherever it has gone: found through `/proc`, ended together.
//!
//! Most of what a shell starts is in its session. What has left that (`setsid`, a daemon) still has the environment it
//! began with, and in it a mark. Out of reach is what did both, left the session and dropped its environment; and, in a
//! worker that runs commands as another user and must not look into their environments, whatever left the session.
//!
//! Looking at all processes is dear where there are many, so it is done seldom: once to find whom to ask to end, and
//! then until nobody is found, for what was begun meanwhile. In between only those that were found are looked at.
//!
//! A number is not a process: it may be given to another one as soon as its process has been reaped. So a process is
//! held by a handle of the kernel before it is looked at, and signalled through that: a signal reaches the one that was
//! looked at, or nobody. A session is told by the number of its leader, which therefore must not be reaped before.
//! Handles are open files, so only some are kept after the signal, to wait for; a bomb of processes takes more rounds.

mod process;

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

pub use process::Process;

const GRACE: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_millis(5);
/// How long processes may take to die: some time, on a busy machine.
const DEATH: Duration = Duration::from_secs(2);
/// The same where nothing may block for long.
const QUICK_DEATH: Duration = Duration::from_millis(20);
/// Processes that are waited for at one time.
const MOST_HELD: usize = 256;

/// A variable whose value tells whose a process is, or how that value begins. It is set where the first of them starts.
#[derive(Clone, Debug)]
pub struct Mark {
    pub name: &'static str,
    pub value: String,
}

impl Mark {
    /// One that nothing else has.
    #[must_use]
    pub fn unique(name: &'static str) -> Self {
        Self { name, value: uuid::Uuid::new_v4().simple().to_string() }
    }
}

/// The processes that have a mark, and those of the session they began in. Ends them all when dropped.
#[derive(Debug)]
pub struct Offspring {
    mark: Mark,
    session: Option<Pid>,
    armed: bool,
}

impl Offspring {
    #[must_use]
    pub fn of(mark: Mark) -> Self {
        Self { mark, session: None, armed: true }
    }

    /// `leader` must be the pid of a session leader that is not reaped as long as this lives.
    #[must_use]
    pub fn of_session(leader: Pid, mark: Mark) -> Self {
        Self { mark, session: Some(leader), armed: true }
    }

    /// Hangs up, waits a moment, kills what is left. Blocks for some seconds at most.
    pub fn end(mut self) {
        self.armed = false;
        // Daemons take a hang-up for a wish to read their settings again.
        let told = self.tell(&[Signal::HUP, Signal::TERM, Signal::CONT]);
        if told.is_empty() {
            return;
        }
        wait_until_over(&told, Instant::now() + GRACE);
        self.kill(DEATH);
    }

    /// Kills until nobody is left, or `patience` is over: a process may have forked during a round.
    fn kill(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let killed = self.tell(&[Signal::KILL]);
            if killed.is_empty() {
                return;
            }
            wait_until_over(&killed, deadline);
            if Instant::now() >= deadline {
                return;
            }
        }
    }

    /// Signals all that live; those that can be waited for.
    fn tell(&self, signals: &[Signal]) -> Vec<Process> {
        let is_meant = |value: &str| value.starts_with(&self.mark.value);
        let living = process::all(|process| {
            self.session.is_some_and(|leader| process.is_member(leader))
                || process.has(self.mark.name, is_meant)
        });
        let mut told = Vec::new();
        for process in living {
            signals.iter().for_each(|signal| process.signal(*signal));
            if told.len() < MOST_HELD {
                told.push(process);
            }
        }
        told
    }
}

impl Drop for Offspring {
    fn drop(&mut self) {
        if self.armed {
            self.kill(QUICK_DEATH);
        }
    }
}

/// The processes whose variable `name` has a value that is meant, one after the other.
pub fn marked(name: &str, is_meant: impl Fn(&str) -> bool) -> impl Iterator<Item = Process> {
    process::all(move |process| process.has(name, &is_meant))
}

fn wait_until_over(processes: &[Process], deadline: Instant) {
    for process in processes {
        while !process.is_over() && Instant::now() < deadline {
            std::thread::sleep(STEP);
        }
    }
}

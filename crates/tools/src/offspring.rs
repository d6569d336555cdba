//! What a program has started, wherever it has gone: found through `/proc`, ended together.
//!
//! Most of what a shell starts is in its session. What has left that (`setsid`, a daemon) still has the environment it
//! began with, and in it a mark. Out of reach is what did both, left the session and dropped its environment; and, in a
//! worker that runs commands as another user and must not look into their environments, whatever left the session.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

const GRACE: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_millis(5);
/// How long processes may take to die: some time, on a busy machine.
const DEATH: Duration = Duration::from_secs(2);
/// The same where nothing may block for long.
const QUICK_DEATH: Duration = Duration::from_millis(20);

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

    /// `leader` must be the pid of a session leader that this process does not reap before this is dropped or has ended.
    #[must_use]
    pub fn of_session(leader: Pid, mark: Mark) -> Self {
        Self { mark, session: Some(leader), armed: true }
    }

    /// Hangs up, waits a moment, kills what is left. Blocks for some seconds at most.
    pub fn end(mut self) {
        self.armed = false;
        self.signal(Signal::HUP);
        // Daemons take a hang-up for a wish to read their settings again.
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
        // By the clock: where many processes run, looking takes longer than the pauses.
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline && !self.living().is_empty() {
            std::thread::sleep(STEP);
        }
        self.kill(DEATH);
    }

    /// Kills until nobody is left, or `patience` is over: a process may have forked during a round.
    fn kill(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.signal(Signal::KILL) && Instant::now() < deadline {
            std::thread::sleep(STEP);
        }
    }

    /// Whether there was anybody to signal.
    fn signal(&self, signal: Signal) -> bool {
        let living = self.living();
        let held = living.iter().filter_map(|pid| Held::new(*pid, || self.includes(*pid)));
        held.for_each(|process| process.signal(signal));
        !living.is_empty()
    }

    fn living(&self) -> Vec<Pid> {
        processes(|pid| self.includes(pid))
    }

    fn includes(&self, pid: Pid) -> bool {
        self.session.is_some_and(|leader| is_member(pid, leader))
            || has(pid, self.mark.name, |value| value.starts_with(&self.mark.value))
    }
}

/// A process that was found. Its number may become another one's at any time, which must not get the signal.
enum Held {
    Process(OwnedFd),
    /// Where the kernel has no pidfd, or no more files can be opened.
    Number(Pid),
}

impl Held {
    /// Looks again, once nothing can take the place of the process any more.
    fn new(pid: Pid, is_meant: impl FnOnce() -> bool) -> Option<Self> {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => is_meant().then_some(Self::Process(handle)),
            Err(Errno::SRCH) => None,
            Err(_) => Some(Self::Number(pid)),
        }
    }

    /// One that has ended meanwhile needs none.
    fn signal(self, signal: Signal) {
        let _ = match self {
            Self::Process(handle) => pidfd_send_signal(handle, signal),
            Self::Number(pid) => kill_process(pid, signal),
        };
    }
}

impl Drop for Offspring {
    fn drop(&mut self) {
        if self.armed {
            self.signal(Signal::HUP);
            self.kill(QUICK_DEATH);
        }
    }
}

/// The processes whose variable `name` has a value that is meant.
pub fn marked(name: &str, is_meant: impl Fn(&str) -> bool) -> Vec<Pid> {
    processes(|pid| has(pid, name, &is_meant))
}

fn processes(are_meant: impl Fn(Pid) -> bool) -> Vec<Pid> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = all.filter_map(|entry| Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?));
    pids.filter(|pid| are_meant(*pid)).collect()
}

/// False for what is gone, of another user, or a zombie, which has no environment any more.
fn has(pid: Pid, name: &str, is_meant: impl Fn(&str) -> bool) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|entry| {
        let value = entry.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        value.and_then(|value| str::from_utf8(value).ok()).is_some_and(&is_meant)
    })
}

/// Not of a zombie. Reads state and session (fields 3 and 6) behind the command name, which may hold anything.
fn is_member(pid: Pid, leader: Pid) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let Some((_, fields)) = stat.rsplit_once(") ") else {
        return false;
    };
    let mut fields = fields.split(' ');
    let is_zombie = matches!(fields.next(), Some("Z" | "X"));
    let session = fields.nth(2).and_then(|field| field.parse::<i32>().ok());
    !is_zombie && session == Some(leader.as_raw_nonzero().get())
}

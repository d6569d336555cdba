//! A process that was found, held so that nothing else can take its place.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

#[derive(Debug)]
pub struct Process {
    pid: Pid,
    /// None where the kernel gives none: then its number has to do.
    handle: Option<OwnedFd>,
}

/// The processes that are meant.
pub(super) fn all(are_meant: impl Fn(&Process) -> bool) -> Vec<Process> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = all.filter_map(|entry| Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?));
    pids.filter_map(Process::open).filter(are_meant).collect()
}

impl Process {
    fn open(pid: Pid) -> Option<Self> {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => Some(Self { pid, handle: Some(handle) }),
            Err(Errno::SRCH) => None,
            Err(_) => Some(Self { pid, handle: None }),
        }
    }

    #[must_use]
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// What has ended meanwhile needs no signal.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = match &self.handle {
            Some(handle) => pidfd_send_signal(handle, signal),
            None => kill_process(self.pid, signal),
        };
    }

    /// Gone, or a zombie.
    pub(super) fn is_over(&self) -> bool {
        self.living_session().is_none()
    }

    pub(super) fn is_member(&self, leader: Pid) -> bool {
        self.living_session().is_some_and(|session| session == leader.as_raw_nonzero().get())
    }

    /// False for what is gone, of another user, or a zombie, which has no environment any more.
    pub(super) fn has(&self, name: &str, is_meant: impl Fn(&str) -> bool) -> bool {
        let environment = std::fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| {
            let value = entry.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            value.and_then(|value| str::from_utf8(value).ok()).is_some_and(&is_meant)
        })
    }

    /// The session of one that is no zombie: state and session are fields 3 and 6, behind the command name, which may
    /// hold anything.
    fn living_session(&self) -> Option<i32> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        if matches!(fields.next(), Some("Z" | "X")) {
            return None;
        }
        fields.nth(2)?.parse().ok()
    }
}

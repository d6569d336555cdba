//! A process that was found, held so that nothing else can take its place.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// Bytes of an environment that are looked at. No program can be started with more, but one that runs can say that its
/// environment is as long as its memory.
const LONGEST_ENVIRONMENT: u64 = 8 << 20;

#[derive(Debug)]
pub struct Process {
    pid: Pid,
    /// None where the kernel gives none: then its number has to do.
    handle: Option<OwnedFd>,
}

/// The processes that are meant, one after the other: each is an open file, and there may be very many.
pub(super) fn all(are_meant: impl Fn(&Process) -> bool) -> impl Iterator<Item = Process> {
    let all = std::fs::read_dir("/proc").into_iter().flatten();
    let pids = all.filter_map(|entry| Pid::from_raw(entry.ok()?.file_name().to_str()?.parse().ok()?));
    pids.filter_map(Process::open).filter(are_meant)
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
        let Ok(environment) = File::open(format!("/proc/{}/environ", self.pid)) else { return false };
        let entries = BufReader::new(environment.take(LONGEST_ENVIRONMENT)).split(0);
        entries.map_while(Result::ok).any(|entry| {
            let value = entry.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            value.and_then(|value| str::from_utf8(value).ok()).is_some_and(&is_meant)
        })
    }

    /// The session of one that is no zombie: state and session are fields 3 and 6, behind the command name, which may
    /// hold anything.
    fn living_session(&self) -> Option<i32> {
        let stat = std::fs::read(format!("/proc/{}/stat", self.pid)).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        if matches!(fields.next(), Some("Z" | "X")) {
            return None;
        }
        fields.nth(2)?.parse().ok()
    }
}

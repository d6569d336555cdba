//! Processes that a test starts, kills, stops and counts.

use std::fmt::Display;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A child of the test. Dropping it kills it.
pub struct Process(Child);

impl Process {
    /// # Panics
    /// When the program does not start.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        Self::of(command.spawn().expect("the program starts"))
    }

    #[must_use]
    pub fn of(child: Child) -> Self {
        Self(child)
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal and returns when it is gone; what is left of it after `patience` is killed.
    pub fn end(&mut self, how: Signal, patience: Duration) {
        let deadline = Instant::now() + patience;
        signal(self.pid(), how);
        while is_alive(self.pid()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to whatever has this number; nothing to what has ended.
pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = kill_process(pid.expect("a process' number"), signal);
}

/// The processes whose parent is `parent`, without those that have ended.
#[must_use]
pub fn children_of(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task");
    let Ok(threads) = std::fs::read_dir(path) else { return Vec::new() };
    let lists =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let children = lists.flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<u32>>());
    children.filter(|pid| is_alive(*pid)).collect()
}

/// Whether there is such a process that has not ended. One whose first thread alone has ended still is: nobody who waits
/// for it is told before its last thread.
#[must_use]
pub fn is_alive(pid: impl Display) -> bool {
    let process = format!("/proc/{}", pid.to_string().trim());
    // The name that stands in it may be any bytes.
    let Ok(stat) = std::fs::read(format!("{process}/stat")) else { return false };
    let stat = String::from_utf8_lossy(&stat);
    let threads = std::fs::read_dir(format!("{process}/task")).map_or(0, Iterator::count);
    stat.rsplit_once(") ").is_some_and(|(_, rest)| threads > 1 || !rest.starts_with(['Z', 'X']))
}

//! The processes of a shell's session: found through `/proc`, ended together.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

const GRACE: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_millis(5);

/// The session a shell leads. Ends all its processes when dropped.
#[derive(Debug)]
pub struct ProcessSession {
    leader: Pid,
    armed: bool,
}

impl ProcessSession {
    /// `leader` must be the pid of a session leader that this process has not reaped yet.
    pub fn new(leader: Pid) -> Self {
        Self { leader, armed: true }
    }

    /// Hangs up, waits a moment, kills what is left. Blocks for at most about a second.
    pub fn end(mut self) {
        self.armed = false;
        self.signal(Signal::HUP);
        self.signal(Signal::CONT);
        let mut waited = Duration::ZERO;
        while waited < GRACE && !self.living().is_empty() {
            std::thread::sleep(STEP);
            waited += STEP;
        }
        self.kill();
    }

    /// Kills until nobody is left: a process may have forked during a round.
    fn kill(&self) {
        for _ in 0..20 {
            if !self.signal(Signal::KILL) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether there was anybody to signal.
    fn signal(&self, signal: Signal) -> bool {
        let living = self.living();
        for pid in &living {
            let _ = kill_process(*pid, signal);
        }
        !living.is_empty()
    }

    /// Members that are not zombies.
    fn living(&self) -> Vec<Pid> {
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| is_member(*pid, self.leader))
            .filter_map(Pid::from_raw)
            .collect()
    }
}

impl Drop for ProcessSession {
    fn drop(&mut self) {
        if self.armed {
            self.signal(Signal::HUP);
            self.kill();
        }
    }
}

/// Reads state and session (fields 3 and 6) behind the command name, which may hold anything.
fn is_member(pid: i32, leader: Pid) -> bool {
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

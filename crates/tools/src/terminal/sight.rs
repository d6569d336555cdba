//! What the kernel tells of a shell, whatever the shell says itself: whether it is stopped, and whether it waits for its
//! next command.
//!
//! A shell waits for a command in one place of its program: the same call, with the same buffer, at the same depth of
//! its stack. A `read` of a command reads from another one, and other programs do anyhow. The place is learned when the
//! shell is known to wait. In a worker that runs commands as another user it cannot be seen, and is never found again.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How often, and how long apart, the place of a new shell is looked for.
const LEARNING: usize = 10;
const PAUSE: Duration = Duration::from_millis(1);

pub struct Sight {
    shell: Pid,
    /// Where it waits for a command.
    rest: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    Stopped,
    Resting,
    Busy,
}

impl Sight {
    /// `shell` must not be reaped while this lives.
    pub fn new(shell: Pid) -> Self {
        Self { shell, rest: None }
    }

    /// The shell waits for a command, or is about to, and for nothing else.
    pub async fn learn(&mut self) {
        for _ in 0..LEARNING {
            if self.rest.is_some() {
                return;
            }
            self.rest = self.place().filter(|place| place.reads_input).map(|place| place.text);
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub fn look(&self) -> Look {
        if self.is_stopped() {
            return Look::Stopped;
        }
        match (&self.rest, self.place()) {
            (Some(rest), Some(place)) if *rest == place.text => Look::Resting,
            _ => Look::Busy,
        }
    }

    pub fn wake(&self) {
        // It may have ended meanwhile.
        let _ = kill_process(self.shell, Signal::CONT);
    }

    /// The state stands behind the command name, which may hold anything.
    fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.shell)).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('T'))
    }

    /// Number and arguments of the call it waits in, stack pointer, program counter. None while it works.
    fn place(&self) -> Option<Place> {
        let call = std::fs::read_to_string(format!("/proc/{}/syscall", self.shell)).ok()?;
        let fields: Vec<&str> = call.split_whitespace().collect();
        let [number, file, buffer, size, _, _, _, stack, counter] = fields[..] else { return None };
        let text = [number, file, buffer, size, stack, counter].join(" ");
        Some(Place { text, reads_input: file == "0x0" })
    }
}

struct Place {
    text: String,
    reads_input: bool,
}

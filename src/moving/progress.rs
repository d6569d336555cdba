//! How far it is, on standard error: a bar where that is a terminal, a line now and then where it is not.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const WIDTH: usize = 24;
/// How often a bar is drawn, and how often a line is written.
const DRAWN: Duration = Duration::from_millis(100);
const WRITTEN: Duration = Duration::from_secs(5);

pub struct Progress {
    what: &'static str,
    done: usize,
    of: usize,
    is_terminal: bool,
    shown: Instant,
}

impl Progress {
    pub fn new(what: &'static str, of: usize) -> Self {
        Self { what, done: 0, of, is_terminal: std::io::stderr().is_terminal(), shown: Instant::now() }
    }

    pub fn step(&mut self) {
        self.done += 1;
        let pause = if self.is_terminal { DRAWN } else { WRITTEN };
        if self.shown.elapsed() >= pause {
            self.shown = Instant::now();
            self.show();
        }
    }

    fn show(&self) {
        let line = line(self.what, self.done, self.of);
        let mut errors = std::io::stderr().lock();
        // Nobody may look any more.
        let _ = match self.is_terminal {
            true => write!(errors, "\r\x1b[2K{line}").and_then(|()| errors.flush()),
            false => writeln!(errors, "{line}"),
        };
    }
}

impl Drop for Progress {
    /// What was drawn makes way for what is told.
    fn drop(&mut self) {
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}

fn line(what: &str, done: usize, of: usize) -> String {
    let filled = (done.min(of) * WIDTH).checked_div(of).unwrap_or(WIDTH);
    format!("{what} [{}{}] {done}/{of}", "#".repeat(filled), ".".repeat(WIDTH - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_grows_to_its_end_and_no_further() {
        assert_eq!(line("events", 0, 2), format!("events [{}] 0/2", ".".repeat(24)));
        assert_eq!(line("events", 1, 2), format!("events [{}{}] 1/2", "#".repeat(12), ".".repeat(12)));
        assert_eq!(line("events", 3, 2), format!("events [{}] 3/2", "#".repeat(24)));
        assert_eq!(line("events", 0, 0), format!("events [{}] 0/0", "#".repeat(24)));
    }
}

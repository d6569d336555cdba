//! Says how far a campaign is, on one line of the terminal.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

const OFTEN: Duration = Duration::from_millis(200);
const WIDTH: u64 = 30;

pub struct Progress {
    all: u64,
    begun: Instant,
    said: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    pub fn of(all: u64) -> Self {
        Self { all, begun: Instant::now(), said: None, is_shown: stderr().is_terminal() }
    }

    pub fn count(&mut self, run: u64, failures: usize) {
        if !self.is_shown || run < self.all && self.said.is_some_and(|said| said.elapsed() < OFTEN) {
            return;
        }
        self.said = Some(Instant::now());
        let done = run.saturating_mul(WIDTH).checked_div(self.all).unwrap_or(WIDTH);
        let bar: String = (0..WIDTH).map(|place| if place < done { '#' } else { '.' }).collect();
        let rate = self.rate(run);
        // Whoever does not see it misses nothing.
        let _ = write!(stderr(), "\r[{bar}] {run} of {}, {rate:.0} a second, {failures} failed ", self.all);
    }

    pub fn say(&self, text: &str) {
        let _ = writeln!(stderr(), "{}{text}", if self.is_shown { "\r\u{1b}[K" } else { "" });
    }

    pub fn end(&self) {
        if self.is_shown {
            let _ = writeln!(stderr());
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "it is only shown")]
    fn rate(&self, run: u64) -> f64 {
        run as f64 / self.begun.elapsed().as_secs_f64().max(0.001)
    }
}

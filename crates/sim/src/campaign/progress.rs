//! Says how far a campaign is: on one line of a terminal, or on one of a file now and then.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

const OFTEN: Duration = Duration::from_millis(200);
const SELDOM: Duration = Duration::from_secs(60);
const WIDTH: u64 = 30;

pub struct Progress {
    all: u64,
    begun: Instant,
    said: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    pub fn of(all: u64) -> Self {
        Self { all, begun: Instant::now(), said: None, is_terminal: stderr().is_terminal() }
    }

    pub fn count(&mut self, run: u64, failures: usize) {
        let pause = if self.is_terminal { OFTEN } else { SELDOM };
        if run < self.all && self.said.unwrap_or(self.begun).elapsed() < pause {
            return;
        }
        self.said = Some(Instant::now());
        let done = run.saturating_mul(WIDTH).checked_div(self.all).unwrap_or(WIDTH);
        let bar: String = (0..WIDTH).map(|place| if place < done { '#' } else { '.' }).collect();
        let rate = self.rate(run);
        // Whoever does not see it misses nothing.
        let left = duration(self.all.saturating_sub(run), rate);
        let text =
            format!("[{bar}] {run} of {}, {rate:.1} a second, {left} left, {failures} failed", self.all);
        let _ = match self.is_terminal {
            true => write!(stderr(), "\r{text} "),
            false => writeln!(stderr(), "{text}"),
        };
    }

    pub fn say(&self, text: &str) {
        let _ = writeln!(stderr(), "{}{text}", if self.is_terminal { "\r\u{1b}[K" } else { "" });
    }

    pub fn end(&self) {
        if self.is_terminal {
            let _ = writeln!(stderr());
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "it is only shown")]
    fn rate(&self, run: u64) -> f64 {
        run as f64 / self.begun.elapsed().as_secs_f64().max(0.001)
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is only shown"
)]
fn duration(worlds: u64, rate: f64) -> String {
    let minutes = (worlds as f64 / rate.max(0.001) / 60.0).ceil() as u64;
    if minutes < 120 { format!("{minutes} min") } else { format!("{} h", minutes.div_ceil(60)) }
}

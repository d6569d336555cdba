//! What is written on standard output and standard error: for a person, for a program, or only the answer.

mod asked;
mod diff;
mod paint;
mod spoken;
mod transcript;

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Stdout, Write};

use serde_json::Value;

use super::plain;
use super::seen::{Deed, Seen};
use asked::Asked;
pub use paint::Paint;
pub use transcript::Shows;
use transcript::Transcript;

/// How what happens is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Readable,
    /// One event a line.
    Json,
    /// The last answer alone.
    Quiet,
}

pub struct Screen {
    transcript: Option<Transcript<Stdout>>,
    manner: Manner,
    answer: String,
    asked: Asked,
}

impl Screen {
    pub fn new(manner: Manner, shows: Shows) -> Self {
        let paint = Paint::for_output(io::stdout().is_terminal());
        let transcript = (manner == Manner::Readable).then(|| Transcript::new(io::stdout(), paint, shows));
        Self { transcript, manner, answer: String::new(), asked: Asked::default() }
    }

    /// # Errors
    /// Where nobody reads any more.
    pub fn event(&mut self, event: &Value, seen: &Seen) -> io::Result<()> {
        // What the user has said, and how it goes with the run, may be heard of after the model was asked.
        if !matches!(seen, Seen::User(_) | Seen::Paused | Seen::Interrupted | Seen::Nothing) {
            self.asked.end();
        }
        match seen {
            Seen::Agent(words) => words.text.clone_into(&mut self.answer),
            Seen::Action(action) => {
                if let Deed::Finish { message } = &action.deed {
                    message.clone_into(&mut self.answer);
                }
            }
            _ => {}
        }
        match &mut self.transcript {
            Some(transcript) => transcript.event(seen),
            None if self.manner == Manner::Json => json_line(event),
            None => Ok(()),
        }
    }

    /// # Errors
    /// As [`Screen::event`].
    pub fn piece(&mut self, piece: &Value) -> io::Result<()> {
        let said = self.asked.hear(piece);
        self.transcript.as_mut().map_or(Ok(()), |transcript| transcript.piece(piece))?;
        if let Some(said) = said {
            notice(&said);
        }
        Ok(())
    }

    /// Returns when nothing was said for so long that it is to be told. Dropping the call loses nothing.
    pub async fn silent(&self) {
        match self.asked.tells_at() {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    pub fn tell_silence(&mut self) {
        if let Some(why) = self.asked.tell() {
            notice(&why);
        }
    }

    /// Why nothing is said, where that is known.
    pub fn why_silent(&self) -> Option<String> {
        self.asked.why()
    }

    /// The last answer, where that is all that is wanted.
    ///
    /// # Errors
    /// As [`Screen::event`].
    pub fn end(&self) -> io::Result<()> {
        match self.manner {
            Manner::Quiet if !self.answer.is_empty() => {
                writeln!(io::stdout(), "{}", plain::block(self.answer.trim_end()))
            }
            _ => Ok(()),
        }
    }
}

/// # Errors
/// Where nobody reads any more.
pub fn json_line(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", inert(&value.to_string()))?;
    out.flush()
}

/// Says something beside what was asked for.
pub fn notice(text: &str) {
    let paint = Paint::for_output(io::stderr().is_terminal());
    // Nobody may look any more.
    let _ = writeln!(io::stderr(), "{}", paint.dim(&plain::line(text)));
}

/// JSON that a terminal does not obey: what serializing leaves of such characters stands in texts, where it may be escaped.
fn inert(json: &str) -> String {
    let is_obeyed = |c: char| c.is_control() || plain::turns_direction(c);
    if !json.contains(is_obeyed) {
        return json.to_owned();
    }
    let mut inert = String::with_capacity(json.len());
    for c in json.chars() {
        match is_obeyed(c) {
            // Writing to a text does not fail.
            true => drop(write!(inert, "\\u{:04x}", u32::from(c))),
            false => inert.push(c),
        }
    }
    inert
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_of_json_is_the_same_value_and_nothing_that_a_terminal_obeys() {
        let value = json!({"a": "x\u{9b}2J\u{7f}\u{202e}\u{1b}[0m", "b": "ä"});
        let line = inert(&value.to_string());
        assert!(!line.contains(char::is_control) && !line.contains('\u{202e}'), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
    }
}

//! What came of it, for whoever gave the command: counts of each kind, and by its name whatever was left out.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::anyhow;
use control::Refusal;

/// Lines that are told; of more there is only the number.
const MOST_TOLD: usize = 1_000;

#[derive(Debug, Default)]
pub struct Report {
    counts: BTreeMap<&'static str, Counts>,
    told: Vec<String>,
    untold: usize,
    left_out: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    moved: usize,
    there: usize,
    left_out: usize,
}

impl Report {
    pub fn moved(&mut self, kind: &'static str) {
        self.counts.entry(kind).or_default().moved += 1;
    }

    /// It was there before, and stays as it is.
    pub fn there(&mut self, kind: &'static str) {
        self.counts.entry(kind).or_default().there += 1;
    }

    pub fn left_out(&mut self, kind: &'static str, name: &str, why: impl std::fmt::Display) {
        self.counts.entry(kind).or_default().left_out += 1;
        self.left_out += 1;
        self.tell(format!("left out: {name}: {why}"));
    }

    /// What the store does not take: that thing is left out, unless the store takes nothing at all.
    ///
    /// # Errors
    /// It does not.
    pub fn refused(&mut self, kind: &'static str, name: &str, refusal: &Refusal) -> anyhow::Result<()> {
        if matches!(refusal, Refusal::Fault(_) | Refusal::Damaged | Refusal::WrongKey) {
            return Err(over(refusal));
        }
        self.left_out(kind, name, over(refusal));
        Ok(())
    }

    /// Something about a thing that was moved.
    pub fn note(&mut self, name: &str, what: impl std::fmt::Display) {
        self.tell(format!("note: {name}: {what}"));
    }

    fn tell(&mut self, line: String) {
        if self.told.len() < MOST_TOLD {
            // Names of files may hold anything.
            self.told.push(line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect());
        } else {
            self.untold += 1;
        }
    }

    /// Whoever would read it may be gone: everything was moved all the same.
    pub fn print(&self) {
        let _ = self.tell_all(&mut io::stderr().lock());
        let _ = self.count_all(&mut io::stdout().lock());
    }

    fn tell_all(&self, to: &mut impl Write) -> io::Result<()> {
        for line in &self.told {
            writeln!(to, "{line}")?;
        }
        if self.untold > 0 {
            writeln!(to, "and {} more", self.untold)?;
        }
        Ok(())
    }

    fn count_all(&self, to: &mut impl Write) -> io::Result<()> {
        for (kind, Counts { moved, there, left_out }) in &self.counts {
            writeln!(to, "{kind}: {moved} moved, {there} there already, {left_out} left out")?;
        }
        Ok(())
    }

    /// Whether everything is where it should be.
    pub fn status(&self) -> ExitCode {
        if self.left_out == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// What keeps everything from being moved, in words.
pub fn over(refusal: &Refusal) -> anyhow::Error {
    match refusal {
        Refusal::Fault(fault) => anyhow!("the store: {fault}"),
        Refusal::Damaged => anyhow!("what is kept here cannot be read, and stays as it is"),
        Refusal::WrongKey => {
            anyhow!("what is kept here was sealed with another key: is OH_SECRET_KEY the right one?")
        }
        Refusal::TooLarge(why) => anyhow!("{why}"),
        Refusal::Missing(why) | Refusal::Taken(why) | Refusal::Bad(why) | Refusal::Unfit(why) => {
            anyhow!("{why}")
        }
        Refusal::Troubles { .. } | Refusal::Coded { .. } => anyhow!("it does not fit"),
    }
}

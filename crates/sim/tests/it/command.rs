//! The simulator as a command.
#![cfg(feature = "mutants")]

use std::process::Command;

/// Whether it is content, and what it says.
pub fn sim(arguments: &[&str]) -> (bool, String) {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_sim"));
    let output = sim.args(arguments).env("RUST_LOG", "off").output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    (output.status.success(), said.concat())
}

/// The scenario and the seed of the first that fails.
pub fn first_failure(said: &str) -> Option<(String, String)> {
    let (before, _) = said.split_once(" fails:")?;
    let (seed, scenario) = before.rsplit_once("seed ")?.1.split_once(" of ")?;
    Some((scenario.to_owned(), seed.to_owned()))
}

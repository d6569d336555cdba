//! Leaving a test out where this machine cannot run it, which has to be asked for.

use std::env;
use std::fs::File;
use std::io::Write;

/// Ends the caller's test as left out, if `MANYHANDS_MAY_SKIP=1` allows that; `./test` prints the reason at its end.
///
/// # Panics
/// Without that permission: what did not run has proved nothing.
pub fn may_skip(test: &str, reason: &str) {
    assert!(
        env::var("MANYHANDS_MAY_SKIP").is_ok_and(|value| value == "1"),
        "{test} cannot run here: {reason}. MANYHANDS_MAY_SKIP=1 leaves it out",
    );
    left_out(test, reason);
}

/// Says so, also in the list that `./test` prints at its end.
///
/// # Panics
/// If that list cannot be written.
pub fn left_out(test: &str, reason: &str) {
    println!("left out: {test}: {reason}");
    if let Ok(list) = env::var("MANYHANDS_LEFT_OUT") {
        let mut list =
            File::options().append(true).create(true).open(list).expect("the list of what is left out");
        writeln!(list, "{test}: {reason}").expect("a line in the list of what is left out");
    }
}

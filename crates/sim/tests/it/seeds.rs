//! Nothing that is promised is broken in the worlds of the first seeds, whatever goes wrong there.

use std::process::Command;

#[test]
fn what_is_promised_of_a_log_holds_in_the_worlds_of_two_thousand_seeds() {
    holds("writers", "2000");
}

#[test]
fn what_stores_answer_was_so_in_the_worlds_of_two_thousand_seeds() {
    holds("stores", "2000");
}

#[test]
fn indexes_say_what_is_stored_in_the_worlds_of_a_thousand_seeds() {
    holds("index", "1000");
}

/// Of each of them a debug build needs a second; a release build runs as many as one likes.
#[test]
fn what_is_promised_of_a_cluster_holds_in_the_worlds_of_a_hundred_seeds() {
    holds("cluster", "100");
}

fn holds(scenario: &str, seeds: &str) {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_sim"));
    let output = sim.args(["--scenario", scenario, "--seeds", seeds]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("{seeds} worlds, 0 failed")), "{said}");
}

#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    for line in include_str!("../../corpus.txt").lines().filter(|line| !line.starts_with('#')) {
        let (scenario, seed) = line.split_once(' ').unwrap();
        let mut sim = Command::new(env!("CARGO_BIN_EXE_sim"));
        let output =
            sim.args(["--scenario", scenario, "--seed", seed]).env("RUST_LOG", "off").output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

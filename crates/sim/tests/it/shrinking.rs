//! Of a seed that fails the faults are left out that it does not need, and what is printed runs it again.
#![cfg(feature = "mutants")]

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_sim"));
    sim.args(arguments).env("RUST_LOG", "off").output().unwrap()
}

#[test]
fn a_failing_seed_is_printed_with_the_faults_that_it_needs_and_fails_again_with_them() {
    let seed = ["--scenario", "writers", "--seed", "12", "--mutant", "AdoptedTail"];
    let output = sim(&[&seed[..], &["--shrink"]].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    let (counts, command) = said.trim().split_once(" faults are enough: ").unwrap();
    let (kept, all) = counts.split_once(" of ").unwrap();
    assert!(kept.parse::<usize>().unwrap() < all.parse().unwrap(), "{said}");

    let (_, printed) = command.split_once(" -- ").unwrap();
    let printed: Vec<&str> = printed.split(' ').collect();
    assert!(!sim(&printed).status.success(), "{command}");

    // Each that is left is needed.
    let left_out = printed.last().unwrap();
    for fault in 0..all.parse::<usize>().unwrap() {
        if left_out.split(',').any(|other| other == fault.to_string()) {
            continue;
        }
        let more = format!("{left_out},{fault}");
        assert!(sim(&[&seed[..], &["--without", &more]].concat()).status.success(), "not needed: {fault}");
    }
}

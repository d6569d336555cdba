//! Each defect that is built in is found by the first seeds.
#![cfg(feature = "mutants")]

use std::process::Command;

use ports::mutants::Mutant;

#[test]
fn every_mutant_is_found_by_the_first_seeds() {
    let mut unseen = Vec::new();
    for mutant in Mutant::ALL {
        let mut sim = Command::new(env!("CARGO_BIN_EXE_sim"));
        let output =
            sim.args(["--first", "--seeds", "200", "--mutant", &format!("{mutant:?}")]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        println!("{mutant:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
        if output.status.success() {
            unseen.push(mutant);
        }
    }
    assert!(unseen.is_empty(), "not found: {unseen:?}");
}

//! Each defect that is built in is found by the first seeds.
#![cfg(feature = "mutants")]

use std::process::Command;

use ports::mutants::Mutant;

#[test]
fn every_mutant_is_found_by_the_first_seeds() {
    let mut unseen = Vec::new();
    for mutant in Mutant::ALL {
        let name = format!("{mutant:?}");
        let (_, said) = sim(&["--first", "--seeds", "200", "--mutant", &name]);
        println!("{name}: {said}");
        let Some((scenario, seed)) = first_failure(&said) else {
            unseen.push(mutant);
            continue;
        };
        let (is_well, said) = sim(&["--scenario", &scenario, "--seed", &seed]);
        assert!(is_well, "it is not {name} that fails: {said}");
    }
    assert!(unseen.is_empty(), "not found: {unseen:?}");
}

fn sim(arguments: &[&str]) -> (bool, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).env("RUST_LOG", "off").output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    (output.status.success(), said.concat())
}

/// By its scenario and its seed.
fn first_failure(said: &str) -> Option<(String, String)> {
    let (before, _) = said.split_once(" fails:")?;
    let (seed, scenario) = before.rsplit_once("seed ")?.1.split_once(" of ")?;
    Some((scenario.to_owned(), seed.to_owned()))
}

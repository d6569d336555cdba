//! Each defect that is built in is found by the first seeds.
#![cfg(feature = "mutants")]

use ports::mutants::Mutant;

use crate::command::{first_failure, sim};

/// Those that have to be found, each with the scenario and the seed by which it was when this was written: there the search
/// begins. Who takes one out takes out a rule that worlds try.
const ALL: [(&str, &str, u32); 17] = [
    ("UnfencedWriter", "writers", 1),
    ("DroppedAnswer", "cluster", 1),
    ("AskedAgain", "cluster", 1),
    ("AdoptedTail", "writers", 1),
    ("OldFailure", "cluster", 1),
    ("RunsFirst", "cluster", 1),
    ("LostWithoutDeputies", "cluster", 1),
    ("ChargedTries", "cluster", 1),
    ("ForeignEpochs", "cluster", 1),
    ("LastOfAny", "cluster", 1),
    ("EmptyPage", "cluster", 1),
    ("FreedKey", "cluster", 1),
    ("PauseIgnoresCalls", "cluster", 1),
    ("IndexByName", "cluster", 1),
    ("AdoptBeforeInsert", "cluster", 1),
    ("DeletionAgainstCreation", "cluster", 1),
    ("EndlessRoom", "cluster", 1),
];

#[test]
fn every_mutant_is_found_by_the_first_seeds() {
    assert_eq!(ALL.map(|(name, ..)| name.to_owned()), Mutant::ALL.map(|mutant| format!("{mutant:?}")));
    let mut unseen = Vec::new();
    for (name, scenario, from) in ALL {
        let known = ["--scenario", scenario, "--from", &from.to_string(), "--seeds", "20"];
        let found = search(name, &known).or_else(|| search(name, &["--seeds", "500"]));
        let Some((scenario, seed)) = found else {
            unseen.push(name);
            continue;
        };
        let (is_well, said) = sim(&["--scenario", &scenario, "--seed", &seed]);
        assert!(is_well, "it is not {name} that fails: {said}");
    }
    assert!(unseen.is_empty(), "not found: {unseen:?}");
}

fn search(mutant: &str, seeds: &[&str]) -> Option<(String, String)> {
    let (_, said) = sim(&[&["--first", "--mutant", mutant], seeds].concat());
    println!("{mutant}: {said}");
    first_failure(&said)
}

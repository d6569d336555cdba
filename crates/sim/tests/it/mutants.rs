//! Each defect that is built in is found by the first seeds.
#![cfg(feature = "mutants")]

use ports::mutants::Mutant;

use crate::command::{first_failure, sim};

#[test]
fn every_mutant_is_found_by_the_first_seeds() {
    let mut unseen = Vec::new();
    for mutant in Mutant::ALL {
        let name = format!("{mutant:?}");
        let (_, said) = sim(&["--first", "--seeds", "500", "--mutant", &name]);
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

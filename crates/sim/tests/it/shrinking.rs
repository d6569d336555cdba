//! Of a seed that fails the faults are left out that it does not need, and what is printed runs it again.
#![cfg(feature = "mutants")]

use crate::command::{first_failure, sim};

#[test]
fn a_failing_seed_is_printed_with_the_faults_that_it_needs_and_fails_again_with_them() {
    let defect = ["--scenario", "writers", "--mutant", "AdoptedTail"];
    let (_, said) = sim(&[&defect[..], &["--first", "--seeds", "200"]].concat());
    let (_, number) = first_failure(&said).expect("one of them fails");
    let seed = [&defect[..], &["--seed", &number]].concat();
    let (_, said) = sim(&[&seed[..], &["--shrink"]].concat());
    let said =
        said.lines().find(|line| line.contains(" faults are enough: ")).unwrap_or_else(|| panic!("{said}"));
    let (counts, command) = said.trim().split_once(" faults are enough: ").unwrap();
    let (kept, all) = counts.split_once(" of ").unwrap();
    assert!(kept.parse::<usize>().unwrap() < all.parse().unwrap(), "{said}");

    let (_, printed) = command.split_once(" -- ").unwrap();
    let printed: Vec<&str> = printed.split(' ').collect();
    assert!(!sim(&printed).0, "{command}");

    // Each that is left is needed.
    let left_out = printed.last().unwrap();
    for fault in 0..all.parse::<usize>().unwrap() {
        if left_out.split(',').any(|other| other == fault.to_string()) {
            continue;
        }
        let more = format!("{left_out},{fault}");
        assert!(sim(&[&seed[..], &["--without", &more]].concat()).0, "not needed: {fault}");
    }
}

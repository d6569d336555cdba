//! A seed that is run again is the same world again.

use std::process::Command;

use clap::ValueEnum;
use manyhands_sim::scenarios::Scenario;

#[test]
fn a_seed_is_one_world_however_often_it_is_run() {
    for scenario in Scenario::value_variants() {
        for seed in 1..4 {
            let seed = format!("--seed={seed}");
            let run = || {
                let mut sim = Command::new(env!("CARGO_BIN_EXE_sim"));
                let output = sim
                    .args(["--scenario", &scenario.name(), &seed])
                    .env("RUST_LOG", "off")
                    .output()
                    .unwrap();
                String::from_utf8(output.stdout).unwrap()
            };
            let (once, again) = (run(), run());
            assert!(once.contains("trace"), "{once}");
            assert_eq!(once, again);
        }
    }
}

//! Nothing that is promised is broken in the worlds of the first seeds, whatever goes wrong there.

use std::process::Command;

#[test]
fn what_is_promised_holds_in_the_worlds_of_two_thousand_seeds() {
    let mut sim = Command::new(env!("CARGO_BIN_EXE_sim"));
    let output = sim.args(["--seeds", "2000"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

//! Tests in which the modes of files count, which root passes over.

use std::env;
use std::process::Command;

use rustix::process::geteuid;

use crate::may_skip;

/// Runs an ignored test of the caller's binary in a process of its own. Root may do all, so it does this without that right.
///
/// # Panics
/// When the test fails.
pub fn passes_unprivileged(test: &str) {
    let binary = env::current_exe().expect("the binary of the tests");
    let mut command = Command::new(&binary);
    if geteuid().is_root() {
        command = Command::new("setpriv");
        command.args([
            "--bounding-set=-dac_override,-dac_read_search",
            "--inh-caps=-dac_override,-dac_read_search",
            "--",
        ]);
        command.arg(&binary);
    }
    match command.args(["--ignored", "--exact", test]).status() {
        Ok(status) => assert!(status.success(), "{test} fails"),
        Err(_) => may_skip(test, "there is no setpriv here"),
    }
}

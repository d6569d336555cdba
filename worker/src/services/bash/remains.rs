//! What commands leave running when their worker is killed. A worker that ends in order kills them itself.
//!
//! Commands are known by a variable that they and their children inherit: it is there from the first instruction on,
//! needs no record that could be late, and cannot become somebody else's as a process' number can.

use std::collections::BTreeSet;

use rustix::process::{Signal, getpgid, getpgrp, kill_process_group};
use tools::offspring;

/// The variable that names the command of a process.
pub(super) const MARK: &str = "MANYHANDS_COMMAND";
/// Processes that begin while others are killed are looked for so often.
const ROUNDS: usize = 5;

/// Kills the processes of `commands`, with the groups they are in.
pub(super) fn kill(commands: &BTreeSet<String>) {
    for _ in 0..ROUNDS {
        let mut is_over = true;
        for process in offspring::marked(MARK, |id| commands.contains(id)) {
            is_over = false;
            let group = getpgid(Some(process.pid()));
            process.kill();
            if let Ok(group) = group
                && group != getpgrp()
            {
                // What has ended meanwhile needs no killing.
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
        if is_over {
            return;
        }
    }
}

//! What commands leave running when their worker is killed. A worker that ends in order kills them itself.
//!
//! Commands are known by a variable that they and their children inherit: it is there from the first instruction on,
//! needs no record that could be late, and cannot become somebody else's as a process' number can.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::{Pid, Signal, getpgid, getpgrp, kill_process, kill_process_group};

/// The variable that names the command of a process.
pub(super) const MARK: &str = "MANYHANDS_COMMAND";
/// Processes that begin while others are killed are looked for so often.
const ROUNDS: usize = 5;

/// Kills the processes of `commands`, with the groups they are in.
pub(super) fn kill(commands: &BTreeSet<String>) {
    for _ in 0..ROUNDS {
        let processes = processes_of(commands);
        if processes.is_empty() {
            return;
        }
        for process in processes {
            // What has ended meanwhile needs no killing.
            let _ = kill_process(process, Signal::KILL);
            if let Ok(group) = getpgid(Some(process))
                && group != getpgrp()
            {
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
    }
}

fn processes_of(commands: &BTreeSet<String>) -> Vec<Pid> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let names = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    names.filter_map(Pid::from_raw).filter(|process| is_of(*process, commands)).collect()
}

fn is_of(process: Pid, commands: &BTreeSet<String>) -> bool {
    // Of another user, or gone: a process that has ended and waits for its parent has no environment.
    let Ok(environment) = fs::read(format!("/proc/{}/environ", process.as_raw_nonzero())) else {
        return false;
    };
    environment.split(|byte| *byte == 0).any(|variable| {
        let command = variable.strip_prefix(MARK.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        command.and_then(|command| str::from_utf8(command).ok()).is_some_and(|id| commands.contains(id))
    })
}

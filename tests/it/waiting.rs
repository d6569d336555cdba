//! Parts of a cluster that wait for others end when they are told to.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testing::nats::Nats;
use testing::process::Process;

/// Much less than a gateway is waited for.
const PROMPT: Duration = Duration::from_secs(10);

#[test]
fn a_supervisor_that_waits_for_a_gateway_ends_when_it_is_told_to() {
    let (nats, folder) = (Nats::launch(""), tempfile::tempdir().unwrap());
    let mut supervisor = Command::new(env!("CARGO_BIN_EXE_manyhands"))
        .arg("supervisor")
        .current_dir(&folder)
        .env("OH_NATS_URL", nats.url())
        .env("OH_SANDBOX_DRIVER", "process")
        .env("LOG_LEVEL", "info")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(supervisor.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("waiting for the storage")), "it does not wait");
    std::thread::spawn(move || lines.for_each(drop));
    let (mut supervisor, told) = (Process::of(supervisor), Instant::now());
    supervisor.end(Signal::TERM, PROMPT);
    assert!(told.elapsed() < PROMPT, "it went on waiting");
}

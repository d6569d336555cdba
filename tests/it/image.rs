//! What a worker asks of the image that it is started in.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

#[test]
fn a_worker_without_bash_says_so_before_it_serves_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = Command::new(env!("CARGO_BIN_EXE_manyhands"))
        .arg("worker")
        .env("PATH", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let spec = json!({"sandbox": "a", "epoch": 1, "nats_urls": ["nats://127.0.0.1:1"], "credentials": null,
        "project_dir": folder.path(), "state_dir": folder.path(), "max_concurrent_runs": 1});
    worker.stdin.take().unwrap().write_all(format!("{spec}\n").as_bytes()).unwrap();
    let ended = worker.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    let told = types::placement::told_to_clients(&said).unwrap_or_default();
    assert!(!ended.status.success() && told.contains("has no bash"), "{said}");
}

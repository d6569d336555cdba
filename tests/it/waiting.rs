//! Parts of a cluster wait for others that are not there, and end meanwhile when they are told to.

use std::io::{BufRead, BufReader};
use std::process::{ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testing::client::Client;
use testing::eventually;
use testing::nats::Nats;
use testing::process::Process;
use testing::server::Start;

/// Much less than a gateway is waited for.
const PROMPT: Duration = Duration::from_secs(10);

#[test]
fn who_waits_for_nats_ends_when_it_is_told_to() {
    for role in ["gateway", "supervisor"] {
        let folder = tempfile::tempdir().unwrap();
        let mut part = Command::new(env!("CARGO_BIN_EXE_manyhands"))
            .arg(role)
            .current_dir(&folder)
            .env("OH_NATS_URL", "nats://127.0.0.1:1")
            .env("OH_SECRET_KEY", "k")
            .env("OH_SANDBOX_DRIVER", "process")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = part.stderr.take().unwrap();
        says(output, "no NATS server answers yet");
        ends(Process::of(part));
    }
}

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
    let output = supervisor.stderr.take().unwrap();
    says(output, "waiting for the storage");
    ends(Process::of(supervisor));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_that_finds_no_container_service_waits_for_it_and_ends_when_it_is_told_to() {
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands"));
    let cluster = start.start_cluster();
    let engine = start.folder().join("docker.sock");
    let mut supervisor = cluster
        .command()
        .arg("supervisor")
        .env("OH_SANDBOX_DRIVER", "docker")
        .env("OH_CONVERSATION_IMAGE", "none")
        .env("DOCKER_HOST", format!("unix://{}", engine.display()))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = supervisor.stderr.take().unwrap();
    tokio::task::spawn_blocking(move || {
        says(output, "waiting for the container service");
        ends(Process::of(supervisor));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_loses_nats_while_it_reads_what_is_stored_serves_all_the_same() {
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands"));
    let mut cluster = start.start_cluster();
    for sent in ["SUB mh.pub.kv.CONVERSATIONS", "SUB mh.pub.kv.ALLOCATIONS"] {
        cluster.network.cut_before(sent);
        cluster.restart_gateway(0);
        let client = Client::new(&cluster.gateways[0].url(), None);
        eventually("it is ready", async || {
            let answer = client.request(reqwest::Method::GET, "/ready").send().await;
            answer.is_ok_and(|answer| answer.status().is_success()).then_some(())
        })
        .await;
        assert!(cluster.network.has_cut(), "{sent}");
    }
}

/// Waits until a part says so.
fn says(output: ChildStderr, words: &str) {
    let mut lines = BufReader::new(output).lines();
    assert!(lines.any(|line| line.unwrap().contains(words)), "it does not wait");
    std::thread::spawn(move || lines.for_each(drop));
}

fn ends(mut part: Process) {
    let told = Instant::now();
    part.end(Signal::TERM, PROMPT);
    assert!(told.elapsed() < PROMPT, "it went on waiting");
}

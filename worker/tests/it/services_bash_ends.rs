//! Every command has one end, whoever else writes and whoever is killed meanwhile.

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ports::{Appended, EventLog, Extent, Record, Result};
use testing::process::is_alive;
use types::bash::{BashCommand, BashEvent, BashOutput};
use types::calls::Scope;
use types::time::utc_ago;
use types::{BashScope, LogId, SandboxId, Seq};

use crate::services::{World, eventually};
use crate::support::faulty::{Faults, Faulty};

const ID: &str = "5a502812f4634d7eafd6bc0b11d74ecf";

fn all() -> Scope {
    Scope::default()
}

fn log() -> LogId {
    LogId::bash(&SandboxId::shared(), BashScope::Sandbox)
}

/// What an earlier worker has stored of a command before it ended.
fn begun() -> Bytes {
    let command = BashEvent::BashCommand(BashCommand {
        command: "sleep 1000".into(),
        cwd: None,
        timeout: 5_000,
        id: ID.into(),
        timestamp: utc_ago(Duration::from_secs(60)),
    });
    serde_json::to_vec(&command).unwrap().into()
}

/// A log to which somebody else adds a record just before whatever is appended next.
struct Overtaken {
    inner: Arc<dyn EventLog>,
    record: Arc<Mutex<Option<Bytes>>>,
}

#[async_trait]
impl EventLog for Overtaken {
    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> Result<Appended> {
        let record = self.record.lock().unwrap().take();
        if let Some(record) = record {
            self.inner.append(log, after, vec![record]).await.unwrap();
        }
        self.inner.append(log, after, records).await
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        self.inner.read(log, after, limit).await
    }

    async fn tail(&self, log: &LogId) -> Result<Seq> {
        self.inner.tail(log).await
    }

    async fn extent(&self, log: &LogId) -> Result<Extent> {
        self.inner.extent(log).await
    }

    async fn remove(&self, log: &LogId, extent: Extent) -> Result<()> {
        self.inner.remove(log, extent).await
    }

    async fn truncate_before(&self, log: &LogId, first_kept: Seq) -> Result<()> {
        self.inner.truncate_before(log, first_kept).await
    }

    async fn bash_logs(&self, sandbox: &SandboxId) -> Result<Vec<BashScope>> {
        self.inner.bash_logs(sandbox).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_a_slow_worker_ends_meanwhile_has_that_end_alone() {
    let record = Arc::default();
    let mut world = World::on(|ports| {
        ports.log = Arc::new(Overtaken { inner: Arc::clone(&ports.log), record: Arc::clone(&record) });
    })
    .await;
    world.stop().await;
    world.ports.log.append(&log(), Seq::ZERO, vec![begun()]).await.unwrap();
    let end = BashEvent::BashOutput(BashOutput {
        id: "0c9c1c5d0c8b4e0b8f3b7a4b3f1d2e6a".into(),
        timestamp: utc_ago(Duration::from_secs(1)),
        command_id: ID.into(),
        order: 0,
        exit_code: Some(3),
        stdout: None,
        stderr: None,
    });
    *record.lock().unwrap() = Some(serde_json::to_vec(&end).unwrap().into());

    (world.shutdown, world.tracker) = Default::default();
    world.serve(None).await;
    world.stop_command(ID).await.unwrap();

    let ends: Vec<_> = world.outputs(&all(), ID).await.iter().map(|output| output.exit_code).collect();
    assert_eq!(ends, [Some(3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_an_older_worker_has_stored_late_has_an_end() {
    let record = Arc::default();
    let world = World::on(|ports| {
        ports.log = Arc::new(Overtaken { inner: Arc::clone(&ports.log), record: Arc::clone(&record) });
    })
    .await;
    *record.lock().unwrap() = Some(begun());
    let outputs = world.execute("echo mine", 5).await;
    assert_eq!((outputs.len(), outputs[0].exit_code), (1, Some(0)));
    let ends: Vec<_> = world.ended(&all(), ID).await.iter().map(|output| output.exit_code).collect();
    assert_eq!(ends, [Some(-1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_also_what_an_older_worker_has_stored_late() {
    let world = World::start().await;
    world.execute("true", 5).await;
    let tail = world.ports.log.tail(&log()).await.unwrap();
    world.ports.log.append(&log(), tail, vec![begun()]).await.unwrap();
    world.stop_command(ID).await.unwrap();
    let ends: Vec<_> = world.outputs(&all(), ID).await.iter().map(|output| output.exit_code).collect();
    assert_eq!(ends, [Some(-1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_has_left_in_the_background_ends_when_the_worker_after_a_killed_one_starts() {
    let mut world = World::start().await;
    let outputs = world.execute("setsid sleep 1000 >/dev/null 2>&1 & echo $!", 5).await;
    let left = outputs[0].stdout.clone().unwrap();
    // Its worker ends nothing more, as if it were killed.
    world.stop().await;
    assert!(is_alive(&left));
    (world.shutdown, world.tracker) = Default::default();
    world.serve(None).await;
    eventually(async || (!is_alive(&left)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_command_runs_once_it_is_said_to_have_been_cut_off() {
    let faults = Arc::new(Faults::default());
    let mut world = World::on(|ports| {
        ports.log = Arc::new(Faulty { inner: Arc::clone(&ports.log), faults: Arc::clone(&faults) });
    })
    .await;
    world.stop().await;
    let left = std::process::Command::new("/bin/sh")
        .args(["-c", "sleep 1000; true"])
        .env("MANYHANDS_COMMAND", ID)
        .spawn();
    let mut left = left.unwrap();
    world.ports.log.append(&log(), Seq::ZERO, vec![begun()]).await.unwrap();
    // As if the worker were killed when it is about to say so.
    *faults.forbidden.lock().unwrap() = Some("The server ended before");

    (world.shutdown, world.tracker) = Default::default();
    world.serve(None).await;

    let ended = eventually(async || left.try_wait().unwrap()).await;
    assert_eq!(ended.signal(), Some(9));
    eventually(async || (faults.refused.load(Ordering::SeqCst) > 0).then_some(())).await;
    *faults.forbidden.lock().unwrap() = None;
    world.stop_command(ID).await.unwrap();
    let ends: Vec<_> = world.outputs(&all(), ID).await.iter().map(|output| output.exit_code).collect();
    assert_eq!(ends, [Some(-1)], "what could not be said is said as soon as it can be");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_output_is_refused_has_one_end_whenever_that_is_known() {
    let faults = Arc::new(Faults::default());
    let world = World::on(|ports| {
        ports.log = Arc::new(Faulty { inner: Arc::clone(&ports.log), faults: Arc::clone(&faults) });
    })
    .await;
    let waits = |file: &str| format!("until [ -e {file} ]; do sleep 0.01; done");
    let command = format!("echo $$ > pid; {}; printf 'nev%s' er; {}; exit 5", waits("print"), waits("end"));
    let started = world.start_command(&command, 60).await;
    let pid = eventually(async || {
        std::fs::read_to_string(world.path("pid")).ok().filter(|pid| pid.ends_with('\n'))
    })
    .await;
    *faults.forbidden.lock().unwrap() = Some("never");
    faults.stuck.store(true, Ordering::SeqCst);
    std::fs::write(world.path("print"), "").unwrap();
    eventually(async || (faults.waiting.load(Ordering::SeqCst) > 0).then_some(())).await;
    std::fs::write(world.path("end"), "").unwrap();
    eventually(async || (!is_alive(&pid)).then_some(())).await;
    // Usually the end is handed over by then, and the output is refused behind its back; if not, it is said in its place.
    tokio::time::sleep(Duration::from_millis(500)).await;
    faults.stuck.store(false, Ordering::SeqCst);

    world.stop_command(&started.command.id).await.unwrap();

    let outputs = world.outputs(&all(), &started.command.id).await;
    let ends: Vec<_> = outputs.iter().filter_map(|output| output.exit_code).collect();
    assert!(matches!(ends[..], [5 | -1]), "{outputs:?}");
}

//! Workers as child processes, played by a small shell script.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use manyhands_supervisor::drivers::WorkerSettings;
use manyhands_supervisor::drivers::process::{Config, Processes};
use manyhands_supervisor::{Driver, Found, Instance, InstanceState, Launch, StartError};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;
use types::placement::Credentials;
use types::{Epoch, SandboxId};

const PATIENCE: Duration = Duration::from_secs(10);

/// Says in files what it was started with, then does what the test wants.
const PRELUDE: &str = "#!/bin/sh\nread -r spec\necho \"$spec\" > spec.json\necho \"$1\" > argument\nenv > environment\necho ready > ready\n";

struct World {
    driver: Processes,
    folder: TempDir,
}

fn world(script: &str) -> World {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("worker.sh");
    fs::write(&program, format!("{PRELUDE}{script}\n")).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let driver = Processes::new(Config {
        program,
        root: folder.path().join("sandboxes"),
        environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
        worker: WorkerSettings {
            nats_urls: vec!["nats://127.0.0.1:1".to_owned()],
            bash_retention: Some(Duration::from_secs(3_600)),
            ..Default::default()
        },
    });
    World { driver, folder }
}

impl World {
    fn project(&self) -> PathBuf {
        self.folder.path().join("sandboxes/a/project")
    }

    async fn start(&self) -> Instance {
        let launch = launch();
        self.driver.start(&launch).await.unwrap();
        self.file("ready").await;
        launch.instance
    }

    async fn file(&self, name: &str) -> String {
        let path = self.project().join(name);
        until(async || path.exists()).await;
        fs::read_to_string(path).unwrap()
    }

    async fn state(&self) -> Vec<InstanceState> {
        self.driver.list().await.unwrap().into_iter().map(|found| found.state).collect()
    }
}

fn launch() -> Launch {
    let instance = Instance { sandbox: SandboxId::parse("a").unwrap(), epoch: Epoch(3) };
    let (jwt, seed, inbox_prefix) = ("jwt".to_owned(), "seed".to_owned(), "_INBOX_a_3".to_owned());
    Launch { instance, credentials: Some(Credentials { jwt, seed, inbox_prefix }) }
}

async fn until(condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
}

fn is_alive(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

#[tokio::test]
async fn a_worker_gets_its_spec_on_standard_input_and_nothing_in_its_environment() {
    let world = world("exec sleep 1000");
    let instance = world.start().await;
    let spec: Value = serde_json::from_str(&world.file("spec.json").await).unwrap();
    assert_eq!((&spec["sandbox"], &spec["epoch"]), (&"a".into(), &3.into()));
    assert_eq!(spec["credentials"]["jwt"], "jwt");
    assert_eq!(spec["bash_retention"], 3_600, "how long bash events are kept");
    assert_eq!(spec["project_dir"], world.project().to_str().unwrap());
    assert_eq!(world.file("argument").await, "worker\n");
    let environment = world.file("environment").await;
    assert!(environment.contains("PATH=/usr/bin:/bin"));
    assert!(!environment.contains("jwt") && !environment.contains("CARGO"), "{environment}");
    assert_eq!(world.driver.list().await.unwrap(), [Found { instance, state: InstanceState::Running }]);
}

#[tokio::test]
async fn starting_twice_is_starting_once() {
    let world = world("echo x >> starts; exec sleep 1000");
    let instance = world.start().await;
    world.driver.start(&launch()).await.unwrap();
    assert_eq!(world.state().await, [InstanceState::Running]);
    world.file("starts").await;
    world.driver.stop(&instance, Duration::ZERO).await.unwrap();
    assert_eq!(world.file("starts").await, "x\n");
}

#[tokio::test]
async fn the_end_of_a_worker_is_told_with_its_code_and_last_lines() {
    let world = world("{ seq 1 100; echo broken; } >&2; exit 7");
    let launch = launch();
    world.driver.start(&launch).await.unwrap();
    timeout(PATIENCE, world.driver.changed()).await.unwrap();
    assert_eq!(world.state().await, [InstanceState::Exited { code: Some(7) }]);
    let log = world.driver.log(&launch.instance).await;
    assert!(log.contains("broken") && log.contains("100") && !log.contains("\n50\n"), "{log}");
    world.driver.stop(&launch.instance, Duration::ZERO).await.unwrap();
    assert_eq!(world.state().await, []);
}

/// The most memory that this process has had, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn a_worker_that_ends_no_line_fills_nobodys_memory() {
    const WRITTEN: usize = 100_000_000;
    let world = world(&format!("head -c {WRITTEN} /dev/zero | tr '\\0' x; exit 7"));
    let (launch, before) = (launch(), peak());
    world.driver.start(&launch).await.unwrap();
    until(async || world.state().await == [InstanceState::Exited { code: Some(7) }]).await;
    let (log, grown) = (world.driver.log(&launch.instance).await, peak() - before);
    assert!(log.starts_with('x') && log.len() < WRITTEN / 1_000, "{} bytes are kept", log.len());
    assert!(grown < WRITTEN / 4, "{} MiB", grown >> 20);
}

#[tokio::test]
async fn a_worker_that_is_asked_to_end_may_finish() {
    let world = world("trap 'echo bye > bye; exit 0' TERM\nwhile true; do sleep 0.05; done");
    let instance = world.start().await;
    world.driver.stop(&instance, PATIENCE).await.unwrap();
    assert_eq!(world.file("bye").await, "bye\n");
    assert_eq!(world.state().await, []);
    world.driver.stop(&instance, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_does_not_listen_is_killed_with_all_it_started() {
    let world = world("trap '' TERM\nsleep 1000 &\necho $! > child\nwait\nwait");
    let instance = world.start().await;
    let child = world.file("child").await.trim().to_owned();
    until(async || is_alive(&child)).await;
    world.driver.stop(&instance, Duration::from_millis(100)).await.unwrap();
    until(async || !is_alive(&child)).await;
}

#[tokio::test]
async fn files_survive_a_stop_and_go_when_removed() {
    let world = world("exec sleep 1000");
    let instance = world.start().await;
    fs::write(world.project().join("work"), "of a day").unwrap();
    world.driver.stop(&instance, Duration::ZERO).await.unwrap();
    assert_eq!(world.file("work").await, "of a day");
    world.driver.remove_files(&instance.sandbox).await.unwrap();
    assert!(!world.project().exists());
    world.driver.remove_files(&instance.sandbox).await.unwrap();
}

#[tokio::test]
async fn files_go_however_deep_they_are() {
    let world = world("exec sleep 1000");
    let instance = world.start().await;
    world.driver.stop(&instance, Duration::ZERO).await.unwrap();
    let how = OFlags::PATH | OFlags::DIRECTORY;
    let mut at = openat(CWD, world.project(), how, Mode::empty()).unwrap();
    for _ in 0..3_000 {
        mkdirat(&at, "a", Mode::RWXU).unwrap();
        at = openat(&at, "a", how, Mode::empty()).unwrap();
    }
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(256), ..limit }).unwrap();
    let removed = world.driver.remove_files(&instance.sandbox).await;
    setrlimit(Resource::Nofile, limit).unwrap();
    removed.unwrap();
    assert!(!world.project().exists());
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_failed_start() {
    let world = world("");
    fs::remove_file(world.folder.path().join("worker.sh")).unwrap();
    let refused = world.driver.start(&launch()).await;
    assert!(matches!(refused, Err(StartError::Failed(_))), "{refused:?}");
}

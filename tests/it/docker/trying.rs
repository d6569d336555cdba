//! What `manyhands doctor` finds out about sandboxes by starting one.

use std::io::Write;
use std::process::{Command, Stdio};

use testing::cluster::Cluster;
use testing::containers::Containers;
use testing::server::Start;

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");

/// What it says of the sandbox that it has started.
fn said(start: &Start, cluster: &Cluster, variables: &[(&str, &str)]) -> String {
    let keys = start.folder().join("supervisor-only");
    if !keys.exists() {
        std::fs::create_dir(&keys).unwrap();
        std::os::unix::fs::symlink(start.folder().join("keys/supervisor"), keys.join("supervisor")).unwrap();
    }
    let mut doctor = cluster.command();
    doctor.arg("doctor").env("OH_KEYS_DIR", keys).env("OH_WORKER_BINARY", start.folder().join("worker"));
    doctor.envs(variables.iter().copied());
    let output = doctor.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.lines().find(|line| line.split_whitespace().nth(1) == Some("sandbox")).expect(&said).to_owned()
}

/// Removed when the test ends.
struct Image(String);

impl Image {
    fn make(instruction: &str) -> Self {
        let name = format!("manyhands-trying-test:{}", std::process::id());
        let base = std::env::var("MANYHANDS_TEST_IMAGE").unwrap_or("debian:bookworm-slim".to_owned());
        let mut build = Command::new("docker")
            .args(["build", "--quiet", "--tag", &name, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let recipe = format!("FROM {base}\n{instruction}\n");
        build.stdin.take().unwrap().write_all(recipe.as_bytes()).unwrap();
        assert!(build.wait().unwrap().success());
        Self(name)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["image", "rm", "--force", &self.0]).output();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_starts_a_sandbox_and_says_what_it_misses() {
    let start = Start::new(BINARY);
    let cluster = start.start_cluster_of(Some(Containers::prepare()));
    // Symbols are most of a program that was built for tests, and are copied for long.
    let small = Command::new("strip").arg("-o").arg(start.folder().join("worker")).arg(BINARY).status();
    assert!(small.unwrap().success());
    let fine = said(&start, &cluster, &[]);
    assert!(fine.starts_with("ok"), "{fine}");
    let image = Image::make("ENV PATH=/nowhere");
    let without_bash = said(&start, &cluster, &[("OH_CONVERSATION_IMAGE", &image.0)]);
    assert!(without_bash.starts_with("FAIL") && without_bash.contains("has no bash"), "{without_bash}");
    let without_a_door = said(&start, &cluster, &[("OH_SANDBOX_DOOR", "")]);
    assert!(without_a_door.starts_with("FAIL") && without_a_door.contains("socket"), "{without_a_door}");
    let no_runtime = said(&start, &cluster, &[("OH_SANDBOX_RUNTIME", "no-such-runtime")]);
    assert!(no_runtime.starts_with("FAIL") && no_runtime.contains("--host-uds=open"), "{no_runtime}");
}

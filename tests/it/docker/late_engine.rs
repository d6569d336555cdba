//! The container service is started after the cluster.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::Stdio;

use testing::containers::Containers;
use testing::process::Process;
use testing::server::Start;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_that_was_there_before_the_container_service_works_with_it() {
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands"));
    let cluster = start.start_cluster_of(Some(Containers::prepare()));
    let (socket, engine) = (start.folder().join("docker.sock"), std::env::var("DOCKER_HOST").ok());
    let engine = engine.unwrap_or("unix:///var/run/docker.sock".to_owned());
    let Some(engine) = engine.strip_prefix("unix://") else { panic!("this test needs Docker on a socket") };
    let mut supervisor = cluster
        .command()
        .arg("supervisor")
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        .env("LOG_LEVEL", "info")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(supervisor.stderr.take().unwrap()).lines();
    let _supervisor = Process::of(supervisor);
    let mut says = |words: &str| assert!(lines.any(|line| line.unwrap().contains(words)), "{words:?}");
    says("waiting for the container service");
    symlink(engine, socket).unwrap();
    says("supervising");
}

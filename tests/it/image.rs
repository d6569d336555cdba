//! What a worker asks of the image that it is started in, and how the images of a server start it.

use std::io::{Read, Write};
use std::net::TcpListener;
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

/// The URL of a server of NATS that is too old for a worker.
fn of_another_time() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let info = r#"INFO {"version":"2.9.10","max_payload":1048576,"headers":true,"proto":1}"#;
        socket.write_all(format!("{info}\r\n").as_bytes()).unwrap();
        while socket.read(&mut [0; 4_096]).is_ok_and(|read| read > 0) {
            socket.write_all(b"PONG\r\n").unwrap();
        }
    });
    url
}

/// What an image says of its own programs is not said of the worker.
#[test]
fn the_environment_of_an_image_does_not_reach_the_worker() {
    let folder = tempfile::tempdir().unwrap();
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    collector.set_nonblocking(true).unwrap();
    let mut worker = Command::new(env!("CARGO_BIN_EXE_manyhands"))
        .arg("worker")
        .env("LOG_LEVEL", "its=own[words")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.local_addr().unwrap()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let spec = json!({"sandbox": "a", "epoch": 1, "nats_urls": [of_another_time()], "credentials": null,
        "project_dir": folder.path(), "state_dir": folder.path(), "max_concurrent_runs": 1, "log_level": "info"});
    worker.stdin.take().unwrap().write_all(format!("{spec}\n").as_bytes()).unwrap();
    let ended = worker.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("the server is version 2.9.10"), "it came as far as to ask NATS: {said}");
    assert!(collector.accept().is_err(), "it has sent spans");
}

/// The instructions of a stage that say how its program is started.
fn starting(dockerfile: &str, stage: &str) -> Vec<String> {
    const SAY: [&str; 6] = ["USER", "WORKDIR", "ENV", "EXPOSE", "ENTRYPOINT", "CMD"];
    let path = format!("{}/deploy/{dockerfile}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let begin = format!(" AS {stage}");
    let of_stage =
        text.lines().skip_while(|line| !(line.starts_with("FROM ") && line.ends_with(&begin))).skip(1);
    let of_stage = of_stage.take_while(|line| !line.starts_with("FROM "));
    of_stage.filter(|line| SAY.contains(&line.split(' ').next().unwrap())).map(str::to_owned).collect()
}

/// The list of an instruction.
fn list(starting: &[String], instruction: &str) -> Vec<String> {
    let line = starting.iter().find_map(|line| line.strip_prefix(&format!("{instruction} "))).unwrap();
    serde_json::from_str(line).unwrap()
}

#[test]
fn both_recipes_of_the_servers_image_start_it_alike() {
    let server = starting("Dockerfile", "server");
    assert_eq!(server, starting("Dockerfile.binary", "server"));
    assert_eq!(list(&server, "CMD"), ["--host", "0.0.0.0", "--port", "8000"], "where the peer's listens");
    // Nobody is asked for a key there, unless whoever starts it says so.
    assert!(
        server.iter().any(
            |line| line.starts_with("ENV ") && line.contains("OH_HOST=0.0.0.0 OH_ALLOW_OPEN_SERVER=true")
        )
    );
}

/// As `docker run IMAGE …` starts it.
#[test]
fn the_servers_image_takes_subcommands_as_well_as_flags() {
    let entry = list(&starting("Dockerfile", "server"), "ENTRYPOINT");
    assert_eq!(entry[0], "/usr/local/bin/manyhands");
    let run = |arguments: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_manyhands"));
        command.args(&entry[1..]).args(arguments).current_dir(folder.path()).env("HOME", folder.path());
        command.env("OH_ALLOW_OPEN_SERVER", "true").stdin(Stdio::null()).output().unwrap()
    };
    let said = |arguments: &[&str]| String::from_utf8(run(arguments).stdout).unwrap();
    assert!(said(&["settings"]).starts_with("# Settings\n"));
    assert!(said(&["doctor", "--host", "127.0.0.1", "--port", "0"]).contains("ok   "));
    assert!(said(&["--version"]).starts_with("manyhands "));
    let probed = run(&["probe", "http://127.0.0.1:9"]);
    assert!(!String::from_utf8_lossy(&probed.stderr).contains("Usage"), "{probed:?}");
    // The peer's workspace classes give these, with nothing before them.
    let served = run(&["--host", "0.0.0.0", "--port", "8000", "--help"]);
    assert!(served.status.success(), "{served:?}");
}

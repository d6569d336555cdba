//! With few files that may be open, and somebody who takes all he can: what the server is for goes on.

use std::fs::Permissions;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use testing::client::Client;
use testing::script::{Script, Turn};
use testing::server::Start;

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");
const FILES: usize = 1_024;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_all_connections_stops_neither_the_store_nor_what_is_connected() {
    let own = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: own.maximum, ..own }).unwrap();
    let model = testing::model::Model::start(0, vec![Script::new("[[one]]", vec![Turn::text("done")])]);
    let model = model.await.unwrap();
    let (_folder, program) = limited(FILES);
    let server = Start::new(&program).with_key("a-key").start();
    let work = server.folder().join("work").display().to_string();
    let first = server.client.create(&model.base_url(), &work).await;

    // All there can be, and more each time, without a key and without a word.
    let address = server.url.strip_prefix("http://").unwrap();
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..10 {
        held.extend((0..FILES / 4).filter_map(|_| TcpStream::connect(address).ok()));
        server.client.get_ok("/ready").await;
        server.client.send(&first, "A message.", false).await;
        let more = server.client.create(&model.base_url(), &work).await;
        server.client.get_ok(&format!("/api/conversations/{more}")).await;
        assert_eq!(server.client.printed(None, "echo bash works").await, "bash works\n");
        let newcomer = Client::new(&server.url, Some("a-key"));
        newcomer.get_ok("/ready").await;
        newcomer.get_ok(&format!("/api/conversations/{first}")).await;
    }
    assert!(held.len() > 2 * FILES, "{} connections were made", held.len());
}

#[test]
fn the_doctor_says_how_few_files_may_be_open() {
    for (files, mark) in [(FILES, "warn"), (8_192, "ok  ")] {
        let (folder, program) = limited(files);
        let output = Command::new(program).args(["doctor", "--port", "0"]).current_dir(&folder).output();
        let report = String::from_utf8(output.unwrap().stdout).unwrap();
        let line = report.lines().find(|line| line.contains(" files ")).unwrap();
        assert!(line.starts_with(mark) && line.contains(&files.to_string()), "{line}");
    }
}

/// A program that is the server, with so many files that it may have open, and the folder it is in.
fn limited(files: usize) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("limited");
    std::fs::write(&script, format!("#!/bin/sh\nulimit -n {files}\nexec {BINARY} \"$@\"\n")).unwrap();
    std::fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    let program = script.display().to_string();
    (folder, program)
}

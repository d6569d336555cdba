//! What starts the server that this one replaces also starts this one.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use testing::client::Client;
use testing::server::Start;

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");

#[tokio::test]
async fn each_option_of_the_peer_is_taken_and_one_without_effect_says_why_in_one_line() {
    let start = Start::new(BINARY);
    let mut command = start.command();
    command.args(["--reload", "--import-modules", "a.tools,b", "--extra-python-path", "/x:/y"]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    let url = lines.find_map(|line| Some(line.split_once("url    ")?.1.to_owned())).expect("it starts");
    Client::new(&url, None).get_ok("/health").await;
    process.kill().unwrap();
    process.wait().unwrap();
    let mut said = String::new();
    process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    for option in ["--reload", "--import-modules", "--extra-python-path"] {
        let told = said.lines().filter(|line| line.contains(&format!("{option} has no effect: ")));
        assert_eq!(told.count(), 1, "{option}: {said}");
    }
}

#[test]
fn a_question_for_the_browser_is_answered_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(BINARY).arg("--check-browser").current_dir(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("Browser check failed: "), "{said}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

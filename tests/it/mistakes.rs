//! What whoever starts a program wrongly is told: what was wrong, by the name that they have given it, and what to do.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use testing::server::Start;

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");

/// The status, and what was said on standard error.
fn refused(command: &mut Command) -> (Option<i32>, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn manyhands(start: &Start, words: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(words).current_dir(start.folder());
    command.envs(start.command().get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[tokio::test]
async fn a_port_or_a_folder_that_another_server_has_is_named_with_what_to_do() {
    let start = Start::new(BINARY);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (status, said) = refused(&mut manyhands(&start, &["--port", &port]));
    assert!(status == Some(1) && said.contains("choose another --port"), "{said}");

    let _server = start.start_alone();
    let (status, said) = refused(&mut manyhands(&start, &["--port", "0"]));
    assert!(status == Some(1) && said.contains("in use by process"), "{said}");
    assert!(said.contains("OH_CONVERSATIONS_PATH"), "{said}");
}

#[test]
fn a_setting_that_names_what_is_no_good_ends_the_start_by_its_own_name_and_once() {
    let tokens = Start::new(BINARY)
        .with("OH_JWT_ALGORITHM", "EdDSA")
        .with("OH_JWT_PUBLIC_KEY_FILE", "/nowhere.pem")
        .with("OH_JWT_ISSUER", "i")
        .with("OH_JWT_AUDIENCE", "a");
    let (status, said) = refused(&mut tokens.command());
    assert_eq!(status, Some(64), "{said}");
    assert!(said.contains("OH_JWT_PUBLIC_KEY_FILE cannot be used: the key file /nowhere.pem"), "{said}");
    assert_eq!(said.matches("cannot be read").count(), 1, "{said}");
    let pattern = Start::new(BINARY).with("OH_ALLOW_CORS_ORIGIN_REGEX", "(");
    let (status, said) = refused(&mut pattern.command());
    assert!(status == Some(64) && said.contains("OH_ALLOW_CORS_ORIGIN_REGEX"), "{said}");
}

#[test]
fn a_link_that_nobody_would_read_is_not_made_and_it_is_said_how_to_do_without() {
    let start = Start::new(BINARY).with("OH_SESSION_API_KEYS_0", "k");
    let (status, said) = refused(&mut manyhands(&start, &["--port", "0", "--host", "127.0.0.1", "--ticket"]));
    assert!(status == Some(1) && said.contains("leave it out"), "{said}");
}

#[tokio::test]
async fn who_imports_from_this_servers_own_folder_is_told_what_to_do_instead() {
    let start = Start::new(BINARY);
    let mut server = start.start_alone();
    let work = server.folder().join("w").display().to_string();
    server.client.create("http://127.0.0.1:9/v1", &work).await;
    assert!(server.terminate().success());
    let other = start.folder().join("other/conversations").display().to_string();
    let mut import = manyhands(&start, &["import", "workspace"]);
    let (_, said) = refused(import.env("OH_CONVERSATIONS_PATH", other));
    assert!(said.contains("`manyhands export`"), "{said}");
}

#[test]
fn a_word_that_is_nearly_one_is_answered_with_it() {
    let start = Start::new(BINARY);
    for (wrong, right) in [("--prot", "--port"), ("serv", "serve")] {
        let (status, said) = refused(&mut manyhands(&start, &[wrong]));
        assert!(status == Some(2) && said.contains(&format!("'{right}'")), "{said}");
    }
}

#[test]
#[cfg(feature = "cluster")]
fn a_gateway_says_which_folder_has_no_key_and_that_it_waits_for_nats() {
    let start = Start::new(BINARY);
    let (status, said) = refused(manyhands(&start, &["gateway"]).env("OH_KEYS_DIR", "/nowhere"));
    assert!(status == Some(1) && said.contains("OH_KEYS_DIR names /nowhere"), "{said}");

    let mut gateway = manyhands(&start, &["gateway", "--port", "0"]);
    gateway.env("OH_SECRET_KEY", "k").env("OH_NATS_URL", "nats://127.0.0.1:1").stderr(Stdio::piped());
    let mut gateway = gateway.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(gateway.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let still_waits = gateway.try_wait().unwrap().is_none();
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    assert!(still_waits && line.contains("nats://127.0.0.1:1"), "{line}");
}

//! What no log has, however much is logged.

use std::fs::File;
use std::time::Duration;

use rustix::process::Signal;
use testing::client::Client;
use testing::eventually;
use testing::process::Process;
use testing::server::Start;
use testing::socket::Socket;

const KEY: &str = "the-key-of-this-server";
const WRONG: &str = "a-key-of-another-server";

#[tokio::test]
async fn a_key_in_an_address_is_in_no_log() {
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands")).with_key(KEY).with("LOG_LEVEL", "trace");
    let path = start.folder().join("log");
    let log = File::create(&path).unwrap();
    let mut command = start.command();
    let mut server = Process::start(command.stdout(log.try_clone().unwrap()).stderr(log));
    let logged = || std::fs::read_to_string(&path).unwrap();
    let url = eventually("it says where it listens", async || {
        let (_, rest) = logged().split_once("url    ").map(|(_, rest)| ((), rest.to_owned()))?;
        rest.split_once('\n').map(|(url, _)| url.to_owned())
    })
    .await;

    let sockets = format!("{}/sockets/bash-events?session_api_key=", url.replacen("http", "ws", 1));
    Socket::open(&format!("{sockets}{KEY}")).await;
    Socket::refusal(&format!("{sockets}{WRONG}")).await;
    let client = Client::new(&url, Some(KEY));
    assert_eq!(client.printed(None, "echo works").await, "works\n");
    let stranger = Client::new(&url, None);
    assert_eq!(stranger.get(&format!("/api/bash/bash_events/search?session_api_key={WRONG}")).await.0, 401);
    server.end(Signal::TERM, Duration::from_secs(20));

    let log = logged();
    assert!(log.contains("TRACE") || log.contains("\"trace\""), "nothing was traced: {log}");
    for key in [KEY, WRONG] {
        let line = log.lines().find(|line| line.contains(key));
        assert_eq!(line, None);
    }
}

//! Who started an agent can stop it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use testing::process::{children_of, signal};
use testing::proxy::Proxy;
use testing::script::Turn;
use testing::server::Start;

use super::{BINARY, Ended, User};

fn started(user: &User, arguments: &[&str]) -> Child {
    let mut command = user.with_model(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

async fn ended(process: Child) -> Ended {
    tokio::task::spawn_blocking(move || process.wait_with_output()).await.unwrap().unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_once_it_stops_the_run_and_says_how_to_go_on() {
    let user =
        User::with(vec![Turn::terminal("call_1", "touch begun; exec sleep 1000"), Turn::text("no")]).await;
    let process = started(&user, &["run", "Wait. [[task]]"]);
    let begun = user.work().join("begun");
    testing::until(async || begun.exists()).await;
    let shells = children_of(process.id());
    signal(process.id(), Signal::INT);
    let ended = ended(process).await.with(130);
    assert!(ended.out.contains("(interrupted)") && ended.err.contains("--continue"), "{ended:?}");
    testing::until(async || !shells.iter().any(testing::process::is_alive)).await;
    let listed = user.runs(&["conversations", "--json"]).await.with(0).lines();
    assert_eq!(listed[0]["execution_status"], "paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_twice_it_ends_though_the_server_does_not_answer() {
    let user = User::with(vec![Turn::hang()]).await;
    let server = Start::new(BINARY).start();
    let address = server.url.trim_start_matches("http://").parse().unwrap();
    let proxy = Proxy::to(vec![address]).unwrap();
    let url = format!("http://{}", proxy.address());
    let process = started(&user, &["run", "--server", &url, "Wait. [[task]]"]);
    testing::until(async || user.model.asked() > 0).await;
    proxy.close();
    signal(process.id(), Signal::INT);
    let pid = process.id();
    let ended = tokio::spawn(ended(process));
    testing::until(async || {
        signal(pid, Signal::INT);
        ended.is_finished()
    })
    .await;
    ended.await.unwrap().with(130);
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_twice_it_ends_though_the_server_has_gone() {
    let user = User::with(vec![Turn::hang()]).await;
    let server = Start::new(BINARY).start();
    let process = started(&user, &["run", "--server", &server.url, "Wait. [[task]]"]);
    testing::until(async || user.model.asked() > 0).await;
    drop(server);
    let pid = process.id();
    signal(pid, Signal::INT);
    let ended = tokio::spawn(ended(process));
    testing::until(async || {
        signal(pid, Signal::INT);
        ended.is_finished()
    })
    .await;
    ended.await.unwrap().with(130);
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_while_the_run_is_asked_for_it_leaves_none_behind() {
    let user = User::with(vec![Turn::hang()]).await;
    let server = Start::new(BINARY).start();
    let proxy = Proxy::to(vec![server.url.trim_start_matches("http://").parse().unwrap()]).unwrap();
    // The answers are under way for so long.
    proxy.delay(Duration::from_millis(400));
    let url = format!("http://{}", proxy.address());
    let folder = server.project().display().to_string();
    let process = started(&user, &["run", "--server", &url, "-C", &folder, "Wait. [[task]]"]);
    testing::until(async || user.model.asked() > 0).await;
    signal(process.id(), Signal::INT);
    let ended = ended(process).await.with(130);
    assert!(ended.err.contains(&format!("manyhands run --server {url} --continue ")), "{}", ended.err);
    let id = ended.err.lines().find_map(|line| line.strip_prefix("conversation ")).unwrap();
    assert_eq!(server.client.get_ok(&format!("/api/conversations/{id}")).await["execution_status"], "paused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_which_nobody_reads_any_more_is_stopped() {
    let user = User::with(vec![
        Turn::terminal("call_1", "echo one"),
        Turn::terminal("call_2", "until test -e unread; do sleep 0.05; done; echo two"),
        Turn::hang(),
    ])
    .await;
    let server = Start::new(BINARY).start();
    let folder = user.work().display().to_string();
    let mut process = started(&user, &["run", "--server", &server.url, "-C", &folder, "Wait. [[task]]"]);
    let mut out = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "$ echo one\n");
    drop(out);
    std::fs::write(user.work().join("unread"), "").unwrap();
    let ended = ended(process).await.with(1);
    let id = ended.err.lines().find_map(|line| line.strip_prefix("conversation ")).unwrap();
    server.client.wait_for_status(id, "paused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_does_not_reach_the_server_is_asked_for_again() {
    let user = User::with(vec![Turn::hang()]).await;
    let server = Start::new(BINARY).start();
    let proxy = Proxy::to(vec![server.url.trim_start_matches("http://").parse().unwrap()]).unwrap();
    proxy.cut_before("/interrupt HTTP/1.1");
    let url = format!("http://{}", proxy.address());
    let folder = server.project().display().to_string();
    let process =
        started(&user, &["run", "--server", &url, "-C", &folder, "--timeout", "3", "Wait. [[task]]"]);
    let ended = ended(process).await.with(3);
    assert!(proxy.has_cut(), "{ended:?}");
    let id = ended.err.lines().find_map(|line| line.strip_prefix("conversation ")).unwrap();
    assert_eq!(server.client.get_ok(&format!("/api/conversations/{id}")).await["execution_status"], "paused");
}

//! Conversations are listed, shown, followed and removed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use testing::model::Model;
use testing::script::{Script, Turn};
use testing::server::Start;

use super::{BINARY, User};

#[tokio::test(flavor = "multi_thread")]
async fn all_conversations_are_listed_however_many_and_by_status() {
    let user = User::with(vec![Turn::text("Hi.")]).await;
    let server = Start::new(BINARY).start();
    let folder = server.project().display().to_string();
    let mut made = Vec::new();
    for _ in 0..105 {
        made.push(server.client.create(&user.model.base_url(), &folder).await);
    }
    server.client.send(&made[50], "Hi. [[task]]", true).await;
    server.client.wait_for_status(&made[50], "finished").await;
    let listed = user.runs(&["conversations", "--server", &server.url, "--json"]).await.with(0).lines();
    let mut ids: Vec<&str> = listed.iter().map(|info| info["id"].as_str().unwrap()).collect();
    assert_eq!(ids[0], made[50], "what was changed last comes first");
    ids.sort_unstable();
    made.sort_unstable();
    assert_eq!(ids, made);
    let table = user.runs(&["conversations", "list", "--server", &server.url]).await.with(0);
    assert_eq!(table.out.lines().count(), 106);
    let finished = ["conversations", "--server", &server.url, "--status", "finished"];
    let table = user.runs(&finished).await.with(0);
    assert!(table.out.lines().nth(1).unwrap().contains("finished"), "{}", table.out);
    assert_eq!(table.out.lines().count(), 2);
    for waiting in ["waiting", "waiting_for_confirmation"] {
        let none = user.runs(&["conversations", "--server", &server.url, "--status", waiting]).await.with(0);
        assert_eq!(none.out, "", "as the list itself calls it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_shown_and_removed_by_the_beginning_of_its_id() {
    let user = User::with(vec![Turn::terminal("call_1", "echo hello"), Turn::finish("Done.")]).await;
    user.runs(&["run", "--title", "Greetings", "Say hello. [[task]]"]).await.with(0);
    let listed = user.runs(&["conversations"]).await.with(0);
    let row = listed.out.lines().nth(1).unwrap();
    assert!(row.contains("finished") && row.ends_with("Greetings"), "{row}");
    let id = &row[..8];
    let shown = user.runs(&["conversations", "show", id]).await.with(0);
    assert_eq!(shown.out, "> Say hello. [[task]]\n$ echo hello\nhello\nDone.\n");
    let followed = user.runs(&["conversations", "follow", id]).await.with(0);
    assert_eq!(followed.out, shown.out, "nothing happens where nobody else has it");
    let sent = user.runs(&["conversations", "send", id, "Go on."]).await.with(2);
    assert!(sent.err.contains("--continue"), "{}", sent.err);
    for wrong in ["ffffffff-0", "ffffffff-0000-4000-8000-000000000000"] {
        user.runs(&["conversations", "remove", id, wrong]).await.with(2);
    }
    user.runs(&["conversations", "show", id]).await.with(0);
    user.runs(&["conversations", "rm", id]).await.with(0);
    let gone = user.runs(&["conversations", "show", id]).await.with(2);
    assert!(gone.err.contains("no conversation"), "{}", gone.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_in_a_conversation_is_followed_while_it_happens() {
    let turns = vec![Turn::text("First."), Turn::text("Second.")];
    let user = User::with(Vec::new()).await;
    let model = Model::start(0, vec![Script::new("[[talk]]", turns)]).await.unwrap();
    let server = Start::new(BINARY).start();
    let id = server.client.create(&model.base_url(), &server.project().display().to_string()).await;
    server.client.send(&id, "Begin. [[talk]]", true).await;
    server.client.wait_for_status(&id, "finished").await;
    let mut command = user.command(&["conversations", "follow", &id, "--server", &server.url]);
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut until = |text: &str| assert!(lines.by_ref().any(|line| line == text), "{text}");
    until("> Begin. [[talk]]");
    until("First.");
    user.runs(&["conversations", "send", &id[..8], "Go on.", "--server", &server.url]).await.with(0);
    until("> Go on.");
    until("Second.");
    testing::process::signal(process.id(), rustix::process::Signal::INT);
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_keep_conversations_in_one_place_are_told_of_each_other() {
    let user = User::with(vec![Turn::terminal("call_1", "touch begun; sleep 1000")]).await;
    let mut process = user.with_model(&["run", "Wait. [[task]]"]).stderr(Stdio::null()).spawn().unwrap();
    let begun = user.work().join("begun");
    testing::until(async || begun.exists()).await;
    let refused = user.runs(&["conversations"]).await.with(1);
    assert!(refused.err.contains("--data") && refused.err.contains("--server"), "{}", refused.err);
    let apart = user.home.path().join("apart").display().to_string();
    user.runs(&["conversations", "--data", &apart]).await.with(0);
    testing::process::signal(process.id(), rustix::process::Signal::TERM);
    assert_eq!(process.wait().unwrap().code(), Some(130));
}

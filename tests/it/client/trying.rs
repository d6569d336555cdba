//! `manyhands try`: whether a server works as a whole.

use std::time::Duration;

use testing::client::Client;
use testing::server::Start;

use super::{BINARY, User};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_works_is_found_to_work_and_nothing_of_it_stays() {
    let user = User::with(Vec::new()).await;
    let server = Start::new(BINARY).with_key("session-key").start();
    let mut command = user.command(&["try", "--server", &server.url]);
    command.env("MANYHANDS_KEY", "session-key");
    let tried = super::ended(command).await.with(0);
    assert!(tried.err.contains("it works"), "{tried:?}");
    assert_eq!(server.client.get_ok("/api/conversations/count").await, 0);
    let without_a_key = super::ended(user.command(&["try", "--server", &server.url])).await.with(1);
    assert!(without_a_key.err.contains("401"), "{without_a_key:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_reach_the_script_is_found_not_to_work() {
    let user = User::with(Vec::new()).await;
    let server = Start::new(BINARY).start_alone();
    let began = std::time::Instant::now();
    let words = ["try", "--server", &server.url, "--model-url", "http://127.0.0.1:9/v1", "--timeout", "4"];
    let tried = super::ended(user.command(&words)).await.with(1);
    assert!(tried.err.contains("the model was asked 0 times"), "{tried:?}");
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_eq!(server.client.get_ok("/api/conversations/count").await, 0);
}

/// As on Kubernetes, where the script is a pod.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_refuses_private_addresses_calls_the_host_that_it_was_told_of() {
    let user = User::with(Vec::new()).await;
    let start =
        Start::new(BINARY).with("OH_PRIVATE_ADDRESSES", "refuse").with("OH_PRIVATE_HOSTS_0", "127.0.0.1");
    let cluster = start.start_cluster();
    let tried = super::ended(user.command(&["try", "--server", &cluster.url()])).await.with(0);
    assert!(tried.err.contains("it works"), "{tried:?}");
    let words =
        ["try", "--server", &cluster.url(), "--model-url", "http://localhost:9/v1", "--timeout", "30"];
    let refused = super::ended(user.command(&words)).await.with(1);
    assert!(refused.err.contains("private"), "{refused:?}");
    let client = Client::new(&cluster.url(), None);
    assert_eq!(client.get_ok("/api/conversations/count").await, 0);
}

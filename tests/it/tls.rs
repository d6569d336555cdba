//! A cluster whose parts speak TLS with NATS by a certificate of its own authority, also through the door.

use testing::client::Client;
use testing::process::Process;
use testing::server::Start;

use crate::sdk;

/// Its certificate is for a name, and not for 127.0.0.1.
fn over_tls() -> Start {
    let file = |name: &str| format!("{}/crates/nats/tests/it/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let (certificate, key) = (file("named.pem"), file("named.key"));
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands"));
    start
        .with("OH_NATS_CA_FILE", &file("named-authority.pem"))
        .with_nats(&format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}"))
}

/// For workers that dial a socket.
fn behind_a_door(start: Start) -> (Start, String) {
    let socket = start.folder().join("nats.sock").display().to_string();
    (start.with("OH_WORKER_NATS_URL", &format!("unix://{socket}")), socket)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_behind_a_door_trust_nats_by_the_name_that_the_cluster_has_for_it() {
    let (start, socket) = behind_a_door(over_tls());
    let cluster = start.start_cluster();
    let _door = Process::start(cluster.command().args(["door", "--socket", &socket]));
    let client = Client::new(&cluster.url(), None);
    assert_eq!(client.printed(None, "echo shell").await.trim(), "shell");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quick_start_passes_over_tls() {
    let start = over_tls();
    let cluster = start.start_cluster();
    sdk::passes_on(&cluster.url(), "quick_start", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quick_start_passes_over_tls_and_through_a_door() {
    let (start, socket) = behind_a_door(over_tls());
    let cluster = start.start_cluster();
    let _door = Process::start(cluster.command().args(["door", "--socket", &socket]));
    sdk::passes_on(&cluster.url(), "quick_start", None).await;
}

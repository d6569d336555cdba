//! A cluster whose parts speak TLS with NATS, also through the door.

use testing::client::Client;
use testing::process::Process;
use testing::server::Start;

/// What they dial is 127.0.0.1, which is not what the certificate is for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_behind_a_door_trust_nats_by_the_name_that_the_cluster_has_for_it() {
    let file = |name: &str| format!("{}/crates/nats/tests/it/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands"));
    let socket = start.folder().join("nats.sock");
    let (certificate, key) = (file("named.pem"), file("named.key"));
    let start = start
        .with("OH_NATS_CA_FILE", &file("named-authority.pem"))
        .with("OH_WORKER_NATS_URL", &format!("unix://{}", socket.display()))
        .with_nats(&format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}"));
    let cluster = start.start_cluster();
    let _door = Process::start(cluster.command().arg("door").arg("--socket").arg(&socket));
    let client = Client::new(&cluster.url(), None);
    assert_eq!(client.printed(None, "echo shell").await.trim(), "shell");
}

//! Moving into a cluster, beside its gateways.

use std::process::{Command, Stdio};
use std::time::Duration;

use ports::leader::{Candidate, Timing};
use ports::storage::Sums;
use ports::{Bucket, Ports};
use testing::client::Client;
use testing::cluster::Cluster;
use testing::eventually;
use testing::model::Model;

use types::buckets::{CONVERSATIONS, IMPORT, PROBE, SANDBOXES};
use types::conversation::ConversationRecord;
use types::placement::{Want, Wanted};

use super::{FORKED, KEY, Mover, Told, WAITING, WORKING};

fn import(mover: &Mover, cluster: &Cluster) -> Told {
    Told::of(import_command(mover, cluster).output().unwrap())
}

fn import_command(mover: &Mover, cluster: &Cluster) -> Command {
    let mut command = cluster.command();
    command.arg("import").arg(mover.peer().join("workspace")).arg("--home").arg(mover.peer().join("home"));
    command
}

/// What gateways have of the store.
async fn ports(mover: &Mover, cluster: &Cluster) -> Ports {
    let credentials = credentials::load(&mover.start.folder().join("keys/gateway/credentials.json")).unwrap();
    let options = nats::Options {
        urls: vec![format!("nats://127.0.0.1:{}", cluster.nats.port())],
        credentials: Some(credentials),
        ca: None,
        servers: Vec::new(),
        name: "test".to_owned(),
        inbox: None,
    };
    nats::connect(options).await.unwrap().control().await.unwrap()
}

#[tokio::test]
async fn a_conversation_that_lost_its_sandbox_before_it_was_kept_comes_again() {
    let mover = Mover::new("http://127.0.0.1:9/v1");
    let cluster = mover.start.start_cluster();
    import(&mover, &cluster).whole();
    let ports = ports(&mover, &cluster).await;
    let records = Bucket::<ConversationRecord>::new(&*ports.kv, CONVERSATIONS);
    let record = records.get(&WORKING.replace('-', "")).await.unwrap().unwrap().value;
    // As who has deleted the last conversation in it gives it up, while another is brought there.
    let give_up = |wanted: &mut Option<Wanted>| {
        wanted.as_mut().is_some_and(|wanted| {
            wanted.want = Want::Deleted;
            true
        })
    };
    Bucket::new(&*ports.kv, SANDBOXES).change(record.sandbox.as_str(), give_up).await.unwrap();
    let told = import(&mover, &cluster).whole();
    assert_eq!(told.count("conversations"), (1, 2, 0), "{told:#?}");
    let client = Client::new(&cluster.url(), None);
    for _ in 0..cluster.gateways.len() {
        let path = format!("/api/conversations/{WORKING}/events/count");
        eventually("the conversation", async || (client.get(&path).await.1 == 16).then_some(())).await;
    }
}

#[tokio::test]
async fn one_import_into_a_cluster_goes_on_at_a_time() {
    let mover = Mover::new("http://127.0.0.1:9/v1");
    let cluster = mover.start.start_cluster();
    let ports = ports(&mover, &cluster).await;
    let another = Candidate::new(&ports.kv, (PROBE, IMPORT), "importing", Timing::default());
    let records = Bucket::<ConversationRecord>::new(&*ports.kv, CONVERSATIONS);
    let waiting = another.once(async {
        let mut waiting = import_command(&mover, &cluster).stdout(Stdio::piped()).spawn().unwrap();
        // Alone it takes a part of this.
        tokio::time::sleep(Duration::from_secs(8)).await;
        assert!(waiting.try_wait().unwrap().is_none(), "it does not wait");
        assert!(records.get(&WORKING.replace('-', "")).await.unwrap().is_none());
        waiting
    });
    let waiting = waiting.await.unwrap();
    let told = Told::of(tokio::task::spawn_blocking(|| waiting.wait_with_output().unwrap()).await.unwrap());
    assert_eq!(told.whole().count("conversations"), (3, 0, 0));
}

#[tokio::test]
async fn what_is_moved_into_a_cluster_counts_as_what_its_sandboxes_store() {
    let mover = Mover::new("http://127.0.0.1:9/v1");
    let cluster = mover.start.start_cluster();
    import(&mover, &cluster).whole();
    let ports = ports(&mover, &cluster).await;
    let records = Bucket::<ConversationRecord>::new(&*ports.kv, CONVERSATIONS);
    let sandbox = records.get(&WORKING.replace('-', "")).await.unwrap().unwrap().value.sandbox;
    let counted = Sums::of(&*ports.kv).get(&sandbox).await.unwrap().unwrap_or_default();
    assert!(counted > 0);
}

#[tokio::test]
async fn what_is_moved_into_a_cluster_is_there_on_every_gateway_and_goes_on() {
    let model = Model::start(0, Vec::new()).await.unwrap();
    let mover = Mover::new(&model.base_url());
    let cluster = mover.start.start_cluster();
    let import = || import(&mover, &cluster).whole();
    let told = import();
    assert_eq!((told.count("conversations"), told.count("secrets")), ((3, 0, 0), (2, 0, 0)), "{told:#?}");

    let client = Client::new(&cluster.url(), None);
    // Connections go to the gateways in turns.
    for _ in 0..cluster.gateways.len() {
        for (id, count) in [(WORKING, 16), (WAITING, 9), (FORKED, 16)] {
            let path = format!("/api/conversations/{id}/events/count");
            eventually("the conversation", async || {
                let (status, answer) = client.get(&path).await;
                (status.is_success() && answer == count).then_some(())
            })
            .await;
        }
        let secrets = client.get_ok("/api/settings/secrets").await;
        assert_eq!(secrets["secrets"].as_array().unwrap().len(), 2);
    }
    // With the keys the wrong way round nothing is written, and least of all what the gateways have is sealed anew.
    let mut wrong = import_command(&mover, &cluster);
    wrong.env("OH_SECRET_KEY", "another key").env("OH_PREVIOUS_SECRET_KEYS_0", KEY);
    let told = Told::of(wrong.output().unwrap());
    assert!(!told.is_success && told.errors.contains("OH_PREVIOUS_SECRET_KEYS_0"), "{told:#?}");
    let secret = client.request(reqwest::Method::GET, "/api/settings/secrets/TOKEN_A").send().await.unwrap();
    assert_eq!(secret.text().await.unwrap(), "secret-fixture-a");

    client.send(WORKING, "Go on.", true).await;
    client.wait_for_status(WORKING, "finished").await;
    let told = import();
    assert_eq!((told.count("conversations"), told.count("secrets")), ((0, 3, 0), (0, 2, 0)), "{told:#?}");
}

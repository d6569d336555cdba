//! Moving into a cluster, beside its gateways.

use testing::client::Client;
use testing::eventually;
use testing::model::Model;

use super::{FORKED, Mover, Told, WAITING, WORKING};

#[tokio::test]
async fn what_is_moved_into_a_cluster_is_there_on_every_gateway_and_goes_on() {
    let model = Model::start(0, Vec::new()).await.unwrap();
    let mover = Mover::new(&model.base_url());
    let cluster = mover.start.start_cluster();
    let import = || {
        let mut command = cluster.command();
        command
            .arg("import")
            .arg(mover.peer().join("workspace"))
            .arg("--home")
            .arg(mover.peer().join("home"));
        Told::of(command.output().unwrap()).whole()
    };
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
    client.send(WORKING, "Go on.", true).await;
    client.wait_for_status(WORKING, "finished").await;
    let told = import();
    assert_eq!((told.count("conversations"), told.count("secrets")), ((0, 3, 0), (0, 2, 0)), "{told:#?}");
}

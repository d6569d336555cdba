//! Of several gateways one tells a webhook, and another when that dies.

use testing::client::Client;
use testing::eventually;
use testing::history::id_of;
use testing::receiver::Receiver;
use testing::server::Start;

use super::{BINARY, all_told, begun, finished, infos, model, telling, told, told_first};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_gateways_one_tells_a_webhook_and_another_goes_on_when_that_dies() {
    let (receiver, model) = (Receiver::start().await, model(12).await);
    let start = telling(Start::new(BINARY), &receiver);
    let mut cluster = start.start_cluster();
    let client = Client::new(&cluster.url(), None);
    let work = cluster.workspaces().to_owned();
    let id = finished(&client, &model, &work).await;
    all_told(&client, &receiver, &id).await;
    let stored: Vec<String> = client.events(&id).await.iter().map(id_of).collect();
    let once: Vec<String> = told(&receiver, &id).iter().map(id_of).collect();
    assert_eq!(once, stored, "one of them tells");
    assert_eq!(infos(&receiver, &id).len(), 1);
    for gateway in [0, 1] {
        let id = begun(&client, &model, &work).await;
        eventually("some are told", async || (told(&receiver, &id).len() >= 4).then_some(())).await;
        cluster.restart_gateway(gateway);
        let client = Client::new(&cluster.url(), None);
        // A call of the model may have gone with the gateway.
        eventually("the run is over", async || {
            let info = client.get_ok(&format!("/api/conversations/{id}")).await;
            (info["execution_status"] != "running").then_some(())
        })
        .await;
        testing::within(testing::PATIENCE * 3, "another goes on", async || {
            let all = client.events(&id).await.len();
            (told_first(&receiver, &id).len() >= all).then_some(())
        })
        .await;
        all_told(&client, &receiver, &id).await;
    }
}

//! A cluster whose gateways are away for a while, all of them: nobody takes what workers store, nor renews their leases.

use std::time::Duration;

use testing::client::{Client, conversation};
use testing::model::Model;
use testing::script::{Script, Turn};
use testing::server::Start;
use testing::within;

/// Longer than a worker without a lease is believed to live, and than a new one is waited for.
const AWAY: Duration = Duration::from_secs(30);
/// A call of a model that broke off is made again after pauses that add up to this, and once more.
const AGAIN: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_while_no_gateway_is_there_goes_on_and_no_worker_is_replaced() {
    // Who says nothing for long is not waited for.
    let long =
        format!("for i in $(seq {}); do echo $i; sleep 1; done; echo through $((6 * 7))", AWAY.as_secs() + 5);
    let scripts = vec![
        Script::new("[[tool]]", vec![Turn::terminal("call_1", &long), Turn::text("done")]),
        Script::new("[[model]]", vec![Turn::text("done").after(10_000)]),
    ];
    let model = Model::start(0, scripts).await.unwrap();
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands")).with("OH_SANDBOX_POLICY", "conversation");
    let mut cluster = start.start_cluster();
    let client = Client::new(&cluster.url(), None);
    let mut conversations = Vec::new();
    for marker in ["[[tool]]", "[[model]]"] {
        let folder = cluster.workspaces().join("project").display().to_string();
        let mut body = conversation(&model.base_url(), &folder);
        body["agent"]["llm"]["num_retries"] = 5.into();
        let id = client.post_ok("/api/conversations", &body).await["id"].as_str().unwrap().to_owned();
        client.send(&id, marker, true).await;
        conversations.push(id);
    }
    within(AGAIN, "a command and a call of the model are under way", async || {
        let events = client.events(&conversations[0]).await;
        let acts = events.iter().any(|event| event["kind"] == "ActionEvent");
        (acts && model.requests().len() == 2).then_some(())
    })
    .await;
    let workers = sorted(cluster.workers());

    cluster.gateways.iter_mut().for_each(|gateway| gateway.process.kill());
    tokio::time::sleep(AWAY).await;
    assert_eq!(sorted(cluster.workers()), workers, "nobody was replaced");
    (0..cluster.gateways.len()).for_each(|index| cluster.restart_gateway(index));

    for id in &conversations {
        let path = format!("/api/conversations/{id}");
        within(AGAIN, "it finishes", async || {
            let status = client.get_ok(&path).await["execution_status"].clone();
            assert!(status == "running" || status == "finished", "{id}: {status}");
            (status == "finished").then_some(())
        })
        .await;
        let kinds = ["ConversationErrorEvent", "AgentErrorEvent", "PauseEvent", "InterruptEvent"];
        let events = client.events(id).await;
        let broken = events.iter().find(|event| kinds.iter().any(|kind| event["kind"] == *kind));
        assert!(broken.is_none(), "{broken:?}");
    }
    let said = client.events(&conversations[0]).await;
    assert!(
        said.iter()
            .any(|event| event["kind"] == "ObservationEvent" && event.to_string().contains("through 42"))
    );
    assert_eq!(sorted(cluster.workers()), workers, "nor afterwards");
}

fn sorted(mut processes: Vec<u32>) -> Vec<u32> {
    processes.sort_unstable();
    processes
}

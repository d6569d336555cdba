//! Pods that wait for whoever comes next.

use std::collections::BTreeSet;
use std::sync::Mutex;

use testing::model::Model;
use testing::script::{Script, Turn};
use testing::within;

use super::{NAMESPACE, PODS, SLOWLY, World, world};

impl World {
    /// The sandboxes whose workers run in pods.
    fn sandboxes(&self) -> Vec<String> {
        let pods = self.api.objects(PODS, NAMESPACE);
        let ready = pods.iter().filter(|pod| pod["metadata"]["annotations"]["manyhands.io/told"] == "true");
        ready
            .map(|pod| pod["metadata"]["annotations"]["manyhands.io/sandbox-id"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_takes_the_pod_that_waits_and_another_comes_to_wait() {
    let world = world(&[("OH_WARM_WORKERS", "1"), ("OH_SANDBOX_POLICY", "conversation")]).await;
    let warm = within(SLOWLY, "one waits", async || world.sandboxes().first().cloned()).await;
    let turns = vec![Turn::terminal("call_1", "echo here"), Turn::text("done")];
    let model = Model::start(0, vec![Script::new("[[warm]]", turns)]).await.unwrap();
    let work = world.cluster.workspaces().join("project").display().to_string();
    let used = Mutex::new(BTreeSet::new());
    let taken = within(SLOWLY, "its worker has come", async || {
        // Until it holds its lease a conversation gets a sandbox of its own.
        let id = world.client.create(&model.base_url(), &work).await;
        world.client.send(&id, "[[warm]]", true).await;
        world.finished(&id).await;
        let why = world.client.get_ok(&format!("/api/conversations/{id}/why")).await;
        used.lock().unwrap().insert(why["sandbox"].as_str()?.to_owned());
        (why["sandbox"] == warm.as_str()).then_some(why)
    })
    .await;
    assert_eq!(taken["epoch"], 1, "it was the same pod");
    within(SLOWLY, "another waits", async || {
        let used = used.lock().unwrap();
        world.sandboxes().iter().any(|sandbox| !used.contains(sandbox)).then_some(())
    })
    .await;
}

//! What becomes of pods: places, images, memory, nodes that are lost.

use manyhands_kubernetes_fake::{Node, Pod, Server, Settings};
use serde_json::{Value, json};
use testing::until;

use crate::client::{Client, NAMESPACE, claim, pod, pod_with};

fn condition<'a>(pod: &'a Value, kind: &str) -> &'a Value {
    let conditions = pod["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_pod_for_which_there_is_no_room_waits_with_a_sentence_and_goes_on() {
    let node = Node { memory: "2Gi", ..Node::new("node-1") };
    let client = Client::of(Server::with(Settings { nodes: vec![node], ..Settings::default() }).await);
    let large = |name: &str| {
        let mut pod = pod(name);
        pod["spec"]["containers"][0]["resources"] = json!({ "requests": { "memory": "1500Mi" } });
        pod
    };
    client.post("pods", &large("a")).await;
    until(async || client.get("pods/a").await.1["status"]["phase"] == "Running").await;
    client.post("pods", &large("b")).await;
    until(async || condition(&client.get("pods/b").await.1, "PodScheduled")["reason"] == "Unschedulable")
        .await;
    let (_, waiting) = client.get("pods/b").await;
    let words = condition(&waiting, "PodScheduled")["message"].as_str().unwrap();
    assert!(words.starts_with("0/1 nodes are available: 1 Insufficient memory. preemption: "), "{words}");
    let (_, events) =
        client.get("events?fieldSelector=involvedObject.name%3Db,reason%3DFailedScheduling").await;
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
    client.delete("pods/a", &json!({ "gracePeriodSeconds": 1 })).await;
    until(async || client.get("pods/b").await.1["status"]["phase"] == "Running").await;
}

#[tokio::test]
async fn a_pod_that_is_on_no_node_is_gone_at_once() {
    let client = Client::of(Server::with(Settings { nodes: Vec::new(), ..Settings::default() }).await);
    client.post("pods", &pod("a")).await;
    client.delete("pods/a", &Value::Null).await;
    assert_eq!(client.get("pods/a").await.0, 404);
}

#[tokio::test]
async fn ends_are_said_as_nodes_say_them() {
    let client = Client::new().await;
    client.server.on_pod(async |pod: Pod| {
        pod.running();
        match pod.name() {
            "memory" => pod.ended("OOMKilled", 137),
            "code" => pod.exited(3),
            "evicted" => pod.evicted("The node was low on resource: memory."),
            _ => pod.failed("OutOfcpu", "Pod Node didn't have enough resource: cpu"),
        }
    });
    for (name, pointer, wanted) in [
        ("memory", "/status/containerStatuses/0/state/terminated/reason", "OOMKilled"),
        ("code", "/status/containerStatuses/0/state/terminated/reason", "Error"),
        ("evicted", "/status/reason", "Evicted"),
        ("refused", "/status/reason", "OutOfcpu"),
    ] {
        client.post("pods", &pod(name)).await;
        until(async || client.get(&format!("pods/{name}")).await.1["status"]["phase"] == "Failed").await;
        let (_, pod) = client.get(&format!("pods/{name}")).await;
        assert_eq!(pod.pointer(pointer), Some(&json!(wanted)), "{pod}");
        assert_eq!(client.delete(&format!("pods/{name}"), &Value::Null).await.0, 200);
        assert_eq!(client.get(&format!("pods/{name}")).await.0, 404, "what has ended needs no grace");
    }
}

#[tokio::test]
async fn a_lost_node_is_noticed_and_its_pods_stay_until_somebody_is_certain() {
    let nodes = vec![Node::new("node-1"), Node { labels: vec![("spare", "yes")], ..Node::new("node-2") }];
    let client = Client::of(Server::with(Settings { pace: 400.0, nodes, ..Settings::default() }).await);
    client.post("persistentvolumeclaims", &claim("f")).await;
    client.post("pods", &pod_with("a", "f")).await;
    until(async || client.get("pods/a").await.1["status"]["phase"] == "Running").await;
    client.server.lose_node("node-1");
    until(async || {
        let (_, node) = client.get("/api/v1/nodes/node-1").await;
        condition(&node, "Ready")["status"] == "Unknown"
    })
    .await;
    until(async || client.get("pods/a").await.1["metadata"]["deletionTimestamp"].is_string()).await;
    let (_, lost) = client.get("pods/a").await;
    assert_eq!(lost["status"]["reason"], "NodeLost");
    assert_eq!(lost["status"]["message"], "Node node-1 which was running pod a is unresponsive");
    assert_eq!(condition(&lost, "DisruptionTarget")["reason"], "DeletionByTaintManager");
    let mut next = pod_with("b", "f");
    next["spec"]["nodeSelector"] = json!({ "spare": "yes" });
    client.post("pods", &next).await;
    until(async || {
        let (_, events) =
            client.get("events?fieldSelector=involvedObject.name%3Db,reason%3DFailedAttachVolume").await;
        events["items"][0]["message"]
            .as_str()
            .is_some_and(|words| words.starts_with("Multi-Attach error for volume"))
    })
    .await;
    assert_eq!(client.get("pods/a").await.0, 200, "still there, being deleted");
    assert_eq!(client.server.living(), 2);
    client.server.out_of_service("node-1");
    until(async || client.get("pods/a").await.0 == 404).await;
    until(async || client.get("pods/b").await.1["status"]["phase"] == "Running").await;
}

#[tokio::test]
async fn a_node_that_comes_back_says_what_has_happened() {
    let client = Client::of(Server::with(Settings { pace: 40.0, ..Settings::default() }).await);
    client.server.on_pod(async |pod: Pod| {
        pod.running();
        pod.stdin().unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        pod.exited(0);
    });
    client.post("pods", &pod("a")).await;
    until(async || client.get("pods/a").await.1["status"]["phase"] == "Running").await;
    client.server.lose_node("node-1");
    until(async || client.server.living() == 0).await;
    assert_eq!(client.get("pods/a").await.1["status"]["phase"], "Running", "nobody has heard of its end");
    client.server.return_node("node-1");
    until(async || client.get("pods/a").await.1["status"]["phase"] == "Succeeded").await;
    assert_eq!(client.server.objects(("", "pods"), NAMESPACE).len(), 1);
}

#[tokio::test]
async fn a_claim_for_one_pod_is_for_one_pod() {
    let client = Client::new().await;
    let mut alone = claim("f");
    alone["spec"]["accessModes"] = json!(["ReadWriteOncePod"]);
    client.post("persistentvolumeclaims", &alone).await;
    client.post("pods", &pod_with("a", "f")).await;
    until(async || client.get("pods/a").await.1["status"]["phase"] == "Running").await;
    client.post("pods", &pod_with("b", "f")).await;
    until(async || condition(&client.get("pods/b").await.1, "PodScheduled")["reason"] == "Unschedulable")
        .await;
    client.post("pods", &pod_with("c", "none")).await;
    until(async || {
        let (_, pod) = client.get("pods/c").await;
        condition(&pod, "PodScheduled")["message"]
            == "0/1 nodes are available: persistentvolumeclaim \"none\" not found."
    })
    .await;
}

#[tokio::test]
async fn workloads_make_pods_and_say_how_far_they_are() {
    let client = Client::new().await;
    client.server.on_pod(async |pod: Pod| {
        pod.running();
        if pod.name().starts_with("job-") {
            return pod.exited(0);
        }
        pod.stopping().await;
    });
    let apps = format!("/apis/apps/v1/namespaces/{NAMESPACE}");
    let template = |image: &str| json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": image }] } });
    let spec = |image: &str| json!({ "replicas": 2, "selector": { "matchLabels": { "a": "b" } }, "template": template(image) });
    let (code, _) = client
        .post(&format!("{apps}/deployments"), &json!({ "metadata": { "name": "d" }, "spec": spec("i:1") }))
        .await;
    assert_eq!(code, 201);
    let images = async || -> Vec<String> {
        let (_, pods) = client.get("pods?labelSelector=a%3Db").await;
        let pods = pods["items"].as_array().unwrap().clone();
        pods.iter().map(|pod| pod["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()).collect()
    };
    let done = async || {
        let (_, deployment) = client.get(&format!("{apps}/deployments/d")).await;
        deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"]
            && condition(&deployment, "Progressing")["reason"] == "NewReplicaSetAvailable"
            && deployment["status"]["replicas"] == 2
    };
    until(async || done().await && images().await == ["i:1", "i:1"]).await;
    client
        .patch("merge", &format!("{apps}/deployments/d"), &json!({ "spec": { "template": template("i:2") } }))
        .await;
    until(async || done().await && images().await == ["i:2", "i:2"]).await;
    client.delete(&format!("{apps}/deployments/d"), &Value::Null).await;
    until(async || images().await.is_empty()).await;

    let mut stateful = json!({ "metadata": { "name": "s" }, "spec": spec("i:1") });
    stateful["spec"]["serviceName"] = "s".into();
    stateful["spec"]["volumeClaimTemplates"] =
        json!([{ "metadata": { "name": "data" }, "spec": claim("x")["spec"] }]);
    client.post(&format!("{apps}/statefulsets"), &stateful).await;
    until(async || client.get(&format!("{apps}/statefulsets/s")).await.1["status"]["readyReplicas"] == 2)
        .await;
    assert_eq!(
        client.get("pods/s-1").await.1["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"],
        "data-s-1"
    );
    client
        .patch(
            "merge",
            &format!("{apps}/statefulsets/s"),
            &json!({ "spec": { "template": template("i:2") } }),
        )
        .await;
    until(async || {
        let (_, set) = client.get(&format!("{apps}/statefulsets/s")).await;
        set["status"]["updatedReplicas"] == 2
            && set["status"]["currentRevision"] == set["status"]["updateRevision"]
    })
    .await;
    client.delete(&format!("{apps}/statefulsets/s"), &Value::Null).await;
    until(async || images().await.is_empty()).await;
    assert_eq!(client.get("persistentvolumeclaims/data-s-0").await.0, 200, "claims stay");

    let jobs = format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs");
    let mut job = json!({ "metadata": { "name": "job" }, "spec": { "template": template("i:1") } });
    job["spec"]["template"]["spec"]["restartPolicy"] = "Never".into();
    client.post(&jobs, &job).await;
    until(async || condition(&client.get(&format!("{jobs}/job")).await.1, "Complete")["status"] == "True")
        .await;
}

//! Whatever becomes of a pod or of the API server, conversations go on. What is said meanwhile and how long it takes is printed, as a table
//! for docs/kubernetes.md.

use std::time::{Duration, Instant};

use kubernetes_fake::{Away, Node, Settings};
use serde_json::{Value, json};
use testing::model::Model;
use testing::script::{Script, Turn};
use testing::within;

use super::{Life, NAMESPACE, PODS, World, world, world_with};

/// A lost lease, a lost machine, a start.
const REPLACED: Duration = Duration::from_secs(120);
/// How much faster than here time passes in the cluster: a machine counts as lost after 20 seconds, later than a lease.
const PACE: f64 = 2.0;
/// For how long the API server is away.
const AWAY: Duration = Duration::from_secs(60);
/// Until whoever has lost a pod meanwhile is told: a lost lease, and looks that nobody answers.
const TOLD: Duration = Duration::from_secs(50);

/// A conversation in a pod of its own, which has done something there.
struct Subject<'a> {
    world: &'a World,
    id: String,
    life: Life,
}

/// What was said of the failure first, and after how many seconds the conversation went on.
struct Outcome {
    said: String,
    seconds: f64,
}

async fn model() -> Model {
    let turns = (0..8).flat_map(|number| {
        [
            Turn::terminal(&format!("call_{number}"), "echo more >> kept; echo lines-$(wc -l < kept)"),
            Turn::text("done"),
        ]
    });
    Model::start(0, vec![Script::new("[[faults]]", turns.collect())]).await.unwrap()
}

impl<'a> Subject<'a> {
    async fn of(world: &'a World, model: &Model) -> Self {
        let known: Vec<String> = world.lives.lock().unwrap().keys().cloned().collect();
        let work = world.cluster.workspaces().join(format!("project-{}", known.len()));
        let id = world.client.create(&model.base_url(), &work.display().to_string()).await;
        world.client.send(&id, "[[faults]]", true).await;
        world.finished(&id).await;
        let lives = world.lives.lock().unwrap();
        let life = lives.iter().find(|(name, _)| !known.contains(name)).expect("it has a pod of its own").1;
        let life = life.clone();
        drop(lives);
        Self { world, id, life }
    }

    async fn why(&self) -> Value {
        self.world.client.get_ok(&format!("/api/conversations/{}/why", self.id)).await
    }

    /// Goes on until a command in another pod has seen what is kept.
    async fn goes_on_after(self, happens: impl AsyncFnOnce(&World, &Life)) -> Outcome {
        let (epoch, begun) = (self.why().await["epoch"].as_u64().unwrap(), Instant::now());
        happens(self.world, &self.life).await;
        let mut said = None;
        within(REPLACED, "another worker", async || {
            let why = self.why().await;
            if said.is_none()
                && let Some(failure) = why["failure"].as_object()
            {
                said = Some(format!("`{}`: {}", failure["reason"].as_str()?, failure["message"].as_str()?));
            }
            (why["epoch"].as_u64()? > epoch && why["lease"]["epoch"].as_u64()? > epoch).then_some(())
        })
        .await;
        self.world.client.send(&self.id, "And again.", true).await;
        within(REPLACED, "a command", async || {
            let events = self.world.client.events(&self.id).await;
            let observed = events.iter().filter(|event| event["kind"] == "ObservationEvent");
            let texts: Vec<String> = observed.map(|event| event["observation"].to_string()).collect();
            (texts.len() > 1).then(|| assert!(texts[1].contains("lines-2"), "{texts:?}"))
        })
        .await;
        Outcome { said: said.unwrap_or_else(|| "nothing".to_owned()), seconds: begun.elapsed().as_secs_f64() }
    }
}

impl World {
    async fn delete(&self, life: &Life, grace: u32) {
        let (url, name) = (self.api.url(), life.pod.name());
        let url = format!("{url}/api/v1/namespaces/{NAMESPACE}/pods/{name}?gracePeriodSeconds={grace}");
        let deleting = reqwest::Client::new().delete(url).bearer_auth(self.api.admin_token());
        deleting.send().await.unwrap().error_for_status().unwrap();
    }

    fn is_about_to_go(&self, life: &Life, reason: &str) {
        self.api.change(PODS, NAMESPACE, life.pod.name(), |pod| {
            let condition = json!({ "type": "DisruptionTarget", "status": "True", "reason": reason });
            pod["status"]["conditions"].as_array_mut().unwrap().push(condition);
        });
    }
}

fn row(what: &str, outcome: &Outcome) {
    println!("| {what} | {} | {:.0} s |", outcome.said, outcome.seconds);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_its_pod_a_conversation_goes_on_in_the_next() {
    let nodes = vec![Node::new("one"), Node::new("two")];
    let settings = Settings { nodes, pace: PACE, ..Settings::default() };
    // Volumes that only one machine can have would be had by a lost one for minutes.
    let variables = [("OH_SANDBOX_POLICY", "conversation"), ("OH_KUBERNETES_ACCESS_MODE", "ReadWriteMany")];
    let world = world_with(settings, &variables).await;
    let model = model().await;
    println!("| what happens | what is said | until a command has run in another pod |\n| --- | --- | --- |");
    let subject = || Subject::of(&world, &model);

    let outcome = subject().await.goes_on_after(async |world, life| world.delete(life, 10).await).await;
    row("`kubectl delete pod`", &outcome);
    let outcome = subject().await.goes_on_after(async |world, life| world.delete(life, 0).await).await;
    row("`kubectl delete pod --force`", &outcome);
    let crash = async |_: &World, life: &Life| life.end(|pod| pod.exited(137));
    row("its worker is killed", &subject().await.goes_on_after(crash).await);
    let memory = async |_: &World, life: &Life| life.end(|pod| pod.ended("OOMKilled", 137));
    let outcome = subject().await.goes_on_after(memory).await;
    row("it has used up its memory", &outcome);
    assert!(outcome.said.starts_with("`out_of_memory`"), "{}", outcome.said);
    let evicted = async |_: &World, life: &Life| {
        life.end(|pod| pod.evicted("The node was low on resource: memory. Threshold quantity: …"));
    };
    let outcome = subject().await.goes_on_after(evicted).await;
    row("its machine evicts it", &outcome);
    assert!(outcome.said.starts_with("`evicted`"), "{}", outcome.said);
    let drained = async |world: &World, life: &Life| {
        world.is_about_to_go(life, "EvictionByEvictionAPI");
        world.delete(life, 15).await;
    };
    let outcome = subject().await.goes_on_after(drained).await;
    row("its machine is emptied (`kubectl drain`)", &outcome);
    assert!(outcome.said.starts_with("`preempted`"), "{}", outcome.said);

    let silent = subject().await;
    world.api.stall_watches(true);
    let outcome = silent.goes_on_after(crash).await;
    world.api.stall_watches(false);
    row("its worker is killed, and the API server tells of nothing", &outcome);
    let late = subject().await;
    world.api.compact();
    row(
        "its worker is killed, and what the watch goes on from is forgotten",
        &late.goes_on_after(crash).await,
    );

    let lost = async |world: &World, life: &Life| {
        let node = life.pod.now().unwrap()["spec"]["nodeName"].as_str().unwrap().to_owned();
        world.api.lose_node(&node);
        life.end(|_| {});
    };
    let outcome = subject().await.goes_on_after(lost).await;
    row("its machine is gone (which that cluster knows after 20 s), and volumes are for many", &outcome);
    assert!(outcome.said.starts_with("`node_lost`"), "{}", outcome.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_api_server_is_away_for_a_minute_pods_work_on_and_who_has_lost_one_is_told_why() {
    let world = world(&[("OH_SANDBOX_POLICY", "conversation")]).await;
    let model = model().await;
    let (lives_on, dies) = (Subject::of(&world, &model).await, Subject::of(&world, &model).await);
    let (uid, began) = (lives_on.life.pod.uid().to_owned(), Instant::now());
    world.api.is_away(Away::Hung);
    dies.life.end(|pod| pod.exited(137));
    world.client.send(&lives_on.id, "And again.", true).await;
    world.finished(&lives_on.id).await;

    let told = within(TOLD, "who has lost its pod is told", async || {
        let why = dies.why().await;
        (why["failure"]["reason"] == "driver_unavailable").then_some(why)
    })
    .await;
    println!("after {:.0} s /why says: {told}", began.elapsed().as_secs_f64());
    assert_eq!(told["failure"]["message"], "The container service does not answer.");
    tokio::time::sleep_until((began + AWAY).into()).await;
    let still = lives_on.why().await;
    assert_eq!((&still["failure"], &still["epoch"]), (&Value::Null, &1.into()), "{still}");
    world.api.is_back();

    let outcome = dies.goes_on_after(async |_, _| {}).await;
    println!("back, and {:.0} s later the other has its new pod", outcome.seconds);
    let living = lives_on.life.pod.now().expect("it was left alone");
    assert_eq!(living["metadata"]["uid"], uid.as_str());
}

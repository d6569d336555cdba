//! Models of agents behind the Agent Client Protocol.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use control::placement::Policy;
use ports::rpc::{self, Address, Call, Limits};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::SandboxId;
use types::acp::{AcpDiscovery, AcpFailure, AcpModel, AcpProgram};
use types::calls::AcpCall;

use crate::harness::cluster::start_idle;
use crate::harness::tokens::{bearer, token};
use crate::harness::{Server, start};

/// A worker whose agents answer when they may.
#[derive(Clone)]
struct Agents {
    asked: Arc<Mutex<Vec<AcpProgram>>>,
    may_answer: Arc<Semaphore>,
}

impl Agents {
    /// With as many answers as may be given at once.
    async fn of(server: &Server, answers: usize) -> Self {
        let agents = Self { asked: Arc::default(), may_answer: Arc::new(Semaphore::new(answers)) };
        let calls = rpc::Server::new(server.ports.bus.clone(), TaskTracker::new(), CancellationToken::new());
        let answering = agents.clone();
        let answer = move |call: Call<AcpCall>| {
            let agents = answering.clone();
            async move {
                let AcpCall::Models { program, .. } = call.body;
                let found = found(&program);
                agents.asked.lock().unwrap().push(program);
                agents.may_answer.acquire().await.unwrap().forget();
                Ok((found, Bytes::new()))
            }
        };
        let address = Address::of_worker(&SandboxId::shared(), None);
        calls.serve(&address, None, Limits::new(8, 1 << 20), answer).await.unwrap();
        agents
    }

    fn asked(&self) -> Vec<AcpProgram> {
        self.asked.lock().unwrap().clone()
    }
}

fn found(program: &AcpProgram) -> AcpDiscovery {
    if program.command == ["fails"] {
        let detail = format!("[-1] said {}", program.env.get("KEY").cloned().unwrap_or_default());
        let error = AcpFailure { code: "ACPInitError".to_owned(), detail };
        return AcpDiscovery { error: Some(error), ..AcpDiscovery::default() };
    }
    let model = AcpModel { model_id: "m".to_owned(), name: Some("M".to_owned()), description: None };
    if program.command == ["floods"] {
        return AcpDiscovery {
            agent_name: Some("x".repeat(1 << 20)),
            available_models: vec![model; 50_000],
            ..AcpDiscovery::default()
        };
    }
    AcpDiscovery {
        agent_name: Some("codex-acp".to_owned()),
        agent_version: Some("1".to_owned()),
        current_model_id: Some("m".to_owned()),
        available_models: vec![model],
        ..AcpDiscovery::default()
    }
}

async fn ask(server: &Server, body: Value) -> (u16, Value) {
    server.post("/api/acp/models", body).await
}

fn agent(command: &str, secrets: Value) -> Value {
    json!({"agent_settings": {"agent_kind": "acp", "acp_server": "custom", "acp_command": [command]}, "secrets": secrets})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_offers_is_told_and_remembered() {
    let server = start().await;
    let agents = Agents::of(&server, 9).await;
    let answer = json!({"agent_name": "codex-acp", "agent_version": "1", "current_model_id": "m",
        "available_models": [{"model_id": "m", "name": "M", "description": null}],
        "supports_runtime_model_switch": true, "error": null});
    for _ in 0..2 {
        assert_eq!(ask(&server, agent("works", json!({}))).await, (200, answer.clone()));
    }
    assert_eq!(agents.asked().len(), 1);
    let mut anew = agent("works", json!({}));
    anew["refresh"] = true.into();
    assert_eq!(ask(&server, anew).await.0, 200);
    assert_eq!(ask(&server, agent("works", json!({"KEY": "another"}))).await.0, 200);
    assert_eq!(agents.asked().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_question_is_asked_once() {
    let server = start().await;
    let agents = Agents::of(&server, 0).await;
    let asking = futures_util::future::join_all((0..5).map(|_| ask(&server, agent("works", json!({})))));
    let letting = async {
        testing::until(async || agents.asked().len() == 1).await;
        agents.may_answer.add_permits(1);
    };
    let (answers, ()) = tokio::join!(asking, letting);
    assert!(answers.iter().all(|(_, answer)| answer["current_model_id"] == "m"), "{answers:?}");
    assert_eq!(agents.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_failed_is_told_without_secrets_and_asked_again() {
    let server = start().await;
    let agents = Agents::of(&server, 9).await;
    for times in 1..3 {
        let (status, answer) = ask(&server, agent("fails", json!({"KEY": "marked-words"}))).await;
        let error = json!({"code": "ACPInitError", "detail": "[-1] said **********"});
        assert_eq!((status, &answer["error"], &answer["available_models"]), (200, &error, &json!([])));
        assert_eq!(agents.asked().len(), times);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_told_and_remembered_than_an_agent_has_to_say_whatever_its_worker_answers() {
    let server = start().await;
    let agents = Agents::of(&server, 9).await;
    for _ in 0..2 {
        let (status, answer) = ask(&server, agent("floods", json!({}))).await;
        assert_eq!((status, answer["available_models"].as_array().unwrap().len()), (200, 1_000));
        assert_eq!(answer["agent_name"].as_str().unwrap().len(), 1_000);
    }
    assert_eq!(agents.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_wait_for_the_same_answer() {
    let server = start().await;
    let agents = Agents::of(&server, 0).await;
    let refused = AtomicUsize::new(0);
    let one = async || {
        let (status, _) = ask(&server, agent("works", json!({}))).await;
        refused.fetch_add(usize::from(status == 429), Ordering::Relaxed);
        status
    };
    let asking = futures_util::future::join_all((0..40).map(|_| one()));
    let letting = async {
        testing::until(async || refused.load(Ordering::Relaxed) == 8).await;
        agents.may_answer.add_permits(1);
    };
    let (answers, ()) = tokio::join!(asking, letting);
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 32, "{answers:?}");
    assert_eq!(ask(&server, agent("works", json!({}))).await.0, 200, "there is room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_wait_for_secrets_that_are_elsewhere() {
    let server = start().await;
    let _agents = Agents::of(&server, 9).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/secret", silent.local_addr().unwrap());
    let secrets = json!({"A": {"kind": "LookupSecret", "url": url}});
    let asking =
        futures_util::future::join_all((0..8).map(|_| ask(&server, agent("works", secrets.clone()))));
    let refusing = async {
        let mut waiting = Vec::new();
        while waiting.len() < 8 {
            waiting.push(silent.accept().await.unwrap());
        }
        let one_more = ask(&server, agent("works", secrets.clone()));
        assert_eq!(tokio::time::timeout(Duration::from_secs(10), one_more).await.expect("it waits").0, 429);
        assert_eq!(ask(&server, agent("works", json!({"A": "at hand"}))).await.0, 200);
    };
    tokio::select! { _ = asking => panic!("nobody has answered"), () = refusing => {} }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_no_tenants_keep_the_agents_from_another_one() {
    let world = start_idle(Policy::Shared, 1, |config| config.site.bearer = Some(bearer())).await;
    world.supervisor.begin().await;
    let ask = async |tenant: &str, command: &str, number: usize| {
        let request = world.gateway().request(Method::POST, "/api/acp/models");
        let body = agent(command, json!({ "KEY": number.to_string() }));
        let response = request.bearer_auth(token(tenant, "read write")).json(&body).send().await.unwrap();
        response.status().as_u16()
    };
    let asking = (0..8).map(|number| ask(if number < 4 { "a" } else { "b" }, "sleeps", number));
    let asking = futures_util::future::join_all(asking);
    let another = async {
        testing::until(async || world.supervisor.agents_asked() == 8).await;
        tokio::time::timeout(Duration::from_secs(15), ask("c", "works", 0))
            .await
            .expect("it waits for others")
    };
    tokio::select! { _ = asking => panic!("they sleep"), status = another => assert_eq!(status, 200) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_kept_here_is_found_by_its_address() {
    let server = start().await;
    let agents = Agents::of(&server, 9).await;
    let kept = json!({"name": "KEPT", "value": "marked-words"});
    assert_eq!(server.send(Method::PUT, "/api/settings/secrets", Some(&kept)).await.0, 200);
    let url = |name: &str| format!("http://{}/api/settings/secrets/{name}", server.address);
    let secrets = json!({"A": {"kind": "LookupSecret", "url": url("KEPT"), "headers": {"X-Session-API-Key": "k"}},
        "B": {"kind": "LookupSecret", "url": url("MISSING")},
        "C": {"kind": "LookupSecret", "url": "http://169.254.169.254/latest"}, "D": "plain"});
    assert_eq!(ask(&server, agent("works", secrets)).await.0, 200);
    let env: Vec<(String, String)> = agents.asked().remove(0).env.into_iter().collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(env, [pair("A", "marked-words"), pair("D", "plain")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peers_refusals_are_ours() {
    let server = start().await;
    let custom = json!({"agent_settings": {"agent_kind": "acp", "acp_server": "custom"}});
    let no_command = "ACPAgentSettings.acp_command must be set when acp_server='custom' — there is no default to fall \
                      back to";
    assert_eq!(ask(&server, custom).await, (422, json!({ "detail": no_command })));
    let (status, answer) = ask(&server, json!({"agent_settings": {"agent_kind": "openhands"}})).await;
    let problem = json!([{"type": "literal_error", "loc": ["body", "agent_settings", "agent_kind"],
        "msg": "Input should be 'acp'", "ctx": {"expected": "'acp'"}}]);
    assert_eq!((status, &answer["detail"]), (422, &problem));
    let (_, answer) = ask(&server, json!({})).await;
    assert_eq!(answer["detail"][0]["loc"], json!(["body", "agent_settings"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_more_agents_than_there_are_at_once_is_told_so() {
    let server = start().await;
    let agents = Agents::of(&server, 0).await;
    let question = |number: usize| ask(&server, agent("works", json!({ "KEY": number.to_string() })));
    let asking = futures_util::future::join_all((0..4).map(question));
    let refusing = async {
        testing::until(async || agents.asked().len() == 4).await;
        assert_eq!(question(4).await.0, 429);
        agents.may_answer.add_permits(9);
    };
    let (answers, ()) = tokio::join!(asking, refusing);
    assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
    assert_eq!(question(5).await.0, 200);
}

//! A server that waits for its settings: one call at a time tells them, and it is answered what came of it.

use manyhands_gateway::dormant::{Asked, Waiting};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{Client, Config, config};

struct World {
    client: Client,
    waiting: Waiting,
    stop: CancellationToken,
}

impl World {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::of(listener.local_addr().unwrap().to_string());
        let stop = CancellationToken::new();
        let checked = manyhands_gateway::check(config.gateway).unwrap();
        let waiting = Waiting::on(listener, checked, &stop);
        Self { client, waiting, stop }
    }

    /// A call that tells settings, as far as it has come, and its answer.
    async fn asked(&mut self) -> (Asked, JoinHandle<(u16, Value)>) {
        let client = Client::of(self.client.address.clone());
        let answer = tokio::spawn(async move { client.post("/api/init", json!({})).await });
        (self.waiting.asked().await.unwrap(), answer)
    }

    async fn state(&self) -> Value {
        self.client.get("/api/init").await.1
    }
}

#[tokio::test]
async fn a_server_that_waits_shows_its_documents_and_says_of_all_else_what_it_is() {
    let World { client, waiting: _waiting, stop: _stop, .. } = World::start().await;
    for page in ["/docs", "/redoc", "/openapi.json"] {
        assert_eq!(client.fetch(page).await.status(), 200, "{page}");
    }
    let (_, document) = client.get("/openapi.json").await;
    assert!(document["paths"]["/api/conversations"]["post"].is_object());
    assert_eq!(client.get("/nothing").await, (404, json!({"detail": "Not Found"})));
    let waits = json!({"detail": "server is in deferred-init state 'dormant'; call POST /api/init first"});
    for path in ["/api/nothing", "/v1/models"] {
        assert_eq!(client.get(path).await, (503, waits.clone()), "{path}");
    }
    // Some clients ask for a newer HTTP with every first request, and mean the request all the same.
    for (protocol, status) in [("h2c", 503), ("websocket", 403)] {
        let request = client.request(reqwest::Method::GET, "/api/settings").header("connection", "upgrade");
        let answer = request.header("upgrade", protocol).send().await.unwrap();
        assert_eq!(answer.status(), status, "{protocol}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_settings_are_tried_no_others_are_taken() {
    let mut world = World::start().await;
    let (asked, answer) = world.asked().await;
    assert_eq!(world.state().await, json!({"state": "initializing", "error": null}));
    let second = world.client.post("/api/init", json!({})).await;
    assert_eq!(second, (400, json!({"detail": "server already in state: initializing"})));
    asked.refuse("what is wrong with them".to_owned());
    assert_eq!(answer.await.unwrap(), (422, json!({"detail": "what is wrong with them"})));
    let (asked, answer) = world.asked().await;
    assert!(world.waiting.end(asked).await.is_ok());
    assert_eq!(answer.await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_settings_are_refused_is_told_to_who_told_them_alone() {
    let mut world = World::start().await;
    let (asked, answer) = world.asked().await;
    asked.refuse("a marked value".to_owned());
    assert_eq!(answer.await.unwrap().0, 422);
    assert_eq!(world.state().await, json!({"state": "dormant", "error": "The settings were refused"}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_stopped_while_settings_are_tried_does_not_say_that_it_is_ready() {
    let mut world = World::start().await;
    let (asked, answer) = world.asked().await;
    world.stop.cancel();
    assert!(world.waiting.end(asked).await.is_ok());
    assert_eq!(answer.await.unwrap(), (503, json!({"detail": "The server is stopping"})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_by_settings_does_not_say_that_it_waits_for_others() {
    let mut world = World::start().await;
    let (asked, answer) = world.asked().await;
    asked.give_up("a marked cause".to_owned());
    let (status, told) = answer.await.unwrap();
    assert_eq!(
        (status, &told["detail"]),
        (500, &json!("The server cannot start with these settings, and ends; its log says why"))
    );
    assert_eq!(world.state().await, json!({"state": "initializing", "error": told["detail"]}));
    assert_eq!(world.client.post("/api/init", json!({})).await.0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_told_settings_makes_no_room_for_strangers() {
    let mut world = World::start_with(|config| config.limits.strangers_of_a_peer = 1).await;
    let (asked, answer) = world.asked().await;
    // Each on a connection of its own, which is kept open.
    let strangers = [0; 3].map(|_| Client::of(world.client.address.clone()));
    for stranger in &strangers {
        assert_eq!(stranger.get("/alive").await.0, 200);
    }
    assert!(world.waiting.end(asked).await.is_ok());
    assert_eq!(answer.await.unwrap().0, 200);
}

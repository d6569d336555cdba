//! What is installed is in the store: known to every gateway, of one tenant, and without a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use ports::Expect;
use ports::rpc::{self, Address, Call, Limits};
use reqwest::Method;
use serde_json::{Value, json};
use testing::eventually;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::SandboxId;
use types::buckets::{EXTENSION_PARTS, EXTENSIONS};
use types::calls::{
    ExtensionAnswer, ExtensionCall, FetchCall, Fetched, Marketplace, NotFetched, WhyNotFetched,
};
use types::extensions::{Brief, Contents, ExtensionKind, Skill, SkillKind};

use crate::harness::tokens::{bearer, token};
use crate::harness::{Client, Server, start_with, until};

const PACKED: &[u8] = b"what was packed";

/// A server whose worker fetches whatever it is asked for, under the last name of its source.
struct World {
    server: Server,
    calls: Arc<AtomicUsize>,
}

impl World {
    async fn start() -> Self {
        Self::start_with(Vec::new()).await
    }

    /// With catalogues of the operator.
    async fn start_with(marketplaces: Vec<Marketplace>) -> Self {
        let server = start_with(|config| {
            config.site.bearer = Some(bearer());
            config.site.marketplaces = marketplaces;
        })
        .await;
        let calls = rpc::Server::new(server.ports.bus.clone(), TaskTracker::new(), CancellationToken::new());
        let count = Arc::new(AtomicUsize::default());
        for tenant in ["default", "a", "b"] {
            let count = Arc::clone(&count);
            let answer = move |call: Call<ExtensionCall>| {
                count.fetch_add(1, Ordering::Relaxed);
                async move { Ok(answered(call.body)) }
            };
            let address = Address::of_worker(&SandboxId::parse(tenant).unwrap(), None);
            calls.serve(&address, None, Limits::new(64, 1 << 20), answer).await.unwrap();
        }
        Self { server, calls: count }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    async fn install(&self, tenant: &str, kind: &str, source: &str) -> (u16, Value) {
        let path = format!("/api/{kind}/install");
        call(&self.server, tenant, Method::POST, &path, Some(json!({ "source": source }))).await
    }

    /// The keys of all pieces.
    async fn pieces(&self) -> Vec<String> {
        let all = self.server.ports.kv.list(EXTENSION_PARTS).await.unwrap();
        all.into_iter().map(|(key, _)| key).collect()
    }
}

async fn call(
    client: &Client,
    tenant: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let mut request = client.request(method, path).bearer_auth(token(tenant, "read write"));
    if let Some(body) = body {
        request = request.json(&body);
    }
    crate::harness::status_and_json(request.send().await.unwrap()).await
}

fn answered(call: ExtensionCall) -> (ExtensionAnswer, Bytes) {
    match call {
        ExtensionCall::Fetch(call) => (fetched(call), Bytes::new()),
        ExtensionCall::Read { file: None, .. } => {
            (ExtensionAnswer::Piece { of: PACKED.len() as u64 }, Bytes::from_static(PACKED))
        }
        ExtensionCall::Skills(_) => (ExtensionAnswer::Skills(Default::default()), Bytes::new()),
        ExtensionCall::Plugins { .. } => (ExtensionAnswer::Plugins(Vec::new()), Bytes::new()),
        _ => (ExtensionAnswer::Done, Bytes::new()),
    }
}

fn fetched(call: FetchCall) -> ExtensionAnswer {
    let name = call.source.rsplit('/').next().unwrap().to_owned();
    if name == "nothing" {
        return ExtensionAnswer::NotFetched(NotFetched {
            why: WhyNotFetched::SourceUnavailable,
            says: String::new(),
        });
    }
    let contents = match call.kind {
        ExtensionKind::Plugin => Contents::Plugin {
            skills: vec![Brief { name: format!("{name}:go"), description: None }],
            files: vec!["go.md".to_owned()],
        },
        ExtensionKind::Skill | ExtensionKind::Canvas => Contents::Skill(Skill {
            name: name.clone(),
            kind: SkillKind::AgentSkills,
            content: format!("of {name}"),
            triggers: Vec::new(),
            source: None,
            description: None,
            is_agentskills_format: true,
            disable_model_invocation: false,
        }),
    };
    ExtensionAnswer::Fetched(Box::new(Fetched {
        ticket: "t".to_owned(),
        install_path: format!("/home/{name}"),
        name,
        version: "1.0.0".to_owned(),
        description: String::new(),
        resolved_ref: None,
        contents,
    }))
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_install_is_seen_by_every_gateway_and_wakes_nobody() {
    let world = World::start().await;
    let other = world.server.replica().await;
    for (kind, name) in [("skills", "b"), ("skills", "a"), ("plugins", "p")] {
        assert_eq!(world.install("default", kind, &format!("/{name}")).await.0, 200);
    }
    let before = world.calls();
    let get = async |path: &str| other.get(path).await.1;
    assert_eq!(
        names(&get("/api/skills/installed").await["skills"]),
        ["b", "a"],
        "in the order of their installation"
    );
    assert_eq!(get("/api/skills/installed/a").await["install_path"], "/home/a");
    assert_eq!(get("/api/plugins/installed").await["plugins"][0]["files"], json!(["go.md"]));
    assert_eq!(get("/api/canvas-extensions/installed").await, json!({"canvas_extensions": []}));
    let off = other.send(Method::PATCH, "/api/skills/installed/a", Some(&json!({"enabled": false}))).await;
    assert_eq!(off.0, 200);
    let (_, seen) = call(&world.server, "default", Method::GET, "/api/skills/installed/a", None).await;
    assert_eq!((&seen["enabled"], world.calls()), (&json!(false), before));
    let nothing = json!({"load_public": false, "load_user": false, "load_project": false, "load_org": false, "project_dir": "/w"});
    call(&world.server, "default", Method::POST, "/api/skills", Some(nothing)).await;
    let nothing = json!({"load_user": false, "load_project": false});
    call(&world.server, "default", Method::POST, "/api/sub-agents", Some(nothing)).await;
    assert_eq!(world.calls(), before, "who asks for nothing wakes nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenant_has_nothing_of_what_one_has_installed() {
    let world = World::start().await;
    assert_eq!(world.install("a", "skills", "/marked").await.0, 200);
    let all = json!({"load_public": false, "load_project": false});
    for tenant in ["b", "default"] {
        let get = async |path: &str| call(&world.server, tenant, Method::GET, path, None).await;
        assert_eq!(get("/api/skills/installed").await, (200, json!({"skills": []})));
        assert_eq!(get("/api/skills/installed/marked").await.0, 404);
        let (_, found) = call(&world.server, tenant, Method::POST, "/api/skills", Some(all.clone())).await;
        assert_eq!(found["skills"], json!([]));
        let gone = call(&world.server, tenant, Method::DELETE, "/api/skills/installed/marked", None).await;
        assert_eq!(gone.0, 404);
    }
    let (_, found) = call(&world.server, "a", Method::POST, "/api/skills", Some(all)).await;
    assert_eq!(found["skills"][0]["content"], "of marked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_of_a_source_are_shown_to_nobody_and_stored_sealed() {
    let world = World::start().await;
    let (_, one) = world.install("default", "skills", "https://user:the-secret@h/sk").await;
    assert_eq!(one["source"], "https://****@h/sk");
    let (_, again) =
        call(&world.server, "default", Method::POST, "/api/skills/installed/sk/refresh", None).await;
    assert_eq!(again["skill"]["source"], "https://****@h/sk", "{again}");
    let stored = world.server.ports.kv.get(EXTENSIONS, "default").await.unwrap().unwrap();
    let stored = String::from_utf8(stored.value.to_vec()).unwrap();
    assert!(stored.contains("https://****@h/sk") && !stored.contains("the-secret"), "{stored}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_are_kept_as_long_as_a_list_names_them() {
    let world = World::start().await;
    assert_eq!(world.install("default", "skills", "/sk").await.0, 200);
    let first = world.pieces().await;
    assert_eq!(first.len(), 2, "{first:?}");
    assert_eq!(world.install("default", "skills", "/sk").await.0, 409);
    assert_eq!(world.install("default", "skills", "/nothing").await.0, 400);
    assert_eq!(world.pieces().await, first);
    let forced = json!({"source": "/sk", "force": true});
    assert_eq!(
        call(&world.server, "default", Method::POST, "/api/skills/install", Some(forced)).await.0,
        200
    );
    let second = world.pieces().await;
    assert!(second.len() == 2 && second.iter().all(|key| !first.contains(key)), "{first:?} {second:?}");
    let gone = call(&world.server, "default", Method::DELETE, "/api/skills/installed/sk", None).await;
    assert_eq!((gone.0, world.pieces().await), (200, Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_nothing_names_are_swept() {
    let world = World::start().await;
    assert_eq!(world.install("default", "skills", "/sk").await.0, 200);
    let named = world.pieces().await;
    let put = async |key: &str| {
        world
            .server
            .ports
            .kv
            .put(EXTENSION_PARTS, key, Bytes::from_static(b"x"), Expect::Anything)
            .await
            .unwrap();
    };
    let fresh = "default.fffffffffff-x.pack.0";
    for key in ["default.00000000001-x.pack.0", "other.00000000001-x.pack.7", fresh] {
        put(key).await;
    }
    let _replica = world.server.replica().await;
    let mut wanted = [named, vec![fresh.to_owned()]].concat();
    wanted.sort();
    until(async || {
        let mut pieces = world.pieces().await;
        pieces.sort();
        pieces == wanted
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_than_two_hundred_of_a_kind_are_installed() {
    let world = World::start().await;
    for number in 0..200 {
        assert_eq!(world.install("default", "skills", &format!("/s{number}")).await.0, 200);
    }
    assert_eq!(world.install("default", "skills", "/one-more").await.0, 413);
    assert_eq!(world.install("default", "plugins", "/one-more").await.0, 200);
    let pieces = eventually("its pieces are gone", async || {
        let pieces = world.pieces().await;
        (pieces.len() == 402).then_some(pieces)
    });
    pieces.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn catalogues_of_the_operator_take_no_room_from_those_of_a_client() {
    let own = |at| Marketplace {
        name: format!("own-{at}"),
        source: "github:o/r".to_owned(),
        reference: None,
        repo_path: None,
        only: None,
    };
    let world = World::start_with((0..8).map(own).collect()).await;
    let named = |at| json!({"name": format!("m-{at}"), "source": "github:o/r", "auto_load": true});
    for (count, status) in [(16, 200), (17, 422)] {
        let body = json!({ "registered_marketplaces": (0..count).map(named).collect::<Vec<_>>() });
        assert_eq!(
            call(&world.server, "a", Method::POST, "/api/skills", Some(body)).await.0,
            status,
            "{count}"
        );
    }
}

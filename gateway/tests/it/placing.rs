//! A place keeps its sandbox while somebody needs it, whoever gives it up in the same moment, and has none before.

use std::sync::Arc;
use std::time::Duration;

use control::placement::Policy;
use reqwest::Method;
use serde_json::{Value, json};
use types::buckets::{ALLOCATIONS, CONVERSATIONS, LEASES, PLACES, SANDBOXES};
use types::calls::Command;
use types::placement::{Want, Wanted};
use types::{ConversationId, LogId, SandboxId, Seq};

use crate::harness::cluster::{World, create_body, start, start_idle};
use crate::harness::stepped::{Stepped, Stopped, idle};
use crate::harness::tokens::{bearer, token};
use crate::harness::until;

const PLACE: &str = "/workspace/w";

async fn world(policy: Policy) -> (World, Arc<Stepped>) {
    let (world, store) = idle(policy).await;
    world.supervisor.begin().await;
    (world, store)
}

fn with_id(id: ConversationId) -> Value {
    let mut body = create_body(PLACE);
    body["conversation_id"] = id.to_string().into();
    body
}

async fn delete(world: &World, id: &str) {
    let (status, answer) = world.gateway().delete(&format!("/api/conversations/{id}")).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_placed_again_if_the_last_one_in_its_place_was_deleted_meanwhile() {
    let (world, store) = world(Policy::Workspace).await;
    let last = world.gateway().create_from(create_body(PLACE)).await;
    let given_up = world.sandbox_of(&last).await;
    let next = ConversationId::random();
    let placed = store.stop_before(CONVERSATIONS, &next.to_string());
    let deleting = placed.meanwhile(async {
        delete(&world, &last).await;
        assert_eq!(world.wanted(&given_up).await.unwrap().want, Want::Deleted);
    });
    let (id, ()) = tokio::join!(world.gateway().create_from(with_id(next)), deleting);
    let sandbox = world.sandbox_of(&id).await;
    assert_ne!(sandbox, given_up);
    assert_ne!(world.wanted(&sandbox).await.unwrap().want, Want::Deleted);
    assert_eq!(world.gateway().bash(&format!("/api/conversations/{id}"), None).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_is_not_given_up_for_its_last_conversation_if_the_next_was_placed_meanwhile() {
    let (world, store) = world(Policy::Workspace).await;
    let last = world.gateway().create_from(create_body(PLACE)).await;
    let sandbox = world.sandbox_of(&last).await;
    let next = ConversationId::random();
    let given_up = store.stop_before(SANDBOXES, r#""want":"deleted""#);
    let creating = given_up.meanwhile(async {
        assert_eq!(world.gateway().create_from(with_id(next)).await, next.to_string());
    });
    tokio::join!(delete(&world, &last), creating);
    assert_eq!(world.sandbox_of(&next.to_string()).await, sandbox);
    assert_ne!(world.wanted(&sandbox).await.unwrap().want, Want::Deleted);
    assert_eq!(world.gateway().bash(&format!("/api/conversations/{next}"), None).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_is_made_anew_while_its_sandbox_is_given_up_has_one() {
    let (world, store) = world(Policy::Conversation).await;
    let id = ConversationId::random();
    world.gateway().create_from(with_id(id)).await;
    let given_up = store.stop_before(SANDBOXES, r#""want":"deleted""#);
    let creating = given_up.meanwhile(async {
        world.gateway().create_from(with_id(id)).await;
    });
    let name = id.to_string();
    tokio::join!(delete(&world, &name), creating);
    let sandbox = world.sandbox_of(&name).await;
    assert_ne!(world.wanted(&sandbox).await.unwrap().want, Want::Deleted);
    assert_eq!(world.gateway().bash(&format!("/api/conversations/{id}"), None).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_writes_that_comes_while_its_conversation_is_deleted_goes_with_it() {
    let doomed = Doomed::start().await;
    let late = doomed.last_step().meanwhile(doomed.is_written_to());
    tokio::join!(delete(&doomed.world, &doomed.name), late);
    assert_eq!(doomed.tail().await, Seq::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_comes_before_the_record_goes_is_told_to_forget() {
    let doomed = Doomed::start().await;
    let come = doomed.last_step().meanwhile(doomed.gets_a_worker());
    tokio::join!(delete(&doomed.world, &doomed.name), come);
    assert!(doomed.was_told_to_forget());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_replaces_the_one_that_forgot_leaves_nothing_of_a_deleted_conversation() {
    let doomed = Doomed::start().await;
    doomed.gets_a_worker().await;
    let replaced = doomed.last_step().meanwhile(async {
        assert!(doomed.was_told_to_forget());
        doomed.world.supervisor.kill(&doomed.sandbox, false).await;
        doomed.gets_a_worker().await;
        doomed.is_written_to().await;
    });
    tokio::join!(delete(&doomed.world, &doomed.name), replaced);
    assert!(doomed.was_told_to_forget());
    assert_eq!(doomed.tail().await, Seq::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_that_the_gateway_has_not_heard_of_leaves_nothing_of_a_deleted_conversation() {
    let doomed = Doomed::start().await;
    doomed.gets_a_worker().await;
    let Doomed { world, store, id, sandbox, .. } = &doomed;
    let last_step = doomed.last_step();
    let replaced = async {
        let unheard = async {
            store.be_silent(ALLOCATIONS);
            store.be_silent(LEASES);
            world.supervisor.kill(sandbox, true).await;
            world.supervisor.start(sandbox).await;
            doomed.is_written_to().await;
        };
        last_step.meanwhile(unheard).await;
        let is_gone = async || world.ports.kv.get(CONVERSATIONS, &id.hex()).await.unwrap().is_none();
        until(is_gone).await;
        // Whom it takes for the worker is decided by now, or the test shows less.
        tokio::time::sleep(Duration::from_millis(300)).await;
        store.be_heard();
        let lease = world.until_lease(sandbox).await;
        world.supervisor.renew(sandbox, lease.epoch).await;
    };
    tokio::join!(delete(&doomed.world, &doomed.name), replaced);
    assert!(doomed.was_told_to_forget());
    assert_eq!(doomed.tail().await, Seq::ZERO);
}

/// A conversation that is deleted while the worker of its sandbox, which is the default one, comes, goes and writes.
struct Doomed {
    world: World,
    store: Arc<Stepped>,
    id: ConversationId,
    name: String,
    sandbox: SandboxId,
    log: LogId,
}

impl Doomed {
    /// Without a worker.
    async fn start() -> Self {
        let (world, store) = idle(Policy::Shared).await;
        let id = ConversationId::random();
        let name = world.gateway().create_from(with_id(id)).await;
        let sandbox = world.sandbox_of(&name).await;
        let log = LogId::conversation(&sandbox, id);
        Self { world, store, id, name, sandbox, log }
    }

    /// Of its deletion, which stops there once.
    fn last_step(&self) -> Stopped {
        self.store.stop_before(CONVERSATIONS, &self.id.hex())
    }

    /// One that the gateway knows.
    async fn gets_a_worker(&self) {
        self.world.supervisor.start(&self.sandbox).await;
        assert_eq!(self.world.gateway().bash("/api", None).await, 200);
    }

    async fn is_written_to(&self) {
        self.world.ports.log.append(&self.log, Seq::ZERO, vec![b"late".as_slice().into()]).await.unwrap();
    }

    async fn tail(&self) -> Seq {
        self.world.ports.log.tail(&self.log).await.unwrap()
    }

    fn was_told_to_forget(&self) -> bool {
        let worker = self.world.supervisor.worker(&self.sandbox).unwrap();
        worker.seen().iter().any(|command| matches!(command, Command::Forget { .. }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_was_cut_off_before_its_sandbox_was_kept_is_made_up_for_when_it_is_repeated() {
    let (world, store) = world(Policy::Conversation).await;
    let id = ConversationId::random();
    let name = world.gateway().create_from(with_id(id)).await;
    let given_up = store.stop_before(SANDBOXES, r#""want":"deleted""#);
    let cut_off = given_up.meanwhile(async {
        store.refuse_once(SANDBOXES);
        assert_eq!(world.gateway().post("/api/conversations", with_id(id)).await.0, 503);
    });
    tokio::join!(delete(&world, &name), cut_off);
    let sandbox = world.sandbox_of(&name).await;
    assert_eq!(world.wanted(&sandbox).await.unwrap().want, Want::Deleted);
    world.gateway().create_from(with_id(id)).await;
    assert_ne!(world.sandbox_of(&name).await, sandbox);
    assert_eq!(world.gateway().bash(&format!("/api/conversations/{id}"), None).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_creation_withdraws_nothing_that_was_placed_anew_meanwhile() {
    let (world, store) = world(Policy::Conversation).await;
    let id = ConversationId::random();
    let name = world.gateway().create_from(with_id(id)).await;
    let other = world.gateway().create_from(create_body(PLACE)).await;
    let mut record = world.record(&name).await;
    let lost = world.wanted(&record.sandbox).await.unwrap();
    world.write(SANDBOXES, record.sandbox.as_str(), &Wanted { want: Want::Deleted, ..lost }).await;
    let withdrawn = store.stop_before(CONVERSATIONS, &id.hex());
    let placed = withdrawn.meanwhile(async {
        record.sandbox = world.sandbox_of(&other).await;
        world.write(CONVERSATIONS, &id.hex(), &record).await;
    });
    let (_, repeated) = tokio::join!(placed, world.gateway().post("/api/conversations", with_id(id)));
    assert_eq!(repeated.0, 200, "{}", repeated.1);
    let stored = world.record(&name).await;
    assert_eq!((stored.created_at, stored.sandbox), (record.created_at, record.sandbox));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_another_gateway_has_just_deleted_is_made_anew_for_who_asks_for_it() {
    let (world, store) = world(Policy::Shared).await;
    let id = ConversationId::random();
    world.gateway().create_from(with_id(id)).await;
    let earlier = world.record(&id.to_string()).await;
    // What the other gateway does, of which this one has not heard.
    store.be_silent(CONVERSATIONS);
    world.ports.kv.delete(CONVERSATIONS, &id.hex(), ports::Expect::Anything).await.unwrap();
    world.gateway().create_from(with_id(id)).await;
    assert_ne!(world.record(&id.to_string()).await.created_at, earlier.created_at);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_creation_that_is_answered_with_a_failure_nothing_is_left_for_who_knows_no_id() {
    let (world, store) = world(Policy::Shared).await;
    assert_eq!(world.gateway().bash("/api", None).await, 200);
    store.refuse_once(SANDBOXES);
    let (status, answer) = world.gateway().post("/api/conversations", create_body(PLACE)).await;
    assert_eq!(status, 503, "{answer}");
    assert!(world.ports.kv.list(CONVERSATIONS).await.unwrap().is_empty());
    until(async || world.gateway().get("/api/conversations/count").await.1 == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_at_paths_makes_no_sandboxes_for_them() {
    let world = start(Policy::Workspace).await;
    let gateway = world.gateway();
    let search = |name: &str| format!("/api/bash/bash_events/search?path=/workspace/{name}");
    for number in 0..10 {
        assert_eq!(gateway.get(&search(&format!("w{number}"))).await.0, 200);
    }
    let made = world.ports.kv.list(SANDBOXES).await.unwrap();
    assert_eq!(made.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["default"]);
    assert_eq!(world.ports.kv.list(PLACES).await.unwrap().len(), 1);

    assert_eq!(gateway.bash("/api", Some("/workspace/w0")).await, 200);
    let seen = |page: &Value| page["items"].as_array().unwrap().len();
    until(async || seen(&gateway.get(&search("w0")).await.1) == 2).await;
    assert_eq!(seen(&gateway.get(&search("w1")).await.1), 0, "what was made for a command is its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_makes_no_sandboxes_for_the_paths_that_it_names() {
    let world = start(Policy::Workspace).await;
    let gateway = world.gateway();
    for number in 0..5 {
        for (route, body) in [
            ("bash/start_bash_command", json!({"cwd": "/workspace/c"})),
            ("bash/execute_bash_command", json!([])),
            ("bash/bash_commands/no-id/stop", json!(null)),
            ("file/upload", json!({"no": "form"})),
        ] {
            let path = format!("/api/{route}?path=/workspace/w{number}");
            let (status, told) = gateway.post(&path, body).await;
            assert!([400, 404, 415, 422].contains(&status), "{path}: {status} {told}");
        }
    }
    assert_eq!(world.ports.kv.list(SANDBOXES).await.unwrap().len(), 0);
    assert_eq!(world.ports.kv.list(PLACES).await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_the_id_of_another_tenants_conversation_is_left_no_sandbox() {
    let world = start_idle(Policy::Conversation, 1, |config| config.site.bearer = Some(bearer())).await;
    let id = ConversationId::random();
    let create = async |tenant: &str| {
        let request = world.gateway().request(Method::POST, "/api/conversations").json(&with_id(id));
        request.bearer_auth(token(tenant, "read write")).send().await.unwrap().status().as_u16()
    };
    assert_eq!(create("default").await, 201);
    assert_eq!((create("other").await, create("another").await), (409, 409));
    let mut left = world.ports.kv.list(SANDBOXES).await.unwrap();
    left.retain(|(_, stored)| serde_json::from_slice::<Wanted>(&stored.value).unwrap().want != Want::Deleted);
    assert_eq!((left.len(), world.ports.kv.list(PLACES).await.unwrap().len()), (1, 1));
}

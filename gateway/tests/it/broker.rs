//! Model calls of workers without keys, through the broker, to a provider that sees what arrives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::harness::cluster::{World, start_idle};
use crate::harness::provider::Provider;
use crate::harness::{Config, until};
use control::placement::Policy;
use futures_util::StreamExt;
use llm::{Brokered, Client};
use outbound::{Outbound, Private};
use ports::Delivery;
use ports::rpc::{self, Address, Code};
use serde_json::{Value, json};
use types::agent::LlmConfig;
use types::brokering::ModelCall;
use types::buckets::BUDGETS;
use types::calls::Command;
use types::model::{Completion, ModelFailure, ModelRequest};
use types::{ConversationId, Epoch, Message, Role, SandboxId};
use worker::Broker;

const KEY: &str = "sk-canary-key";

/// A gateway, a provider, and one conversation that uses it.
struct Scene {
    world: World,
    provider: Provider,
    conversation: ConversationId,
    sandbox: SandboxId,
}

impl Scene {
    async fn set() -> Self {
        Self::with(json!({}), None).await
    }

    async fn with(agent: Value, tenant_budget: Option<f64>) -> Self {
        Self::changed(agent, |config| config.control.tenant_budget_usd = tenant_budget).await
    }

    async fn changed(agent: Value, change: impl Fn(&mut Config)) -> Self {
        Self::on(Provider::start().await, agent, change).await
    }

    async fn on(provider: Provider, agent: Value, change: impl Fn(&mut Config)) -> Self {
        let world = start_idle(Policy::Conversation, 1, change).await;
        let id = world.gateway().create_from(body(&provider, agent)).await;
        let sandbox = world.sandbox_of(&id).await;
        Self { world, provider, conversation: id.parse().unwrap(), sandbox }
    }

    /// As the worker of `sandbox` calls, with a configuration as it gets it.
    async fn ask(&self, sandbox: &SandboxId, llm: &LlmConfig) -> Result<Completion, ModelFailure> {
        let bus = self.world.ports.bus.clone();
        let broker = Broker::new(bus, sandbox.clone(), Epoch(1));
        let client = Client::new(Arc::new(Brokered::new(Arc::new(broker))));
        let request = ModelRequest::new(vec![Message::new(Role::User, "hello")], Vec::new());
        client.complete(llm, &self.conversation.to_string(), &request, None).await
    }

    async fn answer(&self) -> Result<Completion, ModelFailure> {
        self.ask(&self.sandbox, &keyless(&self.provider)).await
    }

    async fn key(&self) -> String {
        self.world.budget_key(&self.conversation.to_string()).await
    }

    /// A stored sum, without what it remembers of those who wrote it.
    async fn spent(&self, key: &str) -> Value {
        let mut sum: Value = self.world.read(BUDGETS, key).await.unwrap_or_default();
        if let Some(fields) = sum.as_object_mut() {
            fields.remove("writers");
        }
        sum
    }
}

fn body(provider: &Provider, agent: Value) -> Value {
    let mut body = crate::harness::cluster::create_body("/tmp/w");
    body["agent"]["llm"] = json!({"model": "openai/m", "base_url": provider.base_url(), "api_key": KEY,
        "extra_headers": {"X-Team": "team-canary"}, "num_retries": 1,
        "input_cost_per_token": 0.5, "output_cost_per_token": 1.0});
    for (name, value) in agent.as_object().unwrap() {
        body["agent"][name] = value.clone();
    }
    body
}

fn keyless(provider: &Provider) -> LlmConfig {
    LlmConfig {
        model: "openai/m".to_owned(),
        base_url: Some(provider.base_url()),
        num_retries: 1,
        ..LlmConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_adds_the_headers_and_counts_what_an_answer_costs() {
    let scene = Scene::set().await;
    let completion = scene.answer().await.unwrap();
    assert_eq!(types::content::joined_text(&completion.message.content), "hi");
    let seen = scene.provider.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(seen[0].headers["x-team"], "team-canary");
    assert_eq!(seen[0].headers["x-litellm-session-id"], scene.conversation.to_string());
    let wanted = json!({"calls": 1, "prompt_tokens": 10, "completion_tokens": 2, "cost": 7.0});
    let own = scene.key().await;
    until(async || scene.spent(&own).await == wanted).await;
    until(async || scene.spent("tenant.default").await == wanted).await;
    let shown = scene.world.gateway().fetch("/metrics").await;
    let counted = shown.text().await.unwrap();
    for line in [
        "manyhands_steps_total 1",
        r#"manyhands_tokens_total{kind="prompt"} 10"#,
        r#"manyhands_tokens_total{kind="completion"} 2"#,
        "manyhands_cost_dollars_total 7.0",
    ] {
        assert!(counted.lines().any(|shown| shown == line), "{line}\n{counted}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_the_same_time_are_all_counted() {
    const CALLS: usize = 200;
    let scene = Scene::with(json!({"max_budget_per_run": 1e9}), None).await;
    let answers = futures_util::future::join_all((0..CALLS).map(|_| scene.answer())).await;
    assert!(answers.iter().all(Result::is_ok), "{:?}", answers.iter().find(|answer| answer.is_err()));
    for key in [scene.key().await, "tenant.default".to_owned()] {
        until(async || scene.spent(&key).await["calls"] == CALLS).await;
        assert_eq!(scene.spent(&key).await["cost"], 7.0 * CALLS as f64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_calls_and_streamed_answers_pass_whole() {
    let scene = Scene::set().await;
    let mut llm = keyless(&scene.provider);
    llm.stream = true;
    let bus = scene.world.ports.bus.clone();
    let broker = Broker::new(bus, scene.sandbox.clone(), Epoch(1));
    let client = Client::new(Arc::new(Brokered::new(Arc::new(broker))));
    let long = "q".repeat(2_000_000);
    let request = ModelRequest::new(vec![Message::new(Role::User, long.as_str())], Vec::new());
    struct Ignore;
    impl llm::StreamSink for Ignore {
        fn push(&self, _: llm::StreamEvent) {}
    }
    let session = scene.conversation.to_string();
    let completion = client.complete(&llm, &session, &request, Some(&Ignore)).await.unwrap();
    assert_eq!(
        types::content::joined_text(&completion.message.content),
        "hi".repeat(crate::harness::provider::STREAMED)
    );
    assert_eq!(
        scene.provider.seen()[0].body["messages"][0]["content"].to_string().matches('q').count(),
        long.len()
    );
    until(async || scene.spent("tenant.default").await["completion_tokens"] == 2).await;
}

/// On one thread, so that nobody takes anything while the worker sends.
#[tokio::test]
async fn a_call_is_never_sent_faster_than_the_broker_takes_it() {
    let scene = Scene::set().await;
    let broker = Broker::new(scene.world.ports.bus.clone(), scene.sandbox.clone(), Epoch(1));
    let client = Client::new(Arc::new(Brokered::new(Arc::new(broker))));
    let long = "q".repeat(24 << 20);
    let request = ModelRequest::new(vec![Message::new(Role::User, long.as_str())], Vec::new());
    let session = scene.conversation.to_string();
    client.complete(&keyless(&scene.provider), &session, &request, None).await.unwrap();
    let seen = scene.provider.seen();
    assert_eq!(seen[0].body["messages"][0]["content"].to_string().matches('q').count(), long.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_dropped_ends_at_the_provider_and_is_not_free() {
    let scene = Scene::set().await;
    scene.provider.hang();
    let dropped = tokio::time::timeout(Duration::from_secs(30), async {
        tokio::select! {
            answer = scene.answer() => panic!("it hangs: {answer:?}"),
            () = until(async || scene.provider.seen().len() == 1) => {}
        }
    });
    dropped.await.unwrap();
    until(async || scene.provider.open() == 0).await;
    until(async || scene.spent("tenant.default").await["prompt_tokens"].as_u64() > Some(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_url_model_or_conversation_is_served() {
    let scene = Scene::set().await;
    let other = Provider::start().await;
    let dearer = LlmConfig { model: "openai/dearer".to_owned(), ..keyless(&scene.provider) };
    let other_url = keyless(&other);
    let foreign = tokio::join!(scene.ask(&scene.sandbox, &other_url), scene.ask(&scene.sandbox, &dearer));
    for foreign in [foreign.0.unwrap_err(), foreign.1.unwrap_err()] {
        assert!(foreign.detail.contains("no such model"), "{foreign:?}");
    }
    let neighbour = scene.world.gateway().create_from(body(&scene.provider, json!({}))).await;
    let neighbour = scene.world.sandbox_of(&neighbour).await;
    let foreign = scene.ask(&neighbour, &keyless(&scene.provider)).await.unwrap_err();
    assert!(foreign.detail.contains("no such conversation"), "{foreign:?}");
    assert!(scene.provider.seen().is_empty() && other.seen().is_empty());
    scene.answer().await.expect("its own are");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_on_the_gateways_own_network_are_not_called_unless_that_is_allowed() {
    let scene = Scene::changed(json!({}), |config| {
        config.control.outbound = Outbound::new(Private::Refused);
    })
    .await;
    let refused = scene.answer().await.unwrap_err();
    assert!(refused.detail.contains("private address"), "{refused:?}");
    assert!(scene.provider.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_go_to_the_callers_own_inbox_and_nowhere_else() {
    let scene = Scene::set().await;
    let call = |id: &str| ModelCall {
        id: id.to_owned(),
        epoch: Epoch(1),
        conversation: scene.conversation,
        usage: String::new(),
        url: format!("{}/chat/completions", scene.provider.base_url()),
        body_bytes: 13,
    };
    let address = Address::of_control_plane(&scene.sandbox);
    let ask = async |id: &str| {
        let bus = scene.world.ports.bus.as_ref();
        let blob = bytes::Bytes::from_static(br#"{"model":"m"}"#);
        rpc::call::<_, ()>(bus, &address, &call(id), blob, Duration::from_secs(5)).await
    };
    let mut all = scene.world.ports.bus.subscribe(">", None).await.unwrap();
    for id in ["", "a.b", "*", ">", "a b", &"a".repeat(65)] {
        assert_eq!(ask(id).await.unwrap_err().code, Code::Invalid, "{id}");
    }
    ask("a1").await.unwrap();
    let prefix = format!("_INBOX_{}_1.llm.a1", scene.sandbox);
    loop {
        let Some(Delivery::Message(message)) = all.next().await else { panic!("the bus ended") };
        if message.parcel.json.windows(8).any(|text| text == br#""part":""#.as_slice()) {
            assert_eq!(message.subject, prefix);
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_reached_ends_the_next_call() {
    let scene = Scene::with(json!({"max_budget_per_run": 7.0}), None).await;
    scene.answer().await.unwrap();
    until(async || scene.spent("tenant.default").await["calls"] == 1).await;
    let refused = scene.answer().await.unwrap_err();
    assert_eq!(refused.code, "MaxBudgetReached");
    assert_eq!(refused.detail, "Agent reached maximum budget limit ($7); accumulated cost $7.0000.");
    assert_eq!(scene.provider.seen().len(), 1);
    let why = format!("/api/conversations/{}/why", scene.conversation);
    assert_eq!(scene.world.gateway().get(&why).await.1["blocked_by"], "budget");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_do_not_go_beyond_a_budget_by_more_than_one_of_them() {
    for (own, tenants) in [(json!({"max_budget_per_run": 20.0}), None), (json!({}), Some(20.0))] {
        let scene = Scene::with(own, tenants).await;
        let outcomes = futures_util::future::join_all((0..10).map(|_| scene.answer())).await;
        let (answered, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!((answered.len(), scene.provider.seen().len()), (3, 3), "of 7 dollars each");
        let codes = refused.into_iter().map(|outcome| outcome.unwrap_err().code);
        assert!(codes.into_iter().all(|code| code == "MaxBudgetReached"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_ceiling_holds_for_all_its_conversations() {
    let scene = Scene::with(json!({}), Some(5.0)).await;
    scene.answer().await.unwrap();
    until(async || scene.spent("tenant.default").await["calls"] == 1).await;
    let other = scene.world.gateway().create_from(body(&scene.provider, json!({}))).await;
    let sandbox = scene.world.sandbox_of(&other).await;
    let other = Scene { conversation: other.parse().unwrap(), sandbox, ..scene };
    assert_eq!(other.answer().await.unwrap_err().code, "MaxBudgetReached");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_asks_for_a_pause_gets_it_from_all_calls_of_its_key() {
    let scene = Scene::set().await;
    scene.provider.refuse_once(429, Some("0.4"));
    let begun = Instant::now();
    let refused = scene.answer().await.unwrap_err();
    assert_eq!(refused.code, "LLMRateLimitError");
    assert!(!refused.detail.contains(KEY), "{}", refused.detail);
    let refused_after = begun.elapsed();
    scene.answer().await.unwrap();
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(400), "{refused_after:?} and {waited:?}");
    assert_eq!(scene.provider.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_kept_by_those_alone_who_call_with_the_same_key_wherever_it_stands() {
    let scene = Scene::set().await;
    let with_header = |key: &str| {
        let mut body = body(&scene.provider, json!({}));
        body["agent"]["llm"]["api_key"] = Value::Null;
        body["agent"]["llm"]["extra_headers"] = json!({"X-Key": key});
        body
    };
    let mut others = Vec::new();
    for key in ["one", "one", "two"] {
        let id = scene.world.gateway().create_from(with_header(key)).await;
        others.push((id.clone(), scene.world.sandbox_of(&id).await));
    }
    let ask = async |place: usize| {
        let (id, sandbox) = &others[place];
        let broker = Broker::new(scene.world.ports.bus.clone(), sandbox.clone(), Epoch(1));
        let client = Client::new(Arc::new(Brokered::new(Arc::new(broker))));
        let request = ModelRequest::new(vec![Message::new(Role::User, "hello")], Vec::new());
        client.complete(&keyless(&scene.provider), id, &request, None).await
    };
    scene.provider.refuse_once(429, Some("3600"));
    ask(0).await.unwrap_err();
    ask(2).await.expect("another key");
    let same = tokio::time::timeout(Duration::from_millis(300), ask(1)).await;
    assert!(same.is_err(), "another conversation, and the same key: {same:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_models_with_one_url_and_name_each_has_its_own_key() {
    let provider = Provider::start().await;
    let condenser = json!({"kind": "LLMSummarizingCondenser", "llm": {"model": "openai/m", "base_url": provider.base_url(),
        "api_key": "sk-canary-two", "usage_id": "condenser"}});
    let scene = Scene::on(provider, json!({"condenser": condenser}), |_| {}).await;
    for (usage, key) in [("condenser", "sk-canary-two"), ("agent", KEY), ("of nobody", KEY)] {
        let llm = LlmConfig { usage_id: usage.to_owned(), ..keyless(&scene.provider) };
        scene.ask(&scene.sandbox, &llm).await.unwrap();
        let seen = scene.provider.seen().pop().unwrap();
        assert_eq!(seen.headers["authorization"], format!("Bearer {key}"), "{usage}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_worker_can_see_holds_a_models_key() {
    let scene = Scene::with(
        json!({"condenser": {"kind": "LLMSummarizingCondenser", "llm": {"model": "openai/m", "api_key": "sk-canary-two"}}}),
        None,
    )
    .await;
    let (world, gateway) = (&scene.world, scene.world.gateway());
    let mut all = world.ports.bus.subscribe(">", None).await.unwrap();
    world.supervisor.begin().await;
    let id = scene.conversation.to_string();
    world.until_lease(&scene.sandbox).await;
    let llm =
        json!({"model": "openai/m", "base_url": scene.provider.base_url(), "api_key": "sk-canary-three"});
    let switched = gateway.post(&format!("/api/conversations/{id}/switch_llm"), json!({"llm": llm})).await;
    assert_eq!(switched, (200, json!({"success": true})));
    let worker = world.supervisor.worker(&scene.sandbox).unwrap();
    assert!(worker.seen().iter().any(|command| matches!(command, Command::SwitchLlm { .. })));
    let copy = worker.working_copy(scene.conversation).await;
    assert_eq!((&copy.agent["llm"]["api_key"], &copy.broken_secret), (&Value::Null, &None));
    assert_eq!(copy.agent["llm"]["model"], "openai/m");
    scene.answer().await.unwrap();
    assert_eq!(
        scene.provider.seen()[0].headers["authorization"],
        "Bearer sk-canary-three",
        "the newest key is used"
    );
    scene.provider.refuse_once(401, None);
    scene.answer().await.unwrap_err();

    world.ports.bus.publish("end", ports::Parcel::default()).await.unwrap();
    let mut messages = 0;
    while let Some(Delivery::Message(message)) = all.next().await {
        if message.subject == "end" {
            break;
        }
        messages += 1;
        for bytes in [&message.parcel.json, &message.parcel.blob] {
            assert!(!String::from_utf8_lossy(bytes).contains("canary"), "{}", message.subject);
        }
    }
    assert!(messages > 10, "{messages}");
}

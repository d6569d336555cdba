//! Conversations are made from agent profiles, and get what those refer to and nothing else.

use std::time::Duration;

use bytes::Bytes;
use ports::Expect;
use ports::rpc::{self, Address, Call, Code, Limits, Reason};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::buckets::EXTENSIONS;
use types::calls::{ExtensionAnswer, ExtensionCall, SkillSources, SkillsFound};
use types::extensions::{Skill, SkillKind};
use types::{ConversationId, Epoch, SandboxId, TenantId};

use crate::harness::tokens::{bearer, token};
use crate::harness::worker::Worker;
use crate::harness::{Server, start, start_with, status_and_json};

const PROFILES: &str = "/api/agent-profiles";

/// A server with a model in its settings, and the id of the agent profile that is made of them.
async fn set_up() -> (Server, String) {
    let server = start().await;
    let llm = json!({"model": "openai/m", "api_key": "sk-marked", "base_url": "http://127.0.0.1:9/v1"});
    let servers = json!({"one": {"command": "true", "env": {"K": "sk-marked"}}, "two": {"command": "true"}});
    let change =
        json!({"agent_settings_diff": {"llm": llm, "mcp_config": servers, "persona": "You are a poet."}});
    let (status, answer) = server.send(Method::PATCH, "/api/settings", Some(&change)).await;
    assert_eq!(status, 200, "{answer}");
    let (_, listed) = server.get(PROFILES).await;
    (server, listed["active_agent_profile_id"].as_str().unwrap().to_owned())
}

/// Changes the profile `default`.
async fn change(server: &Server, fields: Value) {
    let (_, answer) = server.get(&format!("{PROFILES}/default")).await;
    let mut profile = answer["profile"].clone();
    for (name, value) in fields.as_object().unwrap() {
        profile[name] = value.clone();
    }
    let (status, answer) = server.post(&format!("{PROFILES}/default"), profile).await;
    assert_eq!(status, 201, "{answer}");
}

fn body(id: &str, more: Value) -> Value {
    let mut body = json!({"agent_profile_id": id, "workspace": {"working_dir": "/tmp/w"}});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

async fn preview(server: &Server, name: &str, draft: Option<Value>) -> (u16, Value) {
    let draft = draft.map(|profile| json!({ "profile": profile }));
    server.send(Method::POST, &format!("{PROFILES}/{name}/materialize"), draft.as_ref()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_previewed_is_what_is_launched() {
    let (server, profile) = set_up().await;
    change(
        &server,
        json!({"mcp_server_refs": ["one"], "system_message_suffix": "s", "tool_concurrency_limit": 3,
        "condenser": {"max_size": 50}, "disabled_skills": ["x"]}),
    )
    .await;
    let (_, previewed) = preview(&server, "default", None).await;
    assert_eq!((&previewed["valid"], &previewed["errors"]), (&json!(true), &json!([])), "{previewed}");
    assert_eq!(previewed["resolved_mcp_config_keys"], json!(["one"]));
    assert_eq!(previewed["llm_api_key_set"], true);
    assert!(!previewed.to_string().contains("sk-marked"), "{previewed}");
    let settings = &previewed["resolved_settings"];
    assert_eq!(settings["llm"]["api_key"], "**********");

    let id = server.create_from(body(&profile, json!({}))).await;
    let info = server.info(&id).await;
    let agent = &info["agent"];
    assert!(!info.to_string().contains("sk-marked"), "{info}");
    for field in ["model", "base_url", "stream", "num_retries"] {
        assert_eq!(agent["llm"][field], settings["llm"][field], "{field}");
    }
    for field in ["tools", "mcp_config", "tool_concurrency_limit", "persona"] {
        assert_eq!(agent[field], settings[field], "{field}");
    }
    for field in ["system_message_suffix", "disabled_skills", "load_project_skills"] {
        assert_eq!(agent["agent_context"][field], settings["agent_context"][field], "{field}");
    }
    assert_eq!((&agent["condenser"]["max_size"], &agent["condenser"]["keep_first"]), (&json!(50), &json!(2)));
    let launched =
        json!({"agent_profile_id": profile, "revision": 1, "secret_refs": null, "llm_profile_ref": null});
    assert_eq!(info["launched_agent_profile"], launched);
    let copy = server.worker.working_copy(id.parse().unwrap()).await;
    assert_eq!((&copy.agent["llm"]["api_key"], copy.broken_secret), (&json!("sk-marked"), None));
    assert_eq!(copy.agent["mcp_config"]["one"]["env"]["K"], "sk-marked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_dangling_reference_is_told_at_once_and_nothing_is_made() {
    let (server, profile) = set_up().await;
    change(&server, json!({"mcp_server_refs": ["x", "one", "y"], "llm_profile_ref": "gone"})).await;
    let (status, answer) = server.post("/api/conversations", body(&profile, json!({}))).await;
    let message = "LLM profile 'gone' not found; MCP server(s) not configured: x, y";
    let detail = json!({"code": "unresolved_profile_references", "message": message, "dangling_llm_profile_ref": "gone",
        "dangling_mcp_server_refs": ["x", "y"], "dangling_meta_profile_ref": null, "dangling_meta_profile_llm_refs": []});
    assert_eq!((status, answer), (422, json!({ "detail": detail })));
    assert_eq!(server.get("/api/conversations/count").await.1, 0);
    let (status, previewed) = preview(&server, "default", None).await;
    assert_eq!(
        (status, &previewed["valid"], &previewed["resolved_settings"]),
        (200, &json!(false), &Value::Null)
    );
    assert_eq!(
        previewed["errors"],
        json!(["LLM profile 'gone' not found", "MCP server(s) not configured: x, y"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draft_is_previewed_and_not_kept() {
    let (server, _) = set_up().await;
    let draft = json!({"llm_profile_ref": "gone", "mcp_server_refs": ["x"]});
    let (status, answer) = preview(&server, "new", Some(draft)).await;
    let wanted = json!({"agent_kind": "openhands", "valid": false,
        "errors": ["LLM profile 'gone' not found", "MCP server(s) not configured: x"],
        "unusable_tools": ["browser_tool_set"], "llm_profile_ref": "gone", "llm_profile_resolved": false,
        "llm_api_key_set": false, "mcp_server_refs": ["x"], "resolved_mcp_config_keys": [],
        "dangling_mcp_server_refs": ["x"], "disabled_skills": [], "public_skills": null, "resolved_skills": [],
        "secret_refs": null, "acp_api_key_secret_name": null, "acp_base_url_secret_name": null,
        "acp_file_secret_names": [], "meta_profile_ref": null, "dangling_meta_profile_ref": null,
        "dangling_meta_profile_llm_refs": [], "resolved_settings": null});
    assert_eq!((status, answer), (200, wanted), "as the peer has answered it");
    assert_eq!(preview(&server, "new", None).await.0, 404);
    let (status, answer) = preview(&server, "new", Some(json!({"bogus": 1}))).await;
    let missing =
        json!({"loc": ["openhands", "llm_profile_ref"], "type": "missing", "msg": "Field required"});
    let extra = json!({"loc": ["openhands", "bogus"], "type": "extra_forbidden", "msg": "Extra inputs are not permitted"});
    assert_eq!((status, answer), (422, json!({"detail": [missing, extra]})));
    for body in [json!({}), Value::Null, json!({"profile": null})] {
        let (status, _) = server.post(&format!("{PROFILES}/default/materialize"), &body).await;
        assert_eq!(status, 200, "{body}");
    }
    let acp = json!({"agent_kind": "acp", "acp_server": "codex"});
    let (_, answer) = preview(&server, "new", Some(acp)).await;
    assert_eq!(
        (&answer["valid"], &answer["acp_api_key_secret_name"]),
        (&json!(true), &json!("OPENAI_API_KEY"))
    );
    assert_eq!(answer["resolved_settings"]["agent_kind"], "acp");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_that_are_not_there_are_told_and_not_launched() {
    let (server, profile) = set_up().await;
    change(&server, json!({"tools": [{"name": "terminal"}, {"name": "browser_tool_set"}]})).await;
    let (_, previewed) = preview(&server, "default", None).await;
    assert_eq!(
        (&previewed["valid"], &previewed["unusable_tools"]),
        (&json!(true), &json!(["browser_tool_set"]))
    );
    let id = server.create_from(body(&profile, json!({}))).await;
    assert_eq!(server.info(&id).await["agent"]["tools"], json!([{"name": "terminal", "params": {}}]));
    change(&server, json!({"tools": [{"name": "hammer"}]})).await;
    let (_, previewed) = preview(&server, "default", None).await;
    assert_eq!(previewed["errors"], json!(["Tool(s) this server cannot run: hammer"]));
    assert_eq!(server.post("/api/conversations", body(&profile, json!({}))).await.0, 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_is_not_there_is_left_out_of_agents_without_a_profile() {
    let (server, _) = set_up().await;
    let tools = json!([{"name": "terminal", "params": {}}, {"name": "browser_tool_set", "params": {}}]);
    for source in ["agent", "agent_settings"] {
        let mut body = json!({"workspace": {"working_dir": "/tmp/w"}});
        body[source] = json!({"llm": {"model": "m"}, "tools": tools});
        let (status, made) = server.post("/api/conversations", body).await;
        assert_eq!(status, 201, "{source}: {made}");
        assert_eq!(made["agent"]["tools"], json!([{"name": "terminal", "params": {}}]), "{source}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_has_one_source_and_a_profile_that_there_is() {
    let (server, profile) = set_up().await;
    let unknown = "00000000-0000-4000-8000-000000000001";
    let (status, answer) = server.post("/api/conversations", body(unknown, json!({}))).await;
    let detail = format!("Agent profile with id '{unknown}' not found");
    assert_eq!((status, answer), (404, json!({ "detail": detail })));
    let settings = json!({"agent_settings": {"llm": {"model": "m"}}});
    assert_eq!(server.post("/api/conversations", body(&profile, settings)).await.0, 422);
    let additions = json!({"agent_launch_additions": {"llm_profile_ref": "gone"}});
    let (status, answer) = server.post("/api/conversations", body(&profile, additions)).await;
    assert_eq!((status, &answer["detail"]["dangling_llm_profile_ref"]), (422, &json!("gone")));
    let additions = json!({"agent_launch_additions": {"llm_profile_ref": "default", "system_message_suffix_append": "more",
        "skills": [{"name": "s", "content": "c"}]}});
    change(&server, json!({"system_message_suffix": "own"})).await;
    let id = server.create_from(body(&profile, additions)).await;
    let (_, info) = server.get(&format!("/api/conversations/{id}?include_skills=true")).await;
    assert_eq!(info["launched_agent_profile"]["llm_profile_ref"], "default");
    let context = &info["agent"]["agent_context"];
    assert_eq!(
        (&context["system_message_suffix"], &context["skills"][0]["name"]),
        (&json!("own\n\nmore"), &json!("s"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_lets_no_other_secret_through() {
    let (server, profile) = set_up().await;
    change(&server, json!({"secret_refs": ["A", "C"]})).await;
    let secrets =
        json!({"A": {"kind": "StaticSecret", "value": "1"}, "B": {"kind": "StaticSecret", "value": "2"}});
    let id = server.create_from(body(&profile, json!({ "secrets": secrets }))).await;
    let later = json!({"secrets": {"C": "3", "D": "4"}});
    assert_eq!(server.post(&format!("/api/conversations/{id}/secrets"), later).await.0, 200);
    let info = server.info(&id).await;
    let known: Vec<&String> = info["secret_registry"]["secret_sources"].as_object().unwrap().keys().collect();
    assert_eq!(known, ["A", "C"]);
    let copy = server.worker.working_copy(id.parse().unwrap()).await;
    assert_eq!(copy.secrets.keys().collect::<Vec<_>>(), ["A", "C"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_lookup_never_leaves_the_server_and_holds_no_key() {
    let (server, profile) = set_up().await;
    let secret = json!({"name": "KEPT", "value": "kept-value"});
    assert_eq!(server.send(Method::PUT, "/api/settings/secrets", Some(&secret)).await.0, 200);
    let url = format!("http://{}/api/settings/secrets/KEPT", server.address);
    let own = json!({"kind": "LookupSecret", "url": url, "headers": {"X-Session-API-Key": "sk-session"}});
    let other = json!({"kind": "LookupSecret", "url": "http://other.example/KEPT", "headers": {"X": "y"}});
    let id = server.create_from(body(&profile, json!({"secrets": {"OWN": own, "OTHER": other}}))).await;
    let later = json!({"secrets": {"LATER": own, "GONE": {"url": "/api/settings/secrets/GONE"}}});
    assert_eq!(server.post(&format!("/api/conversations/{id}/secrets"), later).await.0, 200);
    let conversation: ConversationId = id.parse().unwrap();
    let copy = server.worker.working_copy(conversation).await;
    assert!(!serde_json::to_string(&copy).unwrap().contains("sk-session"));
    for name in ["OWN", "LATER"] {
        let looked_up = server.worker.look_up(conversation, name).await.unwrap();
        assert_eq!(looked_up.as_deref(), Some("kept-value"), "{name}");
    }
    for name in ["OTHER", "GONE", "KEPT"] {
        assert_eq!(server.worker.look_up(conversation, name).await.unwrap(), None, "{name}");
    }

    let sandbox = SandboxId::from(&TenantId::parse("another").unwrap());
    let stranger = Worker::start_as(&server.ports, sandbox, Epoch(1)).await;
    assert_eq!(stranger.look_up(conversation, "OWN").await.unwrap_err().code, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_a_proxy_shows_is_one_of_this_server() {
    let server = start_with(|config| {
        config.site.root_path = "/shown".to_owned();
        config.site.web_url = Some("https://proxy.example/shown".to_owned());
    })
    .await;
    let secret = json!({"name": "KEPT", "value": "kept-value"});
    assert_eq!(server.send(Method::PUT, "/api/settings/secrets", Some(&secret)).await.0, 200);
    let id = server.create().await;
    let own = json!({"url": "https://proxy.example/shown/api/settings/secrets/KEPT", "headers": {"X": "sk-session"}});
    let bare = json!({"url": format!("http://{}/api/settings/secrets/KEPT", server.address)});
    let other = json!({"url": "https://proxy.example/api/settings/secrets/KEPT"});
    let secrets = json!({"secrets": {"OWN": own, "BARE": bare, "OTHER": other}});
    assert_eq!(server.post(&format!("/api/conversations/{id}/secrets"), secrets).await.0, 200);
    let conversation: ConversationId = id.parse().unwrap();
    let copy = server.worker.working_copy(conversation).await;
    assert!(!serde_json::to_string(&copy).unwrap().contains("sk-session"));
    for (name, value) in [("OWN", Some("kept-value")), ("BARE", Some("kept-value")), ("OTHER", None)] {
        assert_eq!(server.worker.look_up(conversation, name).await.unwrap().as_deref(), value, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_the_profile_excludes_is_not_looked_up_either() {
    let (server, profile) = set_up().await;
    let secret = json!({"name": "KEPT", "value": "kept-value"});
    server.send(Method::PUT, "/api/settings/secrets", Some(&secret)).await;
    change(&server, json!({"secret_refs": []})).await;
    let own = json!({"kind": "LookupSecret", "url": "/api/settings/secrets/KEPT"});
    let id = server.create_from(body(&profile, json!({"secrets": {"OWN": own}}))).await;
    assert_eq!(server.worker.look_up(id.parse().unwrap(), "OWN").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_goes_on_with_the_model_of_a_profile() {
    let (server, profile) = set_up().await;
    let id = server.create_from(body(&profile, json!({}))).await;
    let switch =
        async |body: Value| server.post(&format!("/api/conversations/{id}/switch_profile"), body).await;
    assert_eq!(switch(json!({"profile_name": "default"})).await, (200, json!({"success": true})));
    let llm = server.info(&id).await["agent"]["llm"].clone();
    assert_eq!((&llm["model"], &llm["usage_id"]), (&json!("openai/m"), &json!("profile:default")));
    let copy = server.worker.working_copy(id.parse().unwrap()).await;
    assert_eq!(copy.agent["llm"]["api_key"], "sk-marked");
    let nope = json!({"detail": "Profile 'nope' not found"});
    assert_eq!(switch(json!({"profile_name": "nope"})).await, (404, nope));
    let bad = "Invalid profile name: '../x'. Profile names must be 1-64 characters, start with a letter or digit, and \
               contain only letters, digits, '.', '_', or '-'.";
    assert_eq!(switch(json!({"profile_name": "../x"})).await, (400, json!({ "detail": bad })));
    let (status, answer) = switch(json!({})).await;
    assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["body", "profile_name"])));
    let unknown = "/api/conversations/00000000-0000-4000-8000-000000000001/switch_profile";
    let (status, answer) = server.post(unknown, json!({"profile_name": "default"})).await;
    assert_eq!((status, &answer["detail"]), (404, &json!("Not Found")));
    let dangling = json!({"llm": {"model": "m", "provider_connection_id": "zz"}});
    let switch_llm = format!("/api/conversations/{id}/switch_llm");
    assert_eq!(server.post(&switch_llm, &dangling).await.0, 422);
    let with_key = json!({"llm": {"model": "m", "provider_connection_id": "zz", "api_key": "own"}});
    assert_eq!(server.post(&switch_llm, &with_key).await.0, 200);
}

fn skill(name: &str) -> Skill {
    Skill {
        name: name.to_owned(),
        kind: SkillKind::Repo,
        content: format!("what {name} knows"),
        triggers: Vec::new(),
        source: None,
        description: None,
        is_agentskills_format: false,
        disable_model_invocation: false,
    }
}

/// The worker of a sandbox answers what `answer` says when it is asked for skills.
async fn with_worker<F: Future<Output = SkillsFound> + Send + 'static>(
    server: &Server,
    sandbox: &SandboxId,
    answer: impl Fn(SkillSources) -> F + Clone + Send + Sync + 'static,
) {
    let answer = move |call: Call<ExtensionCall>| {
        let answer = answer.clone();
        async move {
            let ExtensionCall::Skills(sources) = call.body else { return Err(Reason::OtherRelease.into()) };
            Ok((ExtensionAnswer::Skills(answer(sources).await), Bytes::new()))
        }
    };
    let calls = rpc::Server::new(server.ports.bus.clone(), TaskTracker::new(), CancellationToken::new());
    calls.serve(&Address::of_worker(sandbox, None), None, Limits::new(64, 1 << 20), answer).await.unwrap();
}

fn found(user: &[Skill], public: &[Skill]) -> SkillsFound {
    SkillsFound { user: user.to_vec(), public: public.to_vec(), ..SkillsFound::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_launched_agent_has_the_skills_that_its_profile_leaves_it() {
    let (server, profile) = set_up().await;
    with_worker(&server, &SandboxId::shared(), async |sources| {
        assert!(sources.only_kept, "a launch waits for no catalogue");
        found(&[skill("own")], &[skill("one"), skill("two")])
    })
    .await;
    for (wanted, names) in [
        (json!({"disabled_skills": [], "public_skills": null}), vec!["one", "two", "own"]),
        (json!({"disabled_skills": ["one", "gone"], "public_skills": null}), vec!["two", "own"]),
        (json!({"disabled_skills": [], "public_skills": ["two", "gone"]}), vec!["two", "own"]),
    ] {
        change(&server, wanted.clone()).await;
        let (_, previewed) = preview(&server, "default", None).await;
        assert_eq!(previewed["resolved_skills"], json!(names), "{wanted}");
        let id = server.create_from(body(&profile, json!({}))).await;
        let copy = server.worker.working_copy(id.parse().unwrap()).await;
        let skills = copy.agent["agent_context"]["skills"].as_array().unwrap();
        assert_eq!(skills.iter().map(|skill| skill["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
        assert_eq!(skills[0]["content"], json!(format!("what {} knows", names[0])));
    }
}

/// The skills of a new conversation, and what it came to.
async fn launched(server: &Server, profile: &str) -> Vec<Value> {
    let id = server.create_from(body(profile, json!({}))).await;
    let copy = server.worker.working_copy(id.parse().unwrap()).await;
    copy.agent["agent_context"]["skills"].as_array().cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_launch_goes_on_without_a_worker_that_does_not_answer() {
    let (server, profile) = set_up().await;
    with_worker(&server, &SandboxId::shared(), |_| std::future::pending()).await;
    let launching = launched(&server, &profile);
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), launching).await.unwrap(), [json!(null); 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_does_not_hold_the_texts_of_a_whole_catalogue() {
    let (server, profile) = set_up().await;
    with_worker(&server, &SandboxId::shared(), async |_| {
        let large = |at: usize, kind| Skill {
            kind,
            content: "long ".repeat(9 << 10),
            is_agentskills_format: kind == SkillKind::AgentSkills,
            ..skill(&format!("s-{at}"))
        };
        let followed = (0..20).map(|at| large(at, SkillKind::Repo));
        let opened = (20..60).map(|at| large(at, SkillKind::AgentSkills));
        found(&[], &followed.chain(opened).collect::<Vec<_>>())
    })
    .await;
    let skills = launched(&server, &profile).await;
    assert!(json!(skills).to_string().len() < 520 << 10, "{}", json!(skills).to_string().len());
    let opened: Vec<&Value> = skills.iter().filter(|skill| skill["is_agentskills_format"] == true).collect();
    assert_eq!(opened.len(), 40, "they are small without their texts");
    let with_text = opened.iter().filter(|skill| skill["content"] != "").count();
    assert_eq!(with_text, 5, "as many texts as there is room for, for who takes the conversation elsewhere");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_launch_goes_on_where_what_is_installed_cannot_be_read() {
    let (server, profile) = set_up().await;
    server.ports.kv.put(EXTENSIONS, "default", Bytes::from_static(b"{"), Expect::Anything).await.unwrap();
    assert_eq!(launched(&server, &profile).await, [json!(null); 0]);
    assert_eq!(preview(&server, "default", None).await.1["valid"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_has_no_skills_of_another_tenant() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    for tenant in ["a", "b"] {
        let own = skill(&format!("of-{tenant}"));
        let answer = move |_| std::future::ready(found(std::slice::from_ref(&own), &[]));
        with_worker(&server, &SandboxId::parse(tenant).unwrap(), answer).await;
    }
    for tenant in ["a", "b"] {
        let ask = async |method: Method, path: &str, body: Option<&Value>| {
            let request = server.request(method, path).bearer_auth(token(tenant, "read write"));
            let request = match body {
                Some(body) => request.json(body),
                None => request,
            };
            status_and_json(request.send().await.unwrap()).await
        };
        let llm = json!({"model": "openai/m", "api_key": "sk", "base_url": "http://127.0.0.1:9/v1"});
        let llm = json!({"agent_settings_diff": { "llm": llm }});
        assert_eq!(ask(Method::PATCH, "/api/settings", Some(&llm)).await.0, 200);
        assert_eq!(ask(Method::GET, PROFILES, None).await.0, 200);
        let (_, previewed) = ask(Method::POST, &format!("{PROFILES}/default/materialize"), None).await;
        assert_eq!(previewed["resolved_skills"], json!([format!("of-{tenant}")]), "{previewed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_creation_says_of_titles_and_of_other_agents_is_checked() {
    let (server, profile) = set_up().await;
    let create = async |more: Value| server.post("/api/conversations", body(&profile, more)).await;
    let (status, answer) = create(json!({"prompt": "p".repeat(2_001)})).await;
    let problem = json!([{"type": "string_too_long", "loc": ["body", "prompt"],
        "msg": "String should have at most 2000 characters", "ctx": {"max_length": 2000}}]);
    assert_eq!((status, &answer["detail"]), (422, &problem));
    for (wrong, place) in [
        (json!({"agent_definitions": [{"name": "a"}, {}]}), json!(["body", "agent_definitions", 1, "name"])),
        (json!({"agent_definitions": ["a"]}), json!(["body", "agent_definitions", 0])),
        (json!({"title_llm_profile": 1}), json!(["body", "title_llm_profile"])),
    ] {
        let (status, answer) = create(wrong).await;
        assert_eq!((status, &answer["detail"][0]["loc"]), (422, &place), "{answer}");
    }
    // As at the peer, a profile for titles that is not there is no failure.
    let longest = json!({"prompt": "\u{e9}".repeat(2_000), "title_llm_profile": "gone", "agent_definitions": [{"name": "a"}]});
    let (status, made) = create(longest).await;
    assert_eq!(status, 201, "{made}");
    let key = made["id"].as_str().unwrap().replace('-', "");
    let stored = server.ports.kv.get("CONVERSATIONS", &key).await.unwrap().unwrap().value;
    let stored: Value = serde_json::from_slice(&stored).unwrap();
    assert_eq!(
        (&stored["titling"]["llm_profile"], &stored["titling"]["llm"]),
        (&json!("gone"), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_for_titles_is_given_to_the_worker_and_stored_without_its_key() {
    let (server, profile) = set_up().await;
    let id = server
        .create_from(body(&profile, json!({"title_llm_profile": "default", "prompt": "Name it."})))
        .await;
    let conversation: ConversationId = id.parse().unwrap();
    let copy = server.worker.working_copy(conversation).await;
    let llm = copy.title_llm.unwrap();
    assert_eq!((&llm["model"], &llm["api_key"]), (&json!("openai/m"), &json!("sk-marked")));
    assert_eq!(copy.title_prompt.as_deref(), Some("Name it."));
    let stored = server.ports.kv.get("CONVERSATIONS", &conversation.hex()).await.unwrap().unwrap().value;
    assert!(!String::from_utf8_lossy(&stored).contains("sk-marked"));
    let (status, copy) = server.post(&format!("/api/conversations/{id}/fork"), json!({})).await;
    assert_eq!(status, 201, "{copy}");
    let copied = server.worker.working_copy(copy["id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(copied.title_llm.unwrap()["api_key"], "sk-marked");
}

/// Of the peer's, all but those of what is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_told_what_can_be_done_with_profiles_and_skills() {
    let server = start().await;
    let (_, info) = server.get("/server_info").await;
    let told = info["capabilities"].as_array().unwrap();
    let has = |name: &str| told.iter().any(|told| told == name);
    for name in [
        "conversation_runtime_routes_v1",
        "profile_secret_scope_v1",
        "profile_persona_v1",
        "idempotent_conversation_create_v1",
        "tool_catalog_v1",
        "agent_profile_draft_materialize_v1",
        "agent_launch_pipeline_v1",
        "profile_public_skills_v1",
        "skill_catalog_v1",
    ] {
        assert!(has(name), "{name}: {told:?}");
    }
    assert!(!told.iter().any(|told| told.as_str().unwrap().starts_with("credential_binding")), "{told:?}");
}

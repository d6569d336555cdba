//! Conversations over REST.

use crate::harness::{create_body, start, start_with};
use reqwest::Method;
use serde_json::{Value, json};
use types::calls::Command;
use types::{ConversationId, LogId, SandboxId, Seq};

fn id_of(text: &str) -> ConversationId {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_conversation_is_answered_whole_and_shows_no_secret() {
    let server = crate::harness::start().await;
    let (status, made) = server.post("/api/conversations", create_body()).await;
    assert_eq!(status, 201);
    let id = made["id"].as_str().unwrap();
    let hex = id.replace('-', "");
    assert_eq!(made["persistence_dir"], format!("workspace/conversations/{hex}"));
    assert_eq!(made["execution_status"], "idle");
    assert_eq!(made["agent"]["llm"]["api_key"], Value::Null);
    assert_eq!(made["agent"]["llm"]["num_retries"], 5);
    assert_eq!(made["stats"], json!({"usage_to_metrics": {}}));
    assert_eq!(made["runtime_info"], Value::Null);
    assert_eq!(made["created_at"], made["updated_at"]);
    let mut names: Vec<&String> = made.as_object().unwrap().keys().collect();
    names.sort();
    let mut wanted = INFO_FIELDS.to_vec();
    wanted.sort_unstable();
    assert_eq!(names, wanted);

    let got = server.info(&hex).await;
    assert_eq!(
        got["runtime_info"],
        json!({"runtime_status": "available", "can_resume": true, "runtime_error": null})
    );
    assert!(!got.to_string().contains("sk-secret"));
    let copy = server.worker.working_copy(id_of(id)).await;
    assert_eq!(copy.agent["llm"]["api_key"], "sk-secret");
}

const INFO_FIELDS: [&str; 35] = [
    "id",
    "workspace",
    "persistence_dir",
    "max_iterations",
    "stuck_detection",
    "execution_status",
    "confirmation_policy",
    "security_analyzer",
    "activated_knowledge_skills",
    "invoked_skills",
    "blocked_actions",
    "blocked_messages",
    "last_user_message_id",
    "leaf_event_id",
    "stats",
    "secret_registry",
    "agent_state",
    "hook_config",
    "title",
    "metrics",
    "created_at",
    "updated_at",
    "forked_from_conversation_id",
    "forked_from_event_id",
    "parent_conversation_id",
    "sub_conversation_ids",
    "tags",
    "current_model_id",
    "available_models",
    "supports_runtime_model_switch",
    "launched_agent_profile",
    "agent",
    "client_tools",
    "tool_module_qualnames",
    "runtime_info",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_id_makes_one_conversation_also_when_many_create_it_at_once() {
    let server = start().await;
    let id = "11111111-2222-4333-8444-555555555555";
    let mut body = create_body();
    body["conversation_id"] = id.into();
    body["initial_message"] = json!({"content": [{"type": "text", "text": "hello"}], "run": false});
    let creations = (0..8).map(|_| server.post("/api/conversations", body.clone()));
    let mut statuses: Vec<u16> =
        futures_util::future::join_all(creations).await.into_iter().map(|(s, _)| s).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 201]);
    let messages = server.worker.seen().iter().filter(|c| matches!(c, Command::Message { .. })).count();
    assert_eq!(messages, 1);

    let other = json!({"conversation_id": id, "workspace": {"working_dir": "/elsewhere"}, "agent": {"llm": {"model": "other"}}});
    let (status, info) = server.post("/api/conversations", other).await;
    assert_eq!((status, &info["workspace"]["working_dir"]), (200, &json!("/tmp/w")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_message_starts_a_run_unless_told_not_to() {
    let server = start().await;
    for (run, wanted) in [(Value::Null, "finished"), (json!(true), "finished"), (json!(false), "idle")] {
        let mut body = create_body();
        body["initial_message"] =
            json!({"role": "user", "content": [{"type": "text", "text": "hi"}], "run": run});
        let (status, made) = server.post("/api/conversations", body).await;
        assert_eq!(status, 201);
        let id = made["id"].as_str().unwrap();
        server.until_status(id, wanted).await;
        assert!(server.info(id).await["last_user_message_id"].is_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_run_slot_nothing_is_left_of_a_creation_and_a_retry_runs_what_was_stored() {
    let server = start().await;
    server.worker.script(|script| script.busy = true);
    let mut body = create_body();
    body["initial_message"] = json!({"content": [{"type": "text", "text": "hi"}]});
    let (status, refused) = server.post("/api/conversations", body.clone()).await;
    assert_eq!(
        (status, &refused["detail"]),
        (429, &json!("Conversation run limit reached. Retry the request later."))
    );
    assert_eq!(server.get("/api/conversations/count").await.1, 0);

    let id = "11111111-2222-4333-8444-555555555556";
    body["conversation_id"] = id.into();
    assert_eq!(server.post("/api/conversations", body.clone()).await.0, 429);
    server.worker.script(|script| script.busy = false);
    assert_eq!(server.post("/api/conversations", body).await.0, 200);
    server.until_status(id, "finished").await;
    let (_, users) = server.get(&format!("/api/conversations/{id}/events/count?source=user")).await;
    assert_eq!(users, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_creations_are_refused_and_leave_nothing() {
    let server = start().await;
    let with = |field: &str, value: Value| {
        let mut body = create_body();
        body[field] = value;
        body
    };
    let unknown = "00000000-0000-0000-0000-000000000009";
    let tool = json!({"llm": {"model": "m"}, "tools": [{"name": "no_such_tool"}]});
    let cases = [
        (json!({}), 422),
        (with("workspace", Value::Null), 422),
        (json!({"workspace": {"working_dir": "/tmp/x"}}), 422),
        (with("agent_profile_id", unknown.into()), 422),
        (json!({"workspace": {"working_dir": "/tmp/x"}, "agent_profile_id": unknown}), 404),
        (with("agent", json!({"kind": "NoSuchAgent", "llm": {"model": "m"}})), 422),
        (with("agent", json!({"llm": {"api_key": "sk-secret"}})), 422),
        (with("agent", tool), 422),
        (with("max_iterations", json!(0)), 422),
        (with("conversation_id", json!("nope")), 422),
        (with("parent_conversation_id", unknown.into()), 422),
        (with("conversation_runtime", json!("docker")), 422),
        (with("tags", json!({"Bad-Key": "x"})), 422),
        (with("secrets", json!({"A": 1})), 422),
        (with("secrets", json!({"A": {"value": "x".repeat(70_000)}})), 422),
        (with("security_analyzer", json!({"kind": "Other"})), 422),
        (with("confirmation_policy", json!({"kind": "Maybe"})), 422),
        (with("initial_message", json!({"role": "assistant"})), 422),
    ];
    for (body, wanted) in cases {
        let (status, answer) = server.post("/api/conversations", body.clone()).await;
        assert_eq!(status, wanted, "{body} {answer}");
        assert!(!answer.to_string().contains("sk-secret"), "{answer}");
    }
    assert_eq!(server.get("/api/conversations/count").await.1, 0);
    assert_eq!(server.post("/api/conversations", with("unknown_field", json!(1))).await.0, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_make_an_agent_with_sealed_secrets_opened() {
    let server = start().await;
    // Of the server this one replaces, under the same secret key.
    let sealed = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0OD20UVHzTLEduln9R6NPUGzF_OJwS07OAqUh5lcFdvn8fqqwQOQ8Eo2OIojKtPzPW1w==";
    let body = json!({"workspace": {"working_dir": "/tmp/w"}, "secrets_encrypted": true,
        "agent_settings": {"agent_kind": "openhands", "llm": {"model": "m", "api_key": sealed, "stream": true},
            "agent_context": {"skills": [{"name": "s"}], "secrets": {"TOKEN": "tok-secret"}}}});
    let (status, made) = server.post("/api/conversations", body).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["agent"]["tools"][0]["name"], "terminal");
    assert_eq!(made["agent"]["agent_context"]["skills"], json!([]));
    assert_eq!(made["secret_registry"]["secret_sources"]["TOKEN"]["value"], Value::Null);
    assert!(!made.to_string().contains("-secret"), "{made}");
    let id = made["id"].as_str().unwrap();
    let (_, whole) = server.get(&format!("/api/conversations/{id}?include_skills=true")).await;
    assert_eq!(whole["agent"]["agent_context"]["skills"][0]["name"], "s");
    let copy = server.worker.working_copy(id_of(id)).await;
    assert_eq!(copy.agent["llm"]["api_key"], "sk-secret");
    assert!(format!("{:?}", copy.secrets["TOKEN"]).contains("tok-secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_told_of_a_secret_that_cannot_be_opened() {
    let server = start().await;
    let id = id_of(&server.create().await);
    assert_eq!(server.worker.working_copy(id).await.broken_secret, None);
    let stored = server.ports.kv.get("CONVERSATIONS", &id.hex()).await.unwrap().unwrap();
    let mut record: Value = serde_json::from_slice(&stored.value).unwrap();
    let other = vault::Vault::new(&"another server's key".into(), &[]);
    record["agent"]["llm"]["api_key"] =
        other.seal("sk-secret", &format!("conversations/{}", id.hex())).into();
    let record = serde_json::to_vec(&record).unwrap().into();
    server.ports.kv.put("CONVERSATIONS", &id.hex(), record, ports::Expect::Anything).await.unwrap();
    let copy = server.worker.working_copy(id).await;
    assert_eq!(copy.agent["llm"]["api_key"], Value::Null);
    assert!(copy.broken_secret.unwrap().contains("OH_SECRET_KEY"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_is_paged_counted_and_filtered() {
    let server = start().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(server.create().await);
    }
    server.say(&ids[1], "hi", true).await;
    server.until_status(&ids[1], "finished").await;

    let mut seen = Vec::new();
    let mut path = "/api/conversations/search?limit=2".to_owned();
    loop {
        let (_, page) = server.get(&path).await;
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next_page_id"].as_str() else { break };
        path = format!("/api/conversations/search?limit=2&page_id={next}");
    }
    ids.reverse();
    assert_eq!(seen, ids);
    ids.reverse();

    let first = async |query: &str| {
        let (_, page) = server.get(&format!("/api/conversations/search?{query}")).await;
        page["items"][0]["id"].as_str().map(str::to_owned)
    };
    assert_eq!(first("sort_order=CREATED_AT").await.as_ref(), Some(&ids[0]));
    assert_eq!(first("sort_order=UPDATED_AT_DESC").await.as_ref(), Some(&ids[1]));
    assert_eq!(first("status=finished").await.as_ref(), Some(&ids[1]));
    assert_eq!(first("page_id=deadbeef&limit=1").await.as_ref(), Some(&ids[4]));
    assert_eq!(server.get("/api/conversations/count").await.1, 5);
    assert_eq!(server.get("/api/conversations/count?status=idle").await.1, 4);

    let unknown = "00000000-0000-0000-0000-000000000007";
    let (_, batch) =
        server.get(&format!("/api/conversations?ids={}&ids={unknown}&ids={}", ids[2], ids[0])).await;
    assert_eq!((&batch[0]["id"], &batch[1], &batch[2]["id"]), (&json!(ids[2]), &Value::Null, &json!(ids[0])));

    for (path, place) in [
        ("/api/conversations/search?limit=0", "limit"),
        ("/api/conversations/search?limit=101", "limit"),
        ("/api/conversations/search?sort_order=NOPE", "sort_order"),
        ("/api/conversations/search?status=nope", "status"),
        ("/api/conversations", "ids"),
        ("/api/conversations?ids=x", "ids"),
        ("/api/conversations/not-a-uuid", "conversation_id"),
    ] {
        let (status, answer) = server.get(path).await;
        assert_eq!((status, &answer["detail"][0]["loc"][1]), (422, &json!(place)), "{path} {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_conversation_is_answered_as_each_route_does() {
    let server = start().await;
    let id = "00000000-0000-0000-0000-000000000007";
    let cases = [
        (Method::GET, "", None, 404, json!({"detail": "Not Found"})),
        (Method::DELETE, "", None, 404, json!({"detail": "Not Found"})),
        (Method::PATCH, "", Some(json!({"title": "x"})), 404, json!({"detail": "Not Found"})),
        (Method::POST, "/run", None, 404, json!({"detail": "Not Found"})),
        (Method::POST, "/pause", None, 404, json!({"detail": "Not Found"})),
        (Method::POST, "/interrupt", None, 404, json!({"detail": "Not Found"})),
        (Method::POST, "/secrets", Some(json!({"secrets": {}})), 404, json!({"detail": "Not Found"})),
        (
            Method::POST,
            "/ask_agent",
            Some(json!({"question": "x"})),
            404,
            json!({"detail": "Conversation not found"}),
        ),
        (Method::POST, "/condense", None, 404, json!({"detail": "Conversation not found"})),
        (Method::GET, "/runtime", None, 404, json!({"detail": "Not Found"})),
        (
            Method::GET,
            "/events/search",
            None,
            404,
            json!({"detail": format!("Conversation not found: {id}")}),
        ),
        (
            Method::POST,
            "/events",
            Some(json!({})),
            404,
            json!({"detail": format!("Conversation not found: {id}")}),
        ),
    ];
    for (method, route, body, status, answer) in cases {
        let got = server.send(method, &format!("/api/conversations/{id}{route}"), body.as_ref()).await;
        assert_eq!(got, (status, answer), "{route}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_is_read_back_at_once() {
    let server = start().await;
    let id = server.create().await;
    let at = |route: &str| format!("/api/conversations/{id}{route}");
    let patch = async |body: Value| server.send(Method::PATCH, &at(""), Some(&body)).await;
    assert_eq!(
        patch(json!({"title": "  Renamed  ", "tags": {"team": "blue"}})).await,
        (200, json!({"success": true}))
    );
    server.post(&at("/confirmation_policy"), json!({"policy": {"kind": "AlwaysConfirm"}})).await;
    server
        .post(&at("/security_analyzer"), json!({"security_analyzer": {"kind": "LLMSecurityAnalyzer"}}))
        .await;
    server
        .post(
            &at("/secrets"),
            json!({"secrets": {"A": "s1-secret", "B": {"value": "s2-secret", "description": "d"}}}),
        )
        .await;
    server.post(&at("/switch_llm"), json!({"llm": {"model": "other", "api_key": "sk2-secret"}})).await;
    let info = server.info(&id).await;
    assert_eq!((&info["title"], &info["tags"]), (&json!("Renamed"), &json!({"team": "blue"})));
    assert_eq!(info["confirmation_policy"], json!({"kind": "AlwaysConfirm"}));
    assert_eq!(info["security_analyzer"], json!({"kind": "LLMSecurityAnalyzer"}));
    assert_eq!(info["agent"]["llm"]["model"], "other");
    assert_eq!(
        info["secret_registry"]["secret_sources"]["B"],
        json!({"kind": "StaticSecret", "description": "d", "value": null})
    );
    assert!(!info.to_string().contains("-secret"), "{info}");

    for body in [
        json!({"title": "   "}),
        json!({"title": ""}),
        json!({"title": "x".repeat(201)}),
        json!({"tags": {"Bad-Key": "x"}}),
    ] {
        assert_eq!(patch(body.clone()).await.0, 422, "{body}");
    }
    for (route, body) in [
        ("/confirmation_policy", json!({"policy": {"kind": "Maybe"}})),
        ("/security_analyzer", json!({})),
        ("/security_analyzer", json!({"security_analyzer": {"kind": "Other"}})),
        ("/secrets", json!({})),
        ("/secrets", json!({"secrets": {"A": 1}})),
        ("/switch_llm", json!({"llm": {}})),
    ] {
        assert_eq!(server.post(&at(route), body.clone()).await.0, 422, "{route} {body}");
    }
    assert_eq!(
        server.post(&at("/condense"), json!({})).await,
        (409, json!({"detail": "There is no condenser"})),
        "a conflict with what the agent is"
    );
    assert_eq!(
        server.post(&at("/ask_agent"), json!({"question": "why"})).await.1,
        json!({"response": "You asked: why"})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typed_object_is_only_taken_as_an_object() {
    let server = start().await;
    let id = server.create().await;
    let created = |place: &[&str], value: &Value| {
        let mut body = create_body();
        if place.first() == Some(&"agent_settings") {
            body.as_object_mut().unwrap().remove("agent");
            body["agent_settings"] = json!({"llm": {"model": "openai/m"}});
        }
        let mut field = &mut body;
        for name in place {
            field = &mut field[*name];
        }
        *field = value.clone();
        ("/api/conversations".to_owned(), place.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(), body)
    };
    let posted = |route: &str, place: &[&str], value: &Value| {
        let mut body = json!({});
        let mut field = &mut body;
        for name in place {
            field = &mut field[*name];
        }
        *field = value.clone();
        let place = place.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        (format!("/api/conversations/{id}{route}"), place, body)
    };
    for value in [json!("hunter2"), json!(7), json!(["NeverConfirm"]), json!([]), Value::Null] {
        let mut cases = vec![
            created(&["workspace"], &value),
            created(&["secrets", "TOKEN"], &value),
            posted("/confirmation_policy", &["policy"], &value),
            posted("/switch_llm", &["llm"], &value),
        ];
        if !value.is_null() {
            cases.extend([
                created(&["agent"], &value),
                created(&["agent", "llm"], &value),
                created(&["agent", "condenser"], &value),
                created(&["agent_settings"], &value),
                created(&["agent_settings", "condenser"], &value),
                created(&["confirmation_policy"], &value),
                created(&["security_analyzer"], &value),
                created(&["initial_message"], &value),
                posted("/security_analyzer", &["security_analyzer"], &value),
            ]);
        }
        if !value.is_string() {
            cases.push(posted("/secrets", &["secrets", "TOKEN"], &value));
        }
        for (path, place, body) in cases {
            let (status, answer) = server.post(&path, body.clone()).await;
            let problem = &answer["detail"][0];
            assert_eq!((status, &problem["type"]), (422, &json!("model_attributes_type")), "{body} {answer}");
            let loc: Vec<String> = ["body".to_owned()].into_iter().chain(place).collect();
            assert_eq!(problem["loc"], json!(loc), "{body}");
            assert!(!answer.to_string().contains("hunter2"), "{answer}");
        }
    }
    let (status, answer) =
        server.post(&format!("/api/conversations/{id}/events"), json!({"content": [["text"]]})).await;
    assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["body", "content", 0])), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_sets_the_title_only_where_there_is_none() {
    let server = start().await;
    let id = server.create().await;
    server.worker.set_title(id_of(&id), "First").await;
    server.worker.set_title(id_of(&id), "Second").await;
    assert_eq!(server.info(&id).await["title"], "First");

    let id = server.create().await;
    server.worker.set_title(id_of(&id), "\u{202e}\n ").await;
    assert_eq!(server.info(&id).await["title"], Value::Null, "nothing of it can be seen");
    server.worker.set_title(id_of(&id), &format!("a\n\u{1b}b{}", "é".repeat(1 << 20))).await;
    let info = server.info(&id).await;
    let title = info["title"].as_str().unwrap();
    assert!(title.starts_with("a bé") && title.chars().count() <= 200, "{}", title.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_seen_running_when_its_start_is_answered() {
    let server = start().await;
    server.worker.script(|script| script.takes = std::time::Duration::from_millis(300));
    let id = server.create().await;
    server.say(&id, "hi", false).await;
    assert_eq!(server.run(&id).await, (200, json!({"success": true})));
    assert_eq!(server.info(&id).await["execution_status"], "running");
    let (status, answer) = server.run(&id).await;
    assert_eq!(status, 409);
    assert_eq!(answer["detail"], "Conversation already running. Wait for completion or pause first.");
    server.until_status(&id, "finished").await;
    server.worker.script(|script| script.busy = true);
    assert_eq!(server.run(&id).await.0, 429);
    let (status, answer) = server.say(&id, "more", true).await;
    assert_eq!(status, 429);
    assert!(answer["detail"].as_str().unwrap().starts_with("Message saved, but"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_conversation_is_gone_and_its_id_begins_anew() {
    let server = start().await;
    let mut body = create_body();
    let id = "11111111-2222-4333-8444-555555555557";
    body["conversation_id"] = id.into();
    server.post("/api/conversations", body.clone()).await;
    server.say(id, "hi", true).await;
    server.until_status(id, "finished").await;
    let path = format!("/api/conversations/{id}");
    let snapshots = LogId::snapshots(&SandboxId::shared(), id.parse().unwrap());
    server.ports.log.append(&snapshots, Seq::ZERO, vec!["one".into()]).await.unwrap();
    assert_eq!(server.send(Method::DELETE, &path, None).await, (200, json!({"success": true})));
    assert_eq!(server.get(&path).await.0, 404);
    assert_eq!(server.send(Method::DELETE, &path, None).await.0, 404);
    let folder = format!("workspace/conversations/{}", id.replace('-', ""));
    let forgets = |command: &Command| matches!(command, Command::Forget { persistence_dir, .. } if *persistence_dir == folder);
    assert!(server.worker.seen().iter().any(forgets));
    assert_eq!(server.ports.log.tail(&snapshots).await, Ok(Seq::ZERO), "its snapshots go with it");

    assert_eq!(server.post("/api/conversations", body).await.0, 201);
    assert_eq!(server.get(&format!("{path}/events/count")).await.1, 0);
    server.say(id, "again", true).await;
    server.until_status(id, "finished").await;
    let (_, page) = server.get(&format!("{path}/events/search?kind=MessageEvent&source=user")).await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_everything_and_closes_a_run_that_was_cut_off() {
    let server = start().await;
    let done = server.create().await;
    server.say(&done, "hi", true).await;
    server.until_status(&done, "finished").await;
    server.worker.script(|script| script.takes = std::time::Duration::from_secs(3600));
    let cut_off = server.create().await;
    server.say(&cut_off, "hi", true).await;
    let before = server.info(&done).await;

    let server = server.restart().await;
    assert_eq!(server.info(&done).await, before);
    server.until_status(&cut_off, "error").await;
    assert_eq!(server.get("/api/conversations/count").await.1, 2);
    server.say(&done, "more", true).await;
    server.until_status(&done, "finished").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agents_last_word_is_found() {
    let server = start().await;
    let id = server.create().await;
    let path = format!("/api/conversations/{id}/agent_final_response");
    assert_eq!(server.get(&path).await.1, json!({"response": ""}));
    let events = vec![
        crate::harness::events::agent_message("I said"),
        crate::harness::events::finish("I finished"),
        crate::harness::events::update("execution_status", json!("finished")),
    ];
    let seq = server.worker.append_events(id_of(&id), events, 10).await;
    assert!(seq.0 > 0);
    crate::harness::until(async || server.get(&path).await.1 == json!({"response": "I finished"})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_shows_with_its_parent() {
    let server = start_with(|_| {}).await;
    let parent = server.create().await;
    let mut body = create_body();
    body["parent_conversation_id"] = parent.clone().into();
    let (status, child) = server.post("/api/conversations", body.clone()).await;
    assert_eq!((status, &child["parent_conversation_id"]), (201, &json!(parent)));
    assert_eq!(server.info(&parent).await["sub_conversation_ids"], json!([child["id"]]));
    body["workspace"]["working_dir"] = "/elsewhere".into();
    assert_eq!(server.post("/api/conversations", body).await.0, 422);
}

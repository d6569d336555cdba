//! Models by name: kept, renamed and put to use, and never lost to whoever refers to them.

use reqwest::Method;
use serde_json::{Value, json};

use super::{MASK, active, agent_profile, do_to, keep_agent_profile, plain, save, saved, settings, shown};
use crate::harness::tokens::{bearer, token};
use crate::harness::{Client, start, start_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_shown_to_nobody_unless_it_is_asked_for() {
    let server = start().await;
    let llm = json!({"model": "openai/m", "api_key": "sk-1", "aws_session_token": "sk-2",
        "extra_headers": {"X-Key": "sk-3"}});
    saved(&server, "p", llm).await;
    let (_, masked) = shown(&server, "p", "").await;
    assert_eq!((&masked["config"]["api_key"], &masked["api_key_set"]), (&Value::Null, &json!(true)));
    assert_eq!(masked["config"]["aws_session_token"], MASK);
    assert_eq!(masked["config"]["extra_headers"], json!({"X-Key": MASK}));
    let (_, sealed) = shown(&server, "p", "encrypted").await;
    assert!(sealed["config"]["api_key"].as_str().unwrap().starts_with("gAAAAA"), "{sealed}");
    let config = plain(&server, "p").await;
    assert_eq!(
        (&config["api_key"], &config["aws_session_token"], &config["extra_headers"]["X-Key"]),
        (&json!("sk-1"), &json!("sk-2"), &json!("sk-3"))
    );
    assert_eq!((&config["num_retries"], &config["is_subscription"]), (&json!(5), &json!(false)));
}

/// Defect B18 of the peer, at which a mask that is sent back takes the key away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_shown_can_be_sent_back_and_nothing_is_lost() {
    let server = start().await;
    let llm = json!({"model": "openai/m", "api_key": "sk-1", "extra_headers": {"X-Key": "sk-3"}});
    saved(&server, "p", llm).await;
    let before = plain(&server, "p").await;
    for how in ["", "encrypted", "plaintext"] {
        let (_, mut profile) = shown(&server, "p", how).await;
        if how.is_empty() {
            profile["config"]["api_key"] = MASK.into();
        }
        saved(&server, "p", profile["config"].clone()).await;
        assert_eq!(plain(&server, "p").await, before, "{how}");
    }
    saved(&server, "other", json!({"model": "openai/m", "api_key": MASK, "extra_headers": {"X": MASK}}))
        .await;
    let other = plain(&server, "other").await;
    assert_eq!((&other["api_key"], &other["extra_headers"]), (&Value::Null, &json!({})), "a mask of nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_keeps_no_secrets_has_none_kept() {
    let server = start().await;
    let llm = json!({"model": "openai/m", "api_key": "sk-1", "extra_headers": {"X-Key": "sk-3"}});
    saved(&server, "p", llm.clone()).await;
    let body = json!({"llm": llm, "include_secrets": false});
    assert_eq!(server.post("/api/profiles/p", body).await.0, 201);
    let config = plain(&server, "p").await;
    assert_eq!((&config["api_key"], &config["extra_headers"]), (&Value::Null, &json!({})));
    assert_eq!(shown(&server, "p", "").await.1["api_key_set"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_at_the_end_of_a_name_means_the_same_profile() {
    let server = start().await;
    saved(&server, "p.json", json!({"model": "openai/m", "api_key": "sk-1"})).await;
    assert_eq!(plain(&server, "p").await["api_key"], "sk-1");
    let (_, profile) = shown(&server, "p.json", "").await;
    assert_eq!(profile["name"], "p.json", "an answer repeats the name as it was asked for");
    let (_, activated) = do_to(&server, "/api/profiles/p.json/activate").await;
    assert_eq!((&activated["name"], active(&server).await), (&json!("p.json"), json!("p")));
    let (status, _) = server.post("/api/profiles/p/rename", json!({"new_name": "p.json"})).await;
    assert_eq!((status, active(&server).await), (200, json!("p")));
    assert_eq!(server.delete("/api/profiles/p.json").await.0, 200);
    assert_eq!(shown(&server, "p", "").await.0, 404);
    assert_eq!(active(&server).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activated_profile_is_the_model_of_new_agents_with_its_key() {
    let server = start().await;
    saved(&server, "p", json!({"model": "openai/m", "api_key": "sk-1", "temperature": 0.5})).await;
    let (_, answer) = do_to(&server, "/api/profiles/p/activate").await;
    assert_eq!(answer["llm_applied"], true, "{answer}");
    let all = settings(&server).await;
    let llm = &all["agent_settings"]["llm"];
    assert_eq!(
        (&llm["model"], &llm["api_key"], &llm["temperature"]),
        (&json!("openai/m"), &json!("sk-1"), &json!(0.5))
    );
    assert_eq!(all["active_profile"], "p");
    let acp = json!({"agent_settings_diff": {"agent_kind": "acp"}});
    assert_eq!(server.send(Method::PATCH, "/api/settings", Some(&acp)).await.0, 200);
    let (_, answer) = do_to(&server, "/api/profiles/p/activate").await;
    let told = json!({"name": "p", "message": "Profile 'p' activated", "llm_applied": false});
    assert_eq!((answer, active(&server).await), (told, json!("p")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_that_is_referred_to_stays() {
    let server = start().await;
    saved(&server, "p", json!({"model": "openai/m"})).await;
    for name in ["b", "a"] {
        keep_agent_profile(&server, name, json!({"llm_profile_ref": "p"})).await;
    }
    for name in ["p", "p.json"] {
        let (status, answer) = server.delete(&format!("/api/profiles/{name}")).await;
        let told = "LLM profile is referenced by 2 agent profile(s): a, b";
        assert_eq!((status, &answer["detail"]), (409, &json!(told)));
    }
    assert_eq!(shown(&server, "p", "").await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_takes_its_referrers_along_whoever_else_writes() {
    let server = start().await;
    let replica = server.replica().await;
    saved(&server, "p0", json!({"model": "openai/m", "api_key": "sk-1"})).await;
    do_to(&server, "/api/profiles/p0/activate").await;
    keep_agent_profile(&server, "a", json!({"llm_profile_ref": "p0.json", "revision": 7})).await;
    let renaming = async {
        for n in 0..10 {
            let body = json!({"new_name": format!("p{}", n + 1)});
            let (status, answer) = server.post(&format!("/api/profiles/p{n}/rename"), body).await;
            assert_eq!(status, 200, "{answer}");
        }
    };
    let writing = async {
        for n in 0..10 {
            saved(&replica, &format!("other{n}"), json!({"model": "openai/m"})).await;
        }
    };
    tokio::join!(renaming, writing);
    assert_eq!(agent_profile(&server, "a").await, json!({"llm_profile_ref": "p10", "revision": 7}));
    assert_eq!(
        (active(&replica).await, plain(&replica, "p10").await["api_key"].clone()),
        (json!("p10"), json!("sk-1"))
    );
    let (_, list) = replica.get("/api/profiles").await;
    assert_eq!(list["profiles"].as_array().unwrap().len(), 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_profiles_and_no_more_also_when_two_gateways_save() {
    let server = start().await;
    let replica = server.replica().await;
    let save_thirty = async |client: &Client, begin: &str| {
        let mut answers = Vec::new();
        for n in 0..30 {
            answers.push(save(client, &format!("{begin}{n}"), json!({"model": "openai/m"})).await);
        }
        answers
    };
    let (mut answers, of_other) = tokio::join!(save_thirty(&server, "p"), save_thirty(&replica, "q"));
    answers.extend(of_other);
    let full = "Profile limit reached (50). Delete a profile before saving a new one.";
    for (status, answer) in &answers {
        assert!(*status == 201 || (*status == 409 && answer["detail"] == full), "{status} {answer}");
    }
    assert_eq!(answers.iter().filter(|(status, _)| *status == 201).count(), 50);
    let (_, list) = server.get("/api/profiles").await;
    let first = list["profiles"][0]["name"].as_str().unwrap().to_owned();
    assert_eq!(
        save(&server, &first, json!({"model": "openai/n"})).await.0,
        201,
        "one of them can be replaced"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_of_more_than_256_kib_is_refused() {
    let server = start().await;
    let llm = json!({"model": "openai/m", "litellm_extra_body": {"x": "x".repeat(256 << 10)}});
    let (status, answer) = save(&server, "p", llm).await;
    assert_eq!((status, &answer["detail"]), (413, &json!("A profile may have at most 256 KiB.")));
    assert_eq!(shown(&server, "p", "").await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenant_has_none_of_them_and_cannot_use_what_it_was_told() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let call = async |tenant: &str, method: Method, path: &str, body: Option<Value>| {
        let request = server.request(method, path).bearer_auth(token(tenant, "read write"));
        let mut request = request.header("x-expose-secrets", "encrypted");
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let of = |key: &Value| Some(json!({"llm": {"model": "openai/m", "api_key": key}}));
    assert_eq!(call("a", Method::POST, "/api/profiles/p", of(&json!("sk-1"))).await.0, 201);
    let (_, shown) = call("a", Method::GET, "/api/profiles/p", None).await;
    assert_eq!(call("b", Method::GET, "/api/profiles/p", None).await.0, 404);
    assert_eq!(call("b", Method::GET, "/api/profiles", None).await.1["profiles"], json!([]));
    let key = &shown["config"]["api_key"];
    assert_eq!(call("b", Method::POST, "/api/profiles/p", of(key)).await.0, 422);
    assert_eq!(call("a", Method::POST, "/api/profiles/q", of(key)).await.0, 201);
    let connection = |key: &Value| Some(json!({"display_name": "D", "api_key": key}));
    assert_eq!(call("b", Method::POST, "/api/llm/provider-connections", connection(key)).await.0, 422);
    assert_eq!(call("a", Method::POST, "/api/llm/provider-connections", connection(key)).await.0, 201);
}

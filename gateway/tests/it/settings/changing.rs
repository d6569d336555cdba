//! A change is made whole, on top of what is stored at that moment.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{changed, llm, patch, plain, shown};
use crate::harness::{Server, start};

/// Defect B18 of the peer, and the way of Agent Canvas: it gets all of the settings and sends them whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_get_answered_can_be_sent_back_and_nothing_is_lost() {
    let server = start().await;
    changed(&server, llm("sk-1")).await;
    let servers = json!({"s": {"command": "true", "env": {"K": "sk-2"}}});
    let secrets = json!({"A": "sk-3", "B": {"kind": "StaticSecret", "value": "sk-4"}});
    let change =
        json!({"agent_settings_diff": {"mcp_config": servers, "agent_context": {"secrets": secrets}}});
    changed(&server, change).await;
    let before = plain(&server).await;
    for how in ["", "encrypted", "plaintext"] {
        let (_, settings) = shown(&server, how).await;
        let back = json!({"agent_settings_diff": settings["agent_settings"],
            "conversation_settings_diff": settings["conversation_settings"]});
        changed(&server, back).await;
        let after = plain(&server).await;
        assert_eq!(blot_time(after), blot_time(before.clone()), "{how}");
    }
}

/// It is *now* unless somebody has said otherwise.
fn blot_time(mut settings: Value) -> Value {
    settings["agent_settings"]["agent_context"]["current_datetime"] = Value::Null;
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_null_resets_a_field_and_removes_an_entry_of_a_map() {
    let server = start().await;
    let set = json!({"agent_settings_diff": {"tool_concurrency_limit": 4, "llm": {"temperature": "0.5"},
        "mcp_config": {"s": {"command": "true", "env": {"K": "v", "L": "w"}}}}});
    let settings = changed(&server, set).await["agent_settings"].clone();
    assert_eq!(
        (&settings["tool_concurrency_limit"], &settings["llm"]["temperature"]),
        (&json!(4), &json!(0.5))
    );
    let reset = json!({"agent_settings_diff": {"tool_concurrency_limit": null, "llm": {"temperature": null},
        "mcp_config": {"s": {"env": {"K": null}}}}});
    changed(&server, reset).await;
    let settings = plain(&server).await["agent_settings"].clone();
    assert_eq!(
        (&settings["tool_concurrency_limit"], &settings["llm"]["temperature"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(settings["mcp_config"]["s"], json!({"command": "true", "env": {"L": "w"}, "enabled": true}));
    changed(&server, json!({"agent_settings_diff": {"mcp_config": {"s": null}}})).await;
    assert_eq!(plain(&server).await["agent_settings"]["mcp_config"], json!({}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_part_changes_nothing() {
    let server = start().await;
    changed(&server, llm("sk-1")).await;
    let before = blot_time(plain(&server).await);
    for (bad, wanted) in [
        (json!({"agent_settings_diff": {"llm": {"temperature": "hot"}}}), 422),
        (json!({"conversation_settings_diff": {"max_iterations": 0}}), 422),
        (json!({"conversation_settings_diff": {"confirmation_mode": null}}), 422),
        (json!({"agent_settings_diff": {"mcp_config": {"s": {"transport": "stdio"}}}}), 422),
        (json!({"agent_settings_diff": {"schema_version": 99}}), 422),
        (json!({"agent_settings_diff": {"llm": {"api_key": "gAAAAABrA7CCtnFNxa0j6sit4c6CLB50"}}}), 422),
        (json!({"active_profile": "nope"}), 404),
        (json!({"active_meta_profile": "nope"}), 404),
        (json!({"active_agent_profile_id": "00000000-0000-4000-8000-000000000001"}), 404),
    ] {
        let mut change = json!({"misc_settings_diff": {"kept": 1}, "conversation_settings_diff": {"max_iterations": 7},
            "agent_settings_diff": {"persona": "p"}});
        for (part, value) in bad.as_object().unwrap() {
            change[part] = value.clone();
        }
        let (status, answer) = patch(&server, change.clone()).await;
        assert_eq!(status, wanted, "{bad}: {answer}");
        assert!(!answer.to_string().contains("hot"), "{answer}");
        assert_eq!(blot_time(plain(&server).await), before, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_kind_starts_from_the_defaults_of_the_new_one() {
    let server = start().await;
    changed(&server, llm("sk-1")).await;
    changed(&server, json!({"agent_settings_diff": {"mcp_config": {"s": {"command": "true"}}}})).await;
    let acp = changed(&server, json!({"agent_settings_diff": {"agent_kind": "acp", "acp_model": "m"}})).await;
    assert_eq!(acp["agent_settings"]["mcp_config"], json!({}));
    assert_eq!(
        (&acp["agent_settings"]["acp_model"], &acp["llm_api_key_is_set"]),
        (&json!("m"), &json!(false))
    );
    // The older name of a kind is none of its own.
    let own = changed(&server, json!({"agent_settings_diff": {"agent_kind": "llm"}})).await;
    assert_eq!(own["agent_settings"]["agent_kind"], "openhands");
    assert_eq!(own["agent_settings"]["llm"]["api_key"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mask_beside_another_kind_is_no_secret_of_the_old_one() {
    let server = start().await;
    let with_env = |kind: &str, value: &str| json!({"agent_settings_diff": {"agent_kind": kind, "mcp_config": {"s": {"command": "true", "env": {"K": value}}}}});
    changed(&server, with_env("openhands", "sk-1")).await;
    let (status, _) = patch(&server, with_env("acp", "**********")).await;
    assert_eq!(status, 200);
    assert!(!plain(&server).await.to_string().contains("sk-1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_written_on_one_gateway_are_read_on_the_other() {
    let server = start().await;
    let replica = server.replica().await;
    for round in 0..5 {
        changed(&server, json!({"misc_settings_diff": {"round": round}})).await;
        let (_, read) = replica.get("/api/settings").await;
        assert_eq!(read["misc_settings"]["round"], round);
    }
}

/// Defect C3 of the peer, which lets one lock stop the whole server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_changes_at_once_all_count() {
    let server = start().await;
    let one = async |server: &Server, number: usize| {
        changed(server, json!({"misc_settings_diff": {"all": {number.to_string(): number}}})).await;
    };
    changed(&server, json!({"misc_settings_diff": {"all": {}}})).await;
    join_all((0..50).map(|number| one(&server, number))).await;
    let (_, settings) = server.get("/api/settings").await;
    assert_eq!(settings["misc_settings"]["all"].as_object().unwrap().len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_survive_a_restart() {
    let server = start().await;
    changed(&server, llm("sk-1")).await;
    let before = blot_time(plain(&server).await);
    let server = server.restart().await;
    assert_eq!(blot_time(plain(&server).await), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_are_more_than_is_kept_are_refused_and_the_old_ones_stay() {
    let server = start().await;
    changed(&server, json!({"misc_settings_diff": {"small": 1}})).await;
    let (status, answer) =
        patch(&server, json!({"misc_settings_diff": {"large": "x".repeat(4 << 20)}})).await;
    assert_eq!(status, 413, "{answer}");
    assert_eq!(answer["detail"], "These settings are more than the server keeps: 4 MiB at most.");
    assert_eq!(server.get("/api/settings").await.1["misc_settings"], json!({"small": 1}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_bounded_in_number_and_names() {
    let server = start().await;
    let add = async |key: &str| {
        let path = format!("/api/settings/mcp/{key}");
        server.send(Method::POST, &path, Some(&json!({"command": "true"}))).await.0
    };
    assert_eq!((add(&"k".repeat(257)).await, add(&"k".repeat(256)).await), (413, 201));
    let many: Value = (0..199)
        .map(|n| (n.to_string(), json!({"command": "true"})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    changed(&server, json!({"agent_settings_diff": {"mcp_config": many}})).await;
    assert_eq!(add("one-more").await, 413);
    let (status, _) =
        patch(&server, json!({"agent_settings_diff": {"mcp_config": {"more": {"command": "true"}}}})).await;
    assert_eq!(status, 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_read_again_is_not_written() {
    let server = start().await;
    changed(&server, json!({"misc_settings_diff": {"small": 1}})).await;
    // As deep as a body may be, four levels above this included; what is kept has more above it.
    let deep = (0..124).fold(json!(1), |below, _| json!({ "a": below }));
    let authentication = json!({"type": "oauth", "additional_client_metadata": deep});
    let mcp_server =
        json!({"url": "https://x.example", "auth": {"strategy": "oauth2", "authentication": authentication}});
    let profile = json!({"llm_profile_ref": "l", "tools": [{"name": "t", "params": deep}]});
    for (path, body) in [("/api/settings/mcp/k", mcp_server), ("/api/agent-profiles/p", profile)] {
        let (status, answer) = server.send(Method::POST, path, Some(&body)).await;
        assert_eq!(status, 422, "{path}: {answer}");
        assert_eq!(answer["detail"], "This is nested too deeply to be kept.", "{path}");
        let (status, settings) = server.get("/api/settings").await;
        assert_eq!((status, &settings["misc_settings"]), (200, &json!({"small": 1})), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_with_a_million_faults_is_refused_early_and_answered_shortly() {
    let server = start().await;
    let ones = |count: usize| Value::from(vec![1; count]);
    let settings =
        |count: usize| json!({"agent_settings_diff": {"mcp_config": {"a": {"args": ones(count)}}}});
    let profile = |count: usize| json!({"llm_profile_ref": "l", "tools": ones(count)});
    const PROFILE: &str = "/api/agent-profiles/p";
    for (method, path, body, wanted) in [
        (Method::PATCH, "/api/settings", settings(1_000_000), 422),
        (Method::PATCH, "/api/settings", settings(2_200_000), 413),
        (Method::POST, PROFILE, profile(100_000), 422),
        (Method::POST, PROFILE, profile(1_000_000), 413),
    ] {
        let (status, answer) = server.send(method, path, Some(&body)).await;
        assert_eq!(status, wanted, "{path}");
        let answer = answer.to_string();
        assert!(answer.len() < 32 << 10, "{path}: {} bytes", answer.len());
    }
}

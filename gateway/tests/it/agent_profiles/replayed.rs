//! The same calls as were once made to the peer, one after the other, are answered alike.

use serde_json::{Value, json};

use super::{PROFILES, list, names};
use crate::harness::replay::replay;
use crate::harness::start;

/// Made of a running peer: the calls, their statuses, and what was told of those that it refused, without what was sent.
const PEER: &str = include_str!("peer.json");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peers_answers_are_ours() {
    let server = start().await;
    replay(&server, PROFILES, PEER).await;
    assert_eq!(names(&list(&server).await), ["acp1", "default"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seeded_profile_is_the_peers() {
    let server = start().await;
    list(&server).await;
    let (_, mut answer) = server.get(&format!("{PROFILES}/default")).await;
    answer["profile"]["id"] = Value::Null;
    let condenser = json!({"condenser_kind": "llm_summarizing", "enabled": true, "max_size": 240, "max_tokens": null,
        "keep_first": 2, "minimum_progress": 0.1, "hard_context_reset_max_retries": 5,
        "hard_context_reset_context_scaling": 0.8});
    let verification = json!({"critic_enabled": false, "critic_mode": "finish_and_message",
        "enable_iterative_refinement": false, "critic_threshold": 0.6, "max_refinement_iterations": 3,
        "critic_server_url": null, "critic_model_name": null});
    let profile = json!({"schema_version": 4, "agent_kind": "openhands", "id": null, "name": "default", "revision": 0,
        "mcp_server_refs": null, "secret_refs": null, "llm_profile_ref": "default", "agent": "CodeActAgent",
        "tools": null, "persona": null, "system_message_suffix": null, "disabled_skills": [], "public_skills": null,
        "condenser": condenser, "verification": verification, "enable_classify_and_switch_llm_tool": false,
        "meta_profile_ref": null, "tool_concurrency_limit": 1});
    assert_eq!(answer, json!({"name": "default", "profile": profile}));
}

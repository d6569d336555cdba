//! Meta-profiles: which of them is active the settings say, too.

use reqwest::Method;
use serde_json::{Value, json};

use super::{do_to, settings};
use crate::harness::{Client, start};

const PATH: &str = "/api/meta-profiles";

async fn save(client: &Client, name: &str) -> (u16, Value) {
    let body = json!({"classifier_model": "p", "classes": [{"description": "d", "model": "q", "more": 1}], "more": 1});
    client.post(&format!("{PATH}/{name}"), body).await
}

/// What settings say of the choice, and what is active.
async fn choice(client: &Client) -> (Value, Value, Value, Value) {
    let all = settings(client).await;
    let of_agent = |field: &str| all["agent_settings"][field].clone();
    (
        of_agent("active_meta_profile"),
        of_agent("meta_profile"),
        of_agent("enable_classify_and_switch_llm_tool"),
        all["active_meta_profile"].clone(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activated_meta_profile_is_in_the_settings_until_it_is_deleted() {
    let server = start().await;
    assert_eq!(save(&server, "m.json").await.0, 201);
    let (_, answer) = do_to(&server, "/api/meta-profiles/m.json/activate").await;
    assert_eq!((&answer["name"], &answer["applied"]), (&json!("m.json"), &json!(true)));
    let config = json!({"classifier_model": "p", "classes": [{"description": "d", "model": "q"}],
        "prompt_template": null, "model_table": null});
    assert_eq!(choice(&server).await, (json!("m"), config, json!(true), json!("m")));
    assert_eq!(server.get(PATH).await.1["active_meta_profile"], "m");
    assert_eq!(server.delete("/api/meta-profiles/m").await.0, 200);
    assert_eq!(choice(&server).await, (Value::Null, Value::Null, json!(false), Value::Null));
    assert_eq!(server.delete("/api/meta-profiles/m").await.0, 200, "it is deleted already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_that_cannot_choose_have_no_active_meta_profile() {
    let server = start().await;
    save(&server, "m").await;
    let acp = json!({"agent_settings_diff": {"agent_kind": "acp"}});
    assert_eq!(server.send(Method::PATCH, "/api/settings", Some(&acp)).await.0, 200);
    let (status, answer) = do_to(&server, "/api/meta-profiles/m/activate").await;
    let told = json!({"name": "m", "applied": false,
        "message": "Meta-profile 'm' not activated: the current agent settings cannot route between models"});
    assert_eq!((status, answer), (200, told));
    assert_eq!(server.get(PATH).await.1["active_meta_profile"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_meta_profiles_and_no_more() {
    let server = start().await;
    for n in 0..50 {
        assert_eq!(save(&server, &format!("m{n}")).await.0, 201);
    }
    let (status, answer) = save(&server, "more").await;
    let full = "Meta-profile limit reached (50). Delete a meta-profile before saving a new one.";
    assert_eq!((status, &answer["detail"]), (409, &json!(full)));
    assert_eq!(save(&server, "m7").await.0, 201, "one of them can be replaced");
    let large = json!({"classifier_model": "p", "prompt_template": format!("{{{{ instance_text }}}}{}", "x".repeat(256 << 10))});
    assert_eq!(server.post("/api/meta-profiles/m7", large).await.0, 413);
}

//! Connections: one key for several profiles.

use reqwest::Method;
use serde_json::{Value, json};

use super::{do_to, plain, saved, settings, shown};
use crate::harness::{Client, start};

const PATH: &str = "/api/llm/provider-connections";

async fn connect(client: &Client, name: &str, key: &str) -> String {
    let body = json!({"display_name": name, "api_key": key, "base_url": "https://models.example/v1"});
    let (status, made) = client.post(PATH, body).await;
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

async fn change(client: &Client, id: &str, change: Value) -> (u16, Value) {
    client.send(Method::PATCH, &format!("{PATH}/{id}"), Some(&change)).await
}

fn linked(id: &str) -> Value {
    json!({"model": "openai/m", "api_key": "own", "base_url": "https://own.example", "provider_connection_id": id})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_shown_in_the_order_they_were_made_and_never_their_keys() {
    let server = start().await;
    let ids = [connect(&server, "Z", "sk-marked-1").await, connect(&server, "A", "sk-marked-2").await];
    let (_, list) = server.get(PATH).await;
    let shown: Vec<&str> = list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(shown, ids);
    let first = &list[0];
    assert!(ids[0].len() == 32 && first["created_at"].as_i64().unwrap() > 1_700_000_000, "{first}");
    assert_eq!((&first["provider"], &first["api_key_set"]), (&json!("custom"), &json!(true)));
    let (_, changed) = change(&server, &ids[0], json!({"display_name": "Y", "api_key": "sk-marked-3"})).await;
    assert_eq!((&changed["display_name"], &changed["provider"]), (&json!("Y"), &json!("custom")));
    assert!(!format!("{list}{changed}").contains("sk-marked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_linked_profile_keeps_no_key_of_its_own() {
    let server = start().await;
    let id = connect(&server, "D", "sk-shared").await;
    saved(&server, "p", linked(&id)).await;
    let (_, sealed) = shown(&server, "p", "encrypted").await;
    assert_eq!((&sealed["config"]["api_key"], &sealed["config"]["base_url"]), (&Value::Null, &Value::Null));
    assert_eq!(sealed["api_key_set"], true);
    let config = plain(&server, "p").await;
    assert_eq!(
        (&config["api_key"], &config["base_url"], &config["provider_connection_id"]),
        (&json!("sk-shared"), &json!("https://models.example/v1"), &json!(id))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_is_that_of_all_who_share_it() {
    let server = start().await;
    let replica = server.replica().await;
    let id = connect(&server, "D", "sk-old").await;
    for name in ["p", "q"] {
        saved(&server, name, linked(&id)).await;
    }
    assert_eq!(change(&replica, &id, json!({"api_key": "sk-new", "base_url": null})).await.0, 200);
    for name in ["p", "q"] {
        let config = plain(&server, name).await;
        assert_eq!((&config["api_key"], &config["base_url"]), (&json!("sk-new"), &Value::Null), "{name}");
    }
    do_to(&server, "/api/profiles/q/activate").await;
    let llm = settings(&server).await["agent_settings"]["llm"].clone();
    assert_eq!((&llm["api_key"], &llm["provider_connection_id"]), (&json!("sk-new"), &json!(id)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_referred_to_stays() {
    let server = start().await;
    let id = connect(&server, "D", "sk-shared").await;
    for name in ["q", "p"] {
        saved(&server, name, linked(&id)).await;
    }
    do_to(&server, "/api/profiles/p/activate").await;
    let delete = async || server.delete(&format!("{PATH}/{id}")).await;
    let (status, answer) = delete().await;
    let told = "Provider connection cannot be deleted while it is referenced by LLM profile(s): p, q and referenced by the \
                active agent settings. Update those references before deleting it.";
    assert_eq!((status, &answer["detail"]), (409, &json!(told)));
    for name in ["p", "q"] {
        assert_eq!(server.delete(&format!("/api/profiles/{name}")).await.0, 200);
    }
    let (status, answer) = delete().await;
    let told = "Provider connection cannot be deleted while it is referenced by the active agent settings. Update those \
                references before deleting it.";
    assert_eq!((status, &answer["detail"]), (409, &json!(told)));
    saved(&server, "own", json!({"model": "openai/m"})).await;
    do_to(&server, "/api/profiles/own/activate").await;
    let (status, deleted) = delete().await;
    assert_eq!((status, &deleted["id"], &deleted["api_key_set"]), (200, &json!(id), &json!(false)));
    assert_eq!(server.get(PATH).await.1, json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mask_is_no_key_of_a_connection() {
    let server = start().await;
    let id = connect(&server, "D", "sk-1").await;
    let told = json!("Value error, api_key must be a real key, not blank or redacted");
    for key in ["**********", " "] {
        let (status, answer) = change(&server, &id, json!({"api_key": key})).await;
        assert_eq!((status, &answer["detail"][0]["msg"]), (422, &told));
        let (status, answer) = server.post(PATH, json!({"display_name": "E", "api_key": key})).await;
        assert_eq!((status, &answer["detail"][0]["msg"]), (422, &told));
    }
    saved(&server, "p", linked(&id)).await;
    assert_eq!(plain(&server, "p").await["api_key"], "sk-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_a_connection_have_sensible_lengths_and_there_are_64_at_most() {
    let server = start().await;
    let told = async |field: &str, text: String| {
        let mut body = json!({"display_name": "D", "api_key": "k"});
        body[field] = text.into();
        let (status, answer) = server.post(PATH, body).await;
        assert_eq!((status, &answer["detail"][0]["loc"]), (422, &json!(["body", field])), "{answer}");
        answer["detail"][0]["type"].clone()
    };
    assert_eq!(told("display_name", String::new()).await, "string_too_short");
    assert_eq!(told("provider", "x".repeat(129)).await, "string_too_long");
    assert_eq!(told("base_url", "x".repeat(2_049)).await, "string_too_long");
    for n in 0..64 {
        connect(&server, &n.to_string(), "k").await;
    }
    let (status, answer) = server.post(PATH, json!({"display_name": "D", "api_key": "k"})).await;
    let full = "Provider connection limit reached (64). Delete one before adding another.";
    assert_eq!((status, &answer["detail"]), (409, &json!(full)));
}

//! Profiles are changed whatever else happens, and some profile is always active.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{PROFILES, activate, list, names, save, saved, shown};
use crate::harness::tokens::{bearer, token};
use crate::harness::{Client, start, start_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_agent_profile_is_always_active() {
    let server = start().await;
    let first = list(&server).await;
    assert_eq!(names(&first), ["default"]);
    assert_eq!(first["active_agent_profile_id"], first["profiles"][0]["id"]);

    saved(&server, "a").await;
    let id = shown(&server, "a").await["id"].as_str().unwrap().to_owned();
    let (status, answer) = activate(&server, &id).await;
    assert_eq!((status, &answer["agent_settings_applied"]), (200, &json!(false)));
    assert_eq!(list(&server).await["active_agent_profile_id"], id.as_str());
    server.delete(&format!("{PROFILES}/a")).await;
    assert_eq!(list(&server).await["active_agent_profile_id"], first["profiles"][0]["id"]);

    server.delete(&format!("{PROFILES}/default")).await;
    let last = list(&server).await;
    assert_eq!(names(&last), ["default"], "it is made again");
    assert_ne!(last["profiles"][0]["id"], first["profiles"][0]["id"]);
    assert_eq!(last["active_agent_profile_id"], last["profiles"][0]["id"]);
    let (_, settings) = server.get("/api/settings").await;
    assert_eq!(settings["active_agent_profile_id"], last["active_agent_profile_id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_seed_one_default() {
    let server = start().await;
    let replica = server.replica().await;
    let both: [&Client; 2] = [&server, &replica];
    let lists = join_all((0..10).map(|at| list(both[at % 2]))).await;
    for other in &lists {
        assert_eq!(other, &lists[0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_look_makes_no_profile() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let get = async |scope: &str| {
        let request = server.request(Method::GET, PROFILES).bearer_auth(token("a", scope));
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    assert_eq!(get("read").await, json!({"profiles": [], "active_agent_profile_id": null}));
    let seeded = get("read write").await;
    assert_eq!(names(&seeded), ["default"]);
    assert_eq!(get("read").await, seeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_keeps_the_id_and_counts() {
    let server = start().await;
    saved(&server, "a").await;
    let first = shown(&server, "a").await;
    let foreign = json!({"llm_profile_ref": "m", "id": "00000000-0000-4000-8000-000000000009", "revision": 77,
        "name": "other"});
    assert_eq!(save(&server, "a.json", foreign).await.1["name"], "a.json");
    let second = shown(&server, "a.json").await;
    assert_eq!((&second["id"], &second["name"]), (&first["id"], &json!("a")));
    assert_eq!((&second["revision"], &second["llm_profile_ref"]), (&json!(1), &json!("m")));
    assert_eq!(names(&list(&server).await), ["a", "default"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_profile_is_the_same_and_stays_active() {
    let server = start().await;
    saved(&server, "a").await;
    let id = shown(&server, "a").await["id"].clone();
    activate(&server, id.as_str().unwrap()).await;
    let rename = async |name: &str, new: &str| {
        server.post(&format!("{PROFILES}/{name}/rename"), json!({ "new_name": new })).await
    };
    list(&server).await;
    saved(&server, "taken").await;
    let taken = json!({"detail": "Agent profile 'taken' already exists"});
    assert_eq!(rename("a", "taken").await, (409, taken));
    assert_eq!(
        rename("a", "b").await,
        (200, json!({"name": "b", "message": "Agent profile 'a' renamed to 'b'"}))
    );
    assert_eq!(rename("a", "c").await, (404, json!({"detail": "Agent profile 'a' not found"})));
    let same = json!({"name": "b", "message": "Agent profile 'b' unchanged (same name)"});
    assert_eq!(rename("b", "b").await, (200, same));
    assert_eq!((&shown(&server, "b").await["id"], &shown(&server, "b").await["name"]), (&id, &json!("b")));
    assert_eq!(list(&server).await["active_agent_profile_id"], id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_profiles_and_no_more_also_when_two_gateways_save() {
    let server = start().await;
    let replica = server.replica().await;
    let both: [&Client; 2] = [&server, &replica];
    let save_one = async |server: &Client, at: usize| {
        save(server, &format!("p{at}"), json!({"llm_profile_ref": "l"})).await.0
    };
    let statuses = join_all((0..60).map(|at| save_one(both[at % 2], at))).await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 50, "{statuses:?}");
    let (status, answer) = save(&server, "more", json!({"llm_profile_ref": "l"})).await;
    let full = "Agent profile limit reached (50). Delete a profile before saving a new one.";
    assert_eq!((status, &answer["detail"]), (409, &json!(full)));
    assert_eq!(list(&server).await["profiles"].as_array().unwrap().len(), 50, "and no room for a seed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_of_256_kib_is_kept_and_a_larger_one_is_refused() {
    let server = start().await;
    let with = |bytes: usize| json!({"llm_profile_ref": "l", "system_message_suffix": "x".repeat(bytes)});
    assert_eq!(save(&server, "a", with(250 << 10)).await.0, 201);
    let (status, answer) = save(&server, "a", with(257 << 10)).await;
    assert_eq!((status, &answer["detail"]), (413, &json!("An agent profile may have at most 256 KiB.")));
    assert_eq!(shown(&server, "a").await["revision"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_sees_no_agent_profile_of_another() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let call = async |tenant: &str, method: Method, path: &str, body: Option<Value>| {
        let request = server.request(method, &format!("{PROFILES}{path}"));
        let mut request = request.bearer_auth(token(tenant, "read write"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let marked = json!({"llm_profile_ref": "marked"});
    assert_eq!(call("a", Method::POST, "/mine", Some(marked)).await.0, 201);
    let id = call("a", Method::GET, "/mine", None).await.1["profile"]["id"].as_str().unwrap().to_owned();
    assert_eq!(call("b", Method::GET, "/mine", None).await.0, 404);
    assert_eq!(call("b", Method::POST, &format!("/{id}/activate"), None).await.0, 404);
    assert_eq!(call("b", Method::POST, "/mine/rename", Some(json!({"new_name": "x"}))).await.0, 404);
    assert_eq!(call("b", Method::DELETE, "/mine", None).await.0, 200);
    assert!(!call("b", Method::GET, "", None).await.1.to_string().contains("marked"));
    assert_eq!(call("a", Method::GET, "/mine", None).await.0, 200);
}

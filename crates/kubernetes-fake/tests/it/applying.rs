//! Server-side apply: who owns what, and what goes with whom.

use serde_json::json;

use crate::client::{Client, config, refusal};

#[tokio::test]
async fn what_an_owner_no_longer_says_goes_and_what_others_say_stays() {
    let client = Client::new().await;
    let (code, _) = client
        .patch("apply", "configmaps/c?fieldManager=one", &config("c", &json!({ "a": "1", "b": "1" })))
        .await;
    assert_eq!(code, 201);
    let (code, _) =
        client.patch("apply", "configmaps/c?fieldManager=two", &config("c", &json!({ "x": "2" }))).await;
    assert_eq!(code, 200);
    let (_, now) =
        client.patch("apply", "configmaps/c?fieldManager=one", &config("c", &json!({ "a": "1" }))).await;
    assert_eq!(now["data"], json!({ "a": "1", "x": "2" }));
    let again =
        client.patch("apply", "configmaps/c?fieldManager=one", &config("c", &json!({ "a": "1" }))).await.1;
    assert_eq!(again["metadata"]["resourceVersion"], now["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn who_wants_anothers_field_must_insist() {
    let client = Client::new().await;
    client.post("configmaps?fieldManager=kubectl", &config("c", &json!({ "a": "1" }))).await;
    let applied = config("c", &json!({ "a": "2" }));
    let refused = client.patch("apply", "configmaps/c?fieldManager=one", &applied).await;
    let words = "Apply failed with 1 conflict: conflict with \"kubectl\" using v1: .data.a";
    assert_eq!(refusal(&refused), (409, "Conflict", words));
    let cause = json!({ "reason": "FieldManagerConflict", "field": ".data.a", "message": "conflict with \"kubectl\" using v1" });
    assert_eq!(refused.1["details"]["causes"], json!([cause]));
    let (code, forced) = client.patch("apply", "configmaps/c?fieldManager=one&force=true", &applied).await;
    assert_eq!((code, &forced["data"]), (200, &json!({ "a": "2" })));
    let managers: Vec<_> = forced["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|owner| &owner["manager"])
        .collect();
    assert_eq!(managers, ["one"]);
    let nobody = client.patch("apply", "configmaps/c", &applied).await;
    assert_eq!((refusal(&nobody).0, refusal(&nobody).1), (422, "Invalid"));
}

#[tokio::test]
async fn items_of_lists_have_owners_of_their_own() {
    let client = Client::new().await;
    let deployment = |name: &str, image: &str| {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": "d" },
            "spec": {
                "selector": { "matchLabels": { "a": "b" } },
                "template": {
                    "metadata": { "labels": { "a": "b" } },
                    "spec": { "containers": [{ "name": name, "image": image }] },
                },
            },
        })
    };
    let path = "/apis/apps/v1/namespaces/sandboxes/deployments/d";
    client.patch("apply", &format!("{path}?fieldManager=one"), &deployment("main", "m:1")).await;
    let (_, both) =
        client.patch("apply", &format!("{path}?fieldManager=two"), &deployment("side", "s:1")).await;
    let names = |object: &serde_json::Value| -> Vec<String> {
        let containers = object["spec"]["template"]["spec"]["containers"].as_array().unwrap();
        containers.iter().map(|container| container["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&both), ["side", "main"]);
    let (_, one) =
        client.patch("apply", &format!("{path}?fieldManager=two"), &deployment("other", "o:1")).await;
    assert_eq!(names(&one), ["other", "main"]);
    let (_, scaled) = client.patch("merge", path, &json!({ "spec": { "replicas": 3 } })).await;
    assert_eq!(scaled["metadata"]["generation"], 4);
}

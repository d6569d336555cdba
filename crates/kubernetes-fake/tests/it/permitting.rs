//! Who may do what.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, NAMESPACE, config, pod, refusal};

async fn give(client: &Client, rules: Value) {
    let roles = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}");
    client.post("serviceaccounts", &json!({ "metadata": { "name": "supervisor" } })).await;
    client.post(&format!("{roles}/roles"), &json!({ "metadata": { "name": "r" }, "rules": rules })).await;
    let binding = json!({
        "metadata": { "name": "b" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r" },
        "subjects": [{ "kind": "ServiceAccount", "name": "supervisor", "namespace": NAMESPACE }],
    });
    assert_eq!(client.post(&format!("{roles}/rolebindings"), &binding).await.0, 201);
}

#[tokio::test]
async fn a_role_gives_its_verbs_and_nothing_else() {
    let client = Client::new().await;
    give(&client, json!([
        { "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "create"] },
        { "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"], "resourceNames": ["anchor"] },
    ]))
    .await;
    let other = client.with_token(client.server.token_of(NAMESPACE, "supervisor"));
    assert_eq!(other.post("pods", &pod("a")).await.0, 201);
    assert_eq!(other.get("pods").await.0, 200);
    let refused = other.delete("pods/a", &Value::Null).await;
    let who = "User \"system:serviceaccount:sandboxes:supervisor\"";
    let words = format!(
        "pods \"a\" is forbidden: {who} cannot delete resource \"pods\" in API group \"\" in the namespace \"sandboxes\""
    );
    assert_eq!(refusal(&refused), (403, "Forbidden", words.as_str()));
    let refused = other.get("/api/v1/pods").await;
    let words = format!(
        "pods is forbidden: {who} cannot list resource \"pods\" in API group \"\" at the cluster scope"
    );
    assert_eq!(refusal(&refused), (403, "Forbidden", words.as_str()));
    let refused = other.get("pods/a/log").await;
    let words = format!(
        "pods \"a\" is forbidden: {who} cannot get resource \"pods/log\" in API group \"\" in the namespace \"sandboxes\""
    );
    assert_eq!(refusal(&refused).2, words);
    client.post("configmaps", &config("anchor", &json!({}))).await;
    assert_eq!(other.get("configmaps/anchor").await.0, 200);
    assert_eq!(other.get("configmaps/kube-root-ca.crt").await.0, 403);
    let created = other.patch("apply", "configmaps/new?fieldManager=x", &config("new", &json!({}))).await;
    assert_eq!(created.0, 403, "who may only patch makes nothing");
}

#[tokio::test]
async fn whoever_asks_is_told_what_he_may_do() {
    let client = Client::new().await;
    give(&client, json!([{ "apiGroups": [""], "resources": ["pods/attach"], "verbs": ["get", "create"] }]))
        .await;
    let other = client.with_token(client.server.token_of(NAMESPACE, "supervisor"));
    for (verb, resource, sub, allowed) in
        [("create", "pods", "attach", true), ("create", "pods", "", false), ("get", "pods", "exec", false)]
    {
        let attributes =
            json!({ "namespace": NAMESPACE, "verb": verb, "resource": resource, "subresource": sub });
        let review = json!({ "spec": { "resourceAttributes": attributes } });
        let (code, answer) =
            other.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await;
        assert_eq!((code, &answer["status"]["allowed"]), (201, &json!(allowed)), "{verb} {resource}/{sub}");
    }
}

#[tokio::test]
async fn nobody_is_known_without_a_token() {
    let client = Client::new().await;
    let stranger = client.with_token("made-up".to_owned());
    assert_eq!(refusal(&stranger.get("pods").await), (401, "Unauthorized", "Unauthorized"));
    let answer = stranger.send(Method::GET, "/version", "", &Value::Null).await;
    assert_eq!(answer.status(), 401);
}

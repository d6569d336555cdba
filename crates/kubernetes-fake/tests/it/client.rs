//! A client that says what it sends and is told what comes back.

use manyhands_kubernetes_fake::Server;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use testing::within;

use crate::real::Real;

pub struct Client {
    pub server: Server,
    url: String,
    http: reqwest::Client,
    token: String,
    _real: Option<Real>,
}

/// With a real cluster.
pub const PATIENT: std::time::Duration = std::time::Duration::from_secs(120);

pub const NAMESPACE: &str = "sandboxes";

/// An answer, by its code and its body.
pub type Answer = (u16, Value);

impl Client {
    pub async fn new() -> Self {
        Self::of(Server::start().await)
    }

    pub fn of(server: Server) -> Self {
        server.namespace(NAMESPACE, json!({}));
        let token = server.admin_token();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url: server.url(), server, http, token, _real: None }
    }

    /// Of a real cluster, in a new namespace there; its `server` has nothing to do with it.
    pub async fn of_real(real: Real) -> Self {
        let http =
            reqwest::Client::builder().no_proxy().tls_certs_only([real.authority.clone()]).build().unwrap();
        let (url, token) = (real.url.clone(), real.token.clone());
        let client = Self { server: Server::start().await, url, http, token, _real: Some(real) };
        let namespace = format!("/api/v1/namespaces/{NAMESPACE}");
        client.delete(&namespace, &Value::Null).await;
        within(PATIENT, "the namespace of before to go", async || {
            (client.get(&namespace).await.0 == 404).then_some(())
        })
        .await;
        client.post("/api/v1/namespaces", &json!({ "metadata": { "name": NAMESPACE } })).await;
        // Pods are refused without it.
        let account = async || {
            let (_, account) = client.get("serviceaccounts/default").await;
            account["secrets"].is_array().then_some(())
        };
        within(PATIENT, "the account of pods", account).await;
        client
    }

    /// The same server for somebody else.
    pub fn with_token(&self, token: String) -> Self {
        Self {
            server: self.server.clone(),
            url: self.url.clone(),
            http: self.http.clone(),
            token,
            _real: None,
        }
    }

    /// A path below the namespace's, or a whole one.
    fn url(&self, path: &str) -> String {
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/api/v1/namespaces/{NAMESPACE}/{path}")
        };
        format!("{}{path}", self.url)
    }

    pub async fn send(&self, method: Method, path: &str, kind: &str, body: &Value) -> Response {
        self.request(method, path, kind, body).send().await.unwrap()
    }

    pub async fn try_send(&self, method: Method, path: &str, body: &Value) -> reqwest::Result<Response> {
        self.request(method, path, "application/json", body).send().await
    }

    pub async fn try_get(&self, path: &str) -> reqwest::Result<Response> {
        self.try_send(Method::GET, path, &Value::Null).await
    }

    fn request(&self, method: Method, path: &str, kind: &str, body: &Value) -> reqwest::RequestBuilder {
        let request = self.http.request(method, self.url(path)).bearer_auth(&self.token);
        let request = request.header("content-type", kind).header("user-agent", "it/1.0");
        if body.is_null() { request } else { request.body(body.to_string()) }
    }

    async fn ask(&self, method: Method, path: &str, kind: &str, body: &Value) -> Answer {
        let answer = self.send(method, path, kind, body).await;
        let code = answer.status().as_u16();
        // Some refusals are no objects.
        let text = answer.text().await.unwrap();
        (code, serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text)))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, "application/json", &Value::Null).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::POST, path, "application/json", body).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.ask(Method::PUT, path, "application/json", body).await
    }

    pub async fn delete(&self, path: &str, options: &Value) -> Answer {
        self.ask(Method::DELETE, path, "application/json", options).await
    }

    /// `merge`, `strategic-merge`, `json` or `apply`.
    pub async fn patch(&self, how: &str, path: &str, body: &Value) -> Answer {
        let form = if how == "apply" { "yaml" } else { "json" };
        self.ask(Method::PATCH, path, &format!("application/{how}-patch+{form}"), body).await
    }

    /// Lines of a watch, as they come.
    pub async fn watch(&self, path: &str) -> Watching {
        Watching {
            response: self.send(Method::GET, path, "application/json", &Value::Null).await,
            rest: Vec::new(),
        }
    }
}

pub struct Watching {
    response: Response,
    rest: Vec<u8>,
}

impl Watching {
    /// The next event; `None`: the server has ended the watch.
    pub async fn next(&mut self) -> Option<Value> {
        self.try_next().await.unwrap()
    }

    /// The same of a connection that may be cut.
    pub async fn try_next(&mut self) -> reqwest::Result<Option<Value>> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line).unwrap()));
            }
            let Some(chunk) = self.response.chunk().await? else { return Ok(None) };
            self.rest.extend_from_slice(&chunk);
        }
    }

    /// The next one, as its type and its object's name.
    pub async fn brief(&mut self) -> (String, String) {
        let event = self.next().await.expect("an event");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

pub fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": "worker" } },
        "spec": {
            "restartPolicy": "Never",
            "containers": [{ "name": "worker", "image": "worker:1", "stdin": true, "stdinOnce": true }],
        },
    })
}

pub fn claim(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": name },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    })
}

/// A pod that mounts a claim.
pub fn pod_with(name: &str, claim: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["volumes"] = json!([{ "name": "files", "persistentVolumeClaim": { "claimName": claim } }]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "files", "mountPath": "/workspace" }]);
    pod
}

pub fn config(name: &str, data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
}

/// A refusal, as its code, reason and message.
pub fn refusal((code, body): &Answer) -> (u16, &str, &str) {
    assert_eq!(body["kind"], "Status", "{body}");
    assert_eq!(body["code"], *code);
    (*code, body["reason"].as_str().unwrap(), body["message"].as_str().unwrap())
}

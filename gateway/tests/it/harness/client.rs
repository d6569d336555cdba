//! Who asks a gateway.

use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde_json::{Value, json};
use testing::socket::Socket;
use testing::until;

pub struct Client {
    pub address: String,
    http: reqwest::Client,
}

impl Client {
    pub fn of(address: String) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        Self { address, http: http.build().unwrap() }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    /// The whole response.
    pub async fn fetch(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        status_and_json(request.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: impl Serialize) -> (u16, Value) {
        self.send(Method::POST, path, Some(&json!(body))).await
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        self.send(Method::DELETE, path, None).await
    }

    /// A new conversation's id, dashed.
    pub async fn create_from(&self, body: Value) -> String {
        let (status, info) = self.post("/api/conversations", body).await;
        assert_eq!(status, 201, "{info}");
        info["id"].as_str().unwrap().to_owned()
    }

    pub async fn info(&self, id: &str) -> Value {
        let (status, info) = self.get(&format!("/api/conversations/{id}")).await;
        assert_eq!(status, 200, "{info}");
        info
    }

    pub async fn status(&self, id: &str) -> String {
        self.info(id).await["execution_status"].as_str().unwrap().to_owned()
    }

    pub async fn until_status(&self, id: &str, status: &str) {
        until(async || self.status(id).await == status).await;
    }

    pub async fn say(&self, id: &str, text: &str, run: bool) -> (u16, Value) {
        let body = json!({"role": "user", "content": [{"type": "text", "text": text}], "run": run});
        self.post(&format!("/api/conversations/{id}/events"), body).await
    }

    /// The texts of all messages of a conversation, in order.
    pub async fn messages(&self, id: &str) -> Vec<Value> {
        let (_, found) = self.get(&format!("/api/conversations/{id}/events/search?kind=MessageEvent")).await;
        let events = found["items"].as_array().unwrap().iter();
        events.map(|event| event["llm_message"]["content"][0]["text"].clone()).collect()
    }

    pub async fn run(&self, id: &str) -> (u16, Value) {
        self.send(Method::POST, &format!("/api/conversations/{id}/run"), None).await
    }

    /// The status of an answered command.
    pub async fn bash(&self, prefix: &str, cwd: Option<&str>) -> u16 {
        let body = json!({"command": "true", "cwd": cwd});
        self.post(&format!("{prefix}/bash/start_bash_command"), body).await.0
    }

    pub async fn socket(&self, path: &str) -> Socket {
        Socket::open(&format!("ws://{}{path}", self.address)).await
    }
}

/// What is no JSON is a text.
pub async fn status_and_json(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| text()))
}

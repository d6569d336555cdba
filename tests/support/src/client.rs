//! A client as the tests need it: JSON over HTTP, and the events socket.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::eventually;
use crate::socket::Socket;

#[derive(Clone)]
pub struct Client {
    url: String,
    key: Option<String>,
    http: reqwest::Client,
}

/// Less than servers keep a connection on which nothing is asked: what they are about to close would be asked in vain.
const IDLE: Duration = Duration::from_secs(30);

/// A status and the body: JSON if it is, else a text.
pub type Answer = (StatusCode, Value);

impl Client {
    #[must_use]
    pub fn new(url: &str, key: Option<&str>) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { url: url.to_owned(), key: key.map(str::to_owned), http }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.header("X-Session-API-Key", key),
            None => request,
        }
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let status = response.status();
        let body = response.bytes().await.unwrap();
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| text()))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.answer(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.answer(self.request(Method::POST, path).json(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.answer(self.request(Method::PATCH, path).json(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.answer(self.request(Method::DELETE, path)).await
    }

    /// The body of a call that must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub async fn post_ok(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.post(path, body).await;
        assert!(status.is_success(), "POST {path}: {status} {answer}");
        answer
    }

    /// The body of a call that must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub async fn get_ok(&self, path: &str) -> Value {
        let (status, answer) = self.get(path).await;
        assert!(status.is_success(), "GET {path}: {status} {answer}");
        answer
    }

    /// What becomes of a command that a client runs, in a conversation's sandbox or the tenant's default one.
    pub async fn run(&self, conversation: Option<&str>, command: &str) -> Value {
        let base = conversation.map_or("/api".to_owned(), |id| format!("/api/conversations/{id}"));
        let request = json!({ "command": command, "timeout": 60 });
        self.post_ok(&format!("{base}/bash/execute_bash_command"), &request).await
    }

    /// What it prints.
    ///
    /// # Panics
    /// When it fails.
    pub async fn printed(&self, conversation: Option<&str>, command: &str) -> String {
        let output = self.run(conversation, command).await;
        assert_eq!(output["exit_code"], 0, "{command}: {output}");
        output["stdout"].as_str().unwrap_or_default().to_owned()
    }

    /// Makes a conversation with terminal and file_editor on the scripted model; answers its id.
    pub async fn create(&self, model_url: &str, working_dir: &str) -> String {
        let body = conversation(model_url, working_dir);
        self.post_ok("/api/conversations", &body).await["id"].as_str().unwrap().to_owned()
    }

    pub async fn send(&self, id: &str, text: &str, run: bool) {
        self.post_ok(&format!("/api/conversations/{id}/events"), &message(text, run)).await;
    }

    /// Waits until the conversation rests in `status`.
    pub async fn wait_for_status(&self, id: &str, status: &str) {
        let path = format!("/api/conversations/{id}");
        eventually(&format!("status {status}"), || async {
            let info = self.get_ok(&path).await;
            (info["execution_status"] == status).then_some(())
        })
        .await;
    }

    /// All events, in log order, page by page.
    pub async fn events(&self, id: &str) -> Vec<Value> {
        let (mut all, mut page) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/conversations/{id}/events/search?limit=100{page}");
            let answer = self.get_ok(&path).await;
            all.extend(answer["items"].as_array().unwrap().iter().cloned());
            match answer["next_page_id"].as_str() {
                Some(next) => page = format!("&page_id={next}"),
                None => return all,
            }
        }
    }

    pub async fn socket(&self, path: &str) -> Socket {
        let url = format!("{}{path}", self.url.replace("http://", "ws://"));
        let mut socket = Socket::open(&url).await;
        if let Some(key) = &self.key {
            socket.send(json!({ "type": "auth", "session_api_key": key }).to_string()).await;
        }
        socket
    }
}

/// The body of a create call.
#[must_use]
pub fn conversation(model_url: &str, working_dir: &str) -> Value {
    json!({
        "agent": { "kind": "Agent",
            "llm": { "model": "openai/scripted", "api_key": "llm-key", "base_url": model_url, "usage_id": "agent", "num_retries": 0 },
            "tools": [{ "name": "terminal", "params": {} }, { "name": "file_editor", "params": {} }] },
        "workspace": { "kind": "LocalWorkspace", "working_dir": working_dir },
        "autotitle": false,
    })
}

#[must_use]
pub fn message(text: &str, run: bool) -> Value {
    json!({ "role": "user", "content": [{ "type": "text", "text": text }], "run": run })
}

//! The user of one conversation: sends messages, each until it is acknowledged or given up.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::client::{Client, message};
use testing::random::Random;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::chaos::scene::MARKER;

/// For one try of a call.
const ANSWER: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(100);
/// After so long a message is given up: it may be stored or not.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than a server of NATS is missed.
const LONG: Duration = Duration::from_secs(60);
/// How much later than the gateway that has taken a message the other may show it.
const SOON: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Talker {
    client: Client,
    pub conversation: String,
    random: Random,
    sent: usize,
    /// The texts that were acknowledged, in order.
    pub acknowledged: Vec<String>,
    /// The longest that a message was not taken.
    pub waited: Duration,
    /// How many of those that were acknowledged were not read soon after, though something was.
    pub read_late: usize,
}

impl Talker {
    pub fn new(client: &Client, conversation: &str, random: Random) -> Self {
        let (client, conversation) = (client.clone(), conversation.to_owned());
        let (waited, read_late) = (Duration::ZERO, 0);
        Self { client, conversation, random, sent: 0, acknowledged: Vec::new(), waited, read_late }
    }

    /// Talks until `enough` is true.
    pub async fn talk(mut self, mut enough: watch::Receiver<bool>) -> Self {
        while !*enough.borrow() {
            let pause = Duration::from_millis(self.random.below(1_500));
            let saying = async {
                self.say(PATIENCE).await;
                tokio::time::sleep(pause).await;
            };
            tokio::select! {
                () = saying => {}
                _ = enough.wait_for(|enough| *enough) => {}
            }
        }
        self
    }

    /// The same, and looks for each message that was acknowledged.
    pub async fn talk_and_look(mut self, mut enough: watch::Receiver<bool>) -> Self {
        while !*enough.borrow() {
            let began = Instant::now();
            if self.say(LONG).await {
                self.waited = self.waited.max(began.elapsed());
                self.read_late += usize::from(!self.finds_the_last().await);
            }
            let pause = Duration::from_millis(self.random.below(1_500));
            let _ = tokio::time::timeout(pause, enough.wait_for(|enough| *enough)).await;
        }
        self
    }

    /// Whether the last acknowledged message is among the last events, as either gateway tells them, [`SOON`] after it was
    /// acknowledged; also where nobody answers.
    async fn finds_the_last(&self) -> bool {
        let soon = Instant::now() + SOON;
        let path = format!(
            "/api/conversations/{}/events/search?limit=100&sort_order=TIMESTAMP_DESC",
            self.conversation
        );
        let last = self.acknowledged.last().map(String::as_str);
        let is_it = |event: &Value| event["llm_message"]["content"][0]["text"].as_str() == last;
        loop {
            let asked = Instant::now();
            let answer = self.client.request(Method::GET, &path).timeout(ANSWER).send().await;
            let Ok(answer) = answer.and_then(reqwest::Response::error_for_status) else { return true };
            let Ok(page) = answer.json::<Value>().await else { return true };
            match page["items"].as_array().is_some_and(|events| events.iter().any(is_it)) {
                true => return true,
                false if asked > soon => return false,
                false => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// Sends a message that starts a run, the same again and again until it is acknowledged.
    pub async fn say(&mut self, patience: Duration) -> bool {
        let text = format!("{MARKER} message {}", self.sent);
        self.sent += 1;
        let key = uuid::Uuid::new_v4().to_string();
        let path = format!("/api/conversations/{}/events", self.conversation);
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let request = self.client.request(Method::POST, &path).header("Idempotency-Key", &key);
            let answer = request.json(&message(&text, true)).timeout(ANSWER).send().await;
            match answer.map(|answer| answer.status()) {
                // With 429 it is stored, and only the run is refused.
                Ok(StatusCode::OK | StatusCode::TOO_MANY_REQUESTS) => {
                    self.acknowledged.push(text);
                    return true;
                }
                Ok(status) => {
                    let later = status.is_server_error() || status == StatusCode::CONFLICT;
                    assert!(later, "a message is refused: {status}");
                }
                Err(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
        false
    }

    /// Whether a message is taken and its run finishes before `deadline`.
    pub async fn gets_through(&mut self, deadline: Instant) -> bool {
        while !self.say(Duration::from_secs(2)).await {
            if Instant::now() > deadline {
                return false;
            }
        }
        let path = format!("/api/conversations/{}", self.conversation);
        while Instant::now() < deadline {
            match self.status(&path).await.as_deref() {
                Some("finished") => return true,
                Some("running") | None => {}
                // A run that was cut off begins again when asked to.
                Some(_) => {
                    let run = self.client.request(Method::POST, &format!("{path}/run"));
                    let _ = run.json(&json!({})).timeout(ANSWER).send().await;
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
        false
    }

    /// What the conversation says about itself.
    pub async fn why(&self) -> Value {
        let path = format!("/api/conversations/{}/why", self.conversation);
        let answer = self.client.request(Method::GET, &path).timeout(ANSWER).send().await;
        match answer {
            Ok(answer) => answer.json().await.unwrap_or_default(),
            Err(error) => Value::String(error.to_string()),
        }
    }

    async fn status(&self, path: &str) -> Option<String> {
        let answer = self.client.request(Method::GET, path).timeout(ANSWER).send().await.ok()?;
        let info: Value = answer.json().await.ok()?;
        info["execution_status"].as_str().map(str::to_owned)
    }
}

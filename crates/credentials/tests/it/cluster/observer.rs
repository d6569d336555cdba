//! A part of the cluster that keeps all it hears.

use std::sync::{Arc, Mutex};

use async_nats::Message;
use futures_util::StreamExt;

use super::client::Client;

/// A part of the cluster that keeps all it hears.
pub struct Observer {
    client: Client,
    /// A call that is answered to this part: when its answer is here, so is all that came before.
    answered: &'static str,
    heard: Arc<Mutex<Vec<Message>>>,
}

impl Observer {
    /// Hears `subjects` and its inbox.
    pub async fn new(client: Client, answered: &'static str, subjects: &[&str]) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let inbox = format!("{}.>", client.inbox);
        for subject in subjects.iter().copied().chain([inbox.as_str()]) {
            let mut messages = client.nats.subscribe(subject.to_owned()).await.unwrap();
            let heard = heard.clone();
            tokio::spawn(async move {
                while let Some(message) = messages.next().await {
                    heard.lock().unwrap().push(message);
                }
            });
        }
        let observer = Self { client, answered, heard };
        observer.settle().await;
        observer
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits until all is here that the server had for it.
    pub async fn settle(&self) {
        let nats = &self.client.nats;
        let reply = format!("{}.settled.{}", self.client.inbox, nats.new_inbox());
        nats.publish_with_reply(self.answered, reply.clone(), "".into()).await.unwrap();
        nats.flush().await.unwrap();
        testing::until(async || self.heard.lock().unwrap().iter().any(|m| m.subject.as_str() == reply)).await;
    }

    /// What it heard, but for its own settling.
    pub fn heard(&self) -> Vec<Message> {
        let mut heard = self.heard.lock().unwrap().clone();
        let settling = |subject: &str| subject.contains(".settled.");
        heard.retain(|m| !settling(&m.subject) && !m.reply.as_deref().is_some_and(settling));
        heard
    }

    pub fn forget(&self) {
        self.heard.lock().unwrap().clear();
    }
}

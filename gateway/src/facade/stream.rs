//! A chat completion that is told while its run goes on.
//!
//! What the agent says is sent as it writes it, also between its steps. Pieces come over a way on which some may be lost, so
//! those of an answer are only sent if its beginning was heard; and at the end the agent's last word, as an answer without a stream
//! has it, is sent as far as it was not. While nothing is said a comment keeps the connection open. A failure that comes when the
//! answer has begun is sent in it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use ports::{Delivery, Subscription};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use types::calls::{DeltaKind, Live};
use types::conversation::Status;

use super::begin::Run;
use super::chat::OpenAIUsage;
use super::errors::described;
use super::outcome::{Outcome, PATIENCE, timed_out};
use crate::error::ApiError;
use crate::handles::Facade;

/// Between two comments.
const COMMENT: Duration = Duration::from_secs(15);

/// What all pieces of an answer say of it.
pub(super) struct Told {
    pub id: String,
    pub created: u64,
    pub model: String,
    pub has_usage: bool,
}

/// The body of the answer.
pub(super) fn told(facade: Facade, run: Run, live: Subscription, told: Told) -> Body {
    let mut telling = Telling {
        facade,
        run,
        live,
        told,
        give_up: Instant::now() + PATIENCE,
        said: Said::default(),
        pieces: VecDeque::new(),
        is_over: false,
    };
    telling.push(&json!({"role": "assistant"}), None);
    Body::from_stream(stream::unfold(telling, |mut telling| async move {
        let piece = telling.next().await?;
        Some((Ok::<_, Infallible>(piece), telling))
    }))
}

struct Telling {
    facade: Facade,
    run: Run,
    live: Subscription,
    told: Told,
    give_up: Instant,
    said: Said,
    pieces: VecDeque<String>,
    is_over: bool,
}

/// What of the answer that is being written was sent.
#[derive(Default)]
struct Said {
    /// Whose beginning was heard.
    item: Option<String>,
    text: String,
    /// Whether anything was sent before it.
    follows: bool,
}

impl Telling {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Some(piece.into());
            }
            if self.is_over {
                return None;
            }
            self.go_on().await;
        }
    }

    async fn go_on(&mut self) {
        let left = self.give_up.saturating_duration_since(Instant::now());
        tokio::select! {
            biased;
            Some(delivery) = self.live.next() => self.hear(delivery),
            status = self.facade.conversations.until_rest(&self.run.entry, left) => self.end(status).await,
            () = sleep(COMMENT) => self.pieces.push_back(": the agent is at work\n\n".to_owned()),
        }
    }

    fn hear(&mut self, delivery: Delivery) {
        let Delivery::Message(message) = delivery else { return };
        let Ok(live) = serde_json::from_slice::<Live>(&message.parcel.json) else { return };
        if let Some(text) = self.said.heard(live) {
            self.push(&json!({ "content": text }), None);
        }
    }

    async fn end(&mut self, status: Option<Status>) {
        // They were published before the run had ended.
        while let Some(Some(delivery)) = self.live.next().now_or_never() {
            self.hear(delivery);
        }
        self.is_over = true;
        let outcome = match status {
            Some(status) => self.facade.outcome_of(&self.run, status).await,
            None => Err(timed_out()),
        };
        match outcome {
            Ok(outcome) => self.close(&outcome),
            Err(error) => self.fail(error).await,
        }
    }

    fn close(&mut self, outcome: &Outcome) {
        if let Some(rest) = self.said.unsaid(&outcome.text) {
            self.push(&json!({ "content": rest }), None);
        }
        self.push(&json!({}), Some("stop"));
        if self.told.has_usage {
            let mut piece = self.piece(&json!([]));
            if let Some(fields) = piece.as_object_mut() {
                fields.insert("usage".to_owned(), json!(OpenAIUsage::from(outcome.tokens)));
            }
            self.pieces.push_back(event(&piece));
        }
        self.pieces.push_back("data: [DONE]\n\n".to_owned());
    }

    async fn fail(&mut self, error: ApiError) {
        let response: Response = error.into_response();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 64 << 10).await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = body.get("detail").unwrap_or(&Value::Null);
        self.pieces.push_back(event(&json!({"error": described(status, detail), "detail": detail})));
    }

    fn push(&mut self, delta: &Value, finish_reason: Option<&str>) {
        let piece = self.piece(&json!([{"index": 0, "delta": delta, "finish_reason": finish_reason}]));
        self.pieces.push_back(event(&piece));
    }

    fn piece(&self, choices: &Value) -> Value {
        let Told { id, created, model, .. } = &self.told;
        json!({"id": id, "object": "chat.completion.chunk", "created": created, "model": model, "choices": choices})
    }
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

impl Said {
    /// What is to be sent of what was heard.
    fn heard(&mut self, live: Live) -> Option<String> {
        match live {
            Live::ItemStarted { item_id, attempt, .. } => {
                self.begin(Some(key(&item_id, attempt)));
                None
            }
            Live::Delta { item_id, attempt, kind: DeltaKind::Text, content, .. } => {
                if content.is_empty() || self.item != Some(key(&item_id, attempt)) {
                    return None;
                }
                let gap = if self.text.is_empty() { self.gap() } else { "" };
                self.text.push_str(&content);
                Some(format!("{gap}{content}"))
            }
            Live::Delta { kind: DeltaKind::Reasoning, .. } => None,
            Live::ItemAborted { .. } => {
                self.begin(None);
                None
            }
        }
    }

    fn begin(&mut self, item: Option<String>) {
        self.follows |= !self.text.is_empty();
        self.text.clear();
        self.item = item;
    }

    /// Between what was said before and what follows.
    fn gap(&self) -> &'static str {
        if self.follows { "\n\n" } else { "" }
    }

    /// What of the last word is still to be sent.
    fn unsaid(&mut self, last_word: &str) -> Option<String> {
        let rest = match last_word.strip_prefix(self.text.trim_end()) {
            Some(rest) if !self.text.is_empty() => rest.to_owned(),
            _ => {
                self.begin(None);
                format!("{}{last_word}", self.gap())
            }
        };
        (!rest.trim().is_empty()).then_some(rest)
    }
}

fn key(item_id: &str, attempt: u32) -> String {
    format!("{item_id}/{attempt}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(item_id: &str) -> Live {
        Live::ItemStarted { item_id: item_id.to_owned(), attempt: 1, anchor_seq: None }
    }

    fn delta(item_id: &str, content: &str) -> Live {
        Live::Delta {
            item_id: item_id.to_owned(),
            attempt: 1,
            order: 0,
            kind: DeltaKind::Text,
            content: content.to_owned(),
            chunk_id: None,
            choice_index: None,
        }
    }

    fn sent(heard: Vec<Live>, last_word: &str) -> Vec<String> {
        let mut said = Said::default();
        let mut sent: Vec<String> = heard.into_iter().filter_map(|live| said.heard(live)).collect();
        sent.extend(said.unsaid(last_word));
        sent
    }

    #[test]
    fn the_last_word_is_sent_once_however_much_of_it_was_heard() {
        let all = vec![started("a"), delta("a", "he"), delta("a", "llo")];
        assert_eq!(sent(all, "hello"), ["he", "llo"]);
        let without_its_end = vec![started("a"), delta("a", "he")];
        assert_eq!(sent(without_its_end, "hello"), ["he", "llo"]);
        let without_its_beginning = vec![delta("a", "llo")];
        assert_eq!(sent(without_its_beginning, "hello"), ["hello"]);
        assert_eq!(sent(vec![], "hello"), ["hello"]);
        assert_eq!(sent(vec![], ""), [""; 0]);
    }

    #[test]
    fn what_was_said_between_steps_stands_apart() {
        let steps =
            vec![started("a"), delta("a", "I look."), started("b"), delta("b", "Done."), started("c")];
        assert_eq!(sent(steps.clone(), "All is well."), ["I look.", "\n\nDone.", "\n\nAll is well."]);
        assert_eq!(sent(steps[..4].to_vec(), "Done."), ["I look.", "\n\nDone."]);
        let mut aborted = vec![started("a"), delta("a", "half")];
        let again = Live::ItemAborted { item_id: "a".to_owned(), attempt: 1, reason: String::new() };
        aborted.extend([again, started("b"), delta("b", "whole")]);
        assert_eq!(sent(aborted, "whole"), ["half", "\n\nwhole"]);
    }
}

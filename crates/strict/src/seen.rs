//! What the requests of one conversation have in common.

use std::collections::HashSet;

use serde_json::Value;

use crate::Dialect;
use crate::look::{Verdict, demand, list, text};

/// What a provider remembers of a conversation, and what its cache could have served.
#[derive(Default)]
pub struct Seen {
    /// Thinking and reasoning that was answered, as it came.
    answered: HashSet<String>,
    before: Vec<String>,
    /// Bytes of all messages so far, and of those that began a request as they had begun the one before.
    sent: u64,
    repeated: u64,
}

impl Seen {
    /// Thinking or reasoning that an answer held.
    pub fn answered(&mut self, block: &Value) {
        self.answered.insert(block.to_string());
    }

    /// Anthropic: "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. These blocks must
    /// remain as they were in the original response". OpenAI decrypts reasoning, and refuses what it has not encrypted.
    ///
    /// # Errors
    /// A sentence, where one was never answered so.
    pub fn request(&mut self, dialect: Dialect, body: &Value) -> Verdict {
        let (items, blocks): (&[Value], Vec<&Value>) = match dialect {
            Dialect::Chat => (list(body, "messages"), Vec::new()),
            Dialect::Responses => (list(body, "input"), list(body, "input").iter().collect()),
            Dialect::Anthropic => {
                let messages = list(body, "messages");
                (messages, messages.iter().flat_map(|message| list(message, "content")).collect())
            }
        };
        self.count(items);
        let opaque = blocks
            .into_iter()
            .filter(|block| matches!(text(block, "type"), "thinking" | "redacted_thinking" | "reasoning"));
        for block in opaque {
            demand(self.answered.contains(&block.to_string()), || format!("never answered: {block}"))?;
        }
        Ok(())
    }

    /// The part of all messages, from 0 to 1, that a cache of prefixes could have served.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share, for people")]
    pub fn repeated(&self) -> f64 {
        self.repeated as f64 / self.sent.max(1) as f64
    }

    fn count(&mut self, items: &[Value]) {
        let now: Vec<String> = items.iter().map(|item| without_marks(item).to_string()).collect();
        let size = |items: &[String]| items.iter().map(|item| item.len() as u64).sum::<u64>();
        let same = now.iter().zip(&self.before).take_while(|(now, before)| now == before).count();
        self.sent += size(&now);
        self.repeated += size(now.get(..same).unwrap_or_default());
        self.before = now;
    }
}

/// Where a cache is to end is no part of what it holds.
fn without_marks(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| *name != "cache_control");
            Value::Object(kept.map(|(name, value)| (name.clone(), without_marks(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_marks).collect()),
        other => other.clone(),
    }
}

//! Messages and what they are made of.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One piece of a message: text, or images by `data:` or http URL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    Text {
        #[serde(default)]
        cache_prompt: bool,
        text: String,
    },
    Image {
        #[serde(default)]
        cache_prompt: bool,
        image_urls: Vec<String>,
    },
}

impl Content {
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { cache_prompt: false, text: text.into() }
    }

    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            Self::Image { .. } => None,
        }
    }
}

/// All text pieces, one per line.
#[must_use]
pub fn joined_text(content: &[Content]) -> String {
    content.iter().filter_map(Content::as_text).collect::<Vec<_>>().join("\n")
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    #[default]
    User,
    System,
    Assistant,
    Tool,
}

/// A call of a tool as the model wrote it: `arguments` is text, usually JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolCall {
    pub id: String,
    pub name: String,
    pub arguments: String,
    /// Which API it came over: `completion` or `responses`.
    #[serde(default = "completion")]
    pub origin: String,
}

fn completion() -> String {
    "completion".to_owned()
}

/// A part of an answer, by its place among those of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Of the content.
    Text(usize),
    Thinking(usize),
    Call(usize),
}

/// A message as events keep it and as the model client takes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    #[serde(default)]
    pub role: Role,
    #[serde(default)]
    pub content: Vec<Content>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<ToolCall>>))]
    pub tool_calls: Vec<ToolCall>,
    /// Set on a tool's answer: the call it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Set on a tool's answer: the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// Anthropic thinking blocks, replayed as they came (with their signature).
    #[serde(default)]
    pub thinking_blocks: Vec<Value>,
    /// The order in which the parts of an answer came, where it is not the usual one: all thinking, then all texts, then all calls.
    /// Events do not have it.
    #[serde(skip)]
    pub order: Vec<Part>,
}

impl Message {
    #[must_use]
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: vec![Content::text(text)], ..Self::default() }
    }

    /// The parts in their order, whether it is said or not.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        if !self.order.is_empty() {
            return self.order.clone();
        }
        let thinking = (0..self.thinking_blocks.len()).map(Part::Thinking);
        let texts = (0..self.content.len()).map(Part::Text);
        thinking.chain(texts).chain((0..self.tool_calls.len()).map(Part::Call)).collect()
    }

    /// Takes on an order if it names each part once, and those of a kind one after the other. Others change nothing.
    pub fn set_order(&mut self, order: &[Part]) {
        let places = |pick: fn(&Part) -> Option<usize>| order.iter().filter_map(pick).collect::<Vec<_>>();
        let texts = places(|part| if let Part::Text(at) = part { Some(*at) } else { None });
        let thinking = places(|part| if let Part::Thinking(at) = part { Some(*at) } else { None });
        let calls = places(|part| if let Part::Call(at) = part { Some(*at) } else { None });
        let counts = [
            (texts, self.content.len()),
            (thinking, self.thinking_blocks.len()),
            (calls, self.tool_calls.len()),
        ];
        if counts.iter().all(|(places, count)| places.iter().copied().eq(0..*count)) {
            self.order = order.to_vec();
            self.drop_usual_order();
        }
    }

    /// The usual order need not be said.
    fn drop_usual_order(&mut self) {
        let rank = |part: &Part| match part {
            Part::Thinking(_) => 0,
            Part::Text(_) => 1,
            Part::Call(_) => 2,
        };
        if self.order.is_sorted_by_key(rank) {
            self.order = Vec::new();
        }
    }

    /// Keeps the thinking for which `keep` holds.
    pub fn retain_thinking(&mut self, keep: impl Fn(&Value) -> bool) {
        let mut kept = 0;
        let kept: Vec<Option<usize>> = self
            .thinking_blocks
            .iter()
            .map(|block| {
                keep(block).then(|| {
                    kept += 1;
                    kept - 1
                })
            })
            .collect();
        let moved = |part: &Part| match part {
            Part::Thinking(at) => kept.get(*at).copied().flatten().map(Part::Thinking),
            other => Some(*other),
        };
        self.order = self.order.iter().filter_map(moved).collect();
        self.thinking_blocks.retain(|block| keep(block));
        self.drop_usual_order();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Message {
        let call = |id: &str| ToolCall {
            id: id.into(),
            name: "t".into(),
            arguments: "{}".into(),
            origin: completion(),
        };
        Message {
            content: vec![Content::text("a"), Content::text("b")],
            thinking_blocks: vec![json!("x"), json!("y")],
            tool_calls: vec![call("1"), call("2")],
            ..Message::default()
        }
    }

    const WOVEN: [Part; 6] =
        [Part::Thinking(0), Part::Text(0), Part::Call(0), Part::Thinking(1), Part::Text(1), Part::Call(1)];

    #[test]
    fn an_order_that_is_not_of_this_answer_or_the_usual_one_is_not_taken() {
        let mut message = answer();
        for wrong in [&WOVEN[..5], &[Part::Call(1), Part::Call(0)], &[Part::Text(7)], &[]] {
            message.set_order(wrong);
            assert!(message.order.is_empty(), "{wrong:?}");
        }
        message.set_order(&message.parts());
        assert!(message.order.is_empty());
        message.set_order(&WOVEN);
        assert_eq!(message.parts(), WOVEN);
        assert!(!serde_json::to_string(&message).unwrap().contains("order"));
    }

    #[test]
    fn thinking_that_is_left_out_moves_what_comes_behind_it() {
        let mut message = answer();
        message.set_order(&WOVEN);
        message.retain_thinking(|block| block == "y");
        assert_eq!(
            message.order,
            [Part::Text(0), Part::Call(0), Part::Thinking(0), Part::Text(1), Part::Call(1)]
        );
        message.retain_thinking(|_| false);
        assert_eq!(message.order, [Part::Text(0), Part::Call(0), Part::Text(1), Part::Call(1)]);
    }
}

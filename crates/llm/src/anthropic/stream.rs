//! Puts a streamed answer together.

use serde::Deserialize;
use serde_json::Value;
use types::calls::DeltaKind;

use super::reply::{Usage, answer};
use crate::answer::Answer;
use crate::problem::Problem;
use crate::sse::SseEvent;
use crate::stream::Announcer;

/// More blocks than any answer has; a larger index is a fault of the server.
const MAX_BLOCKS: usize = 4096;

#[derive(Default)]
pub(crate) struct Assembly {
    id: Option<String>,
    blocks: Vec<PartialBlock>,
    usage: Usage,
    stop: Option<String>,
    began: bool,
    ended: bool,
}

#[derive(Default)]
struct PartialBlock {
    index: u64,
    block: Value,
    input: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        index: u64,
        content_block: Value,
    },
    ContentBlockDelta {
        index: u64,
        delta: Delta,
    },
    MessageDelta {
        delta: Option<Stop>,
        usage: Option<Usage>,
    },
    MessageStop,
    Error {
        error: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    id: Option<String>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Stop {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: String },
    #[serde(rename = "signature_delta")]
    Signature { signature: String },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: String },
    #[serde(other)]
    Other,
}

impl Assembly {
    /// Takes one event; true once nothing more is to come.
    pub(crate) fn take(&mut self, event: &SseEvent, out: &mut Announcer<'_>) -> Result<bool, Problem> {
        let event: Event = serde_json::from_str(&event.data)
            .map_err(|_| Problem::garbled("a piece of the streamed answer is not understood"))?;
        match event {
            Event::MessageStart { message } => {
                self.began = true;
                self.id = message.id;
                self.usage.update(message.usage.unwrap_or_default());
            }
            Event::ContentBlockStart { index, content_block } => self.open(index, content_block, out)?,
            Event::ContentBlockDelta { index, delta } => self.extend(index, delta, out),
            Event::MessageDelta { delta, usage } => {
                self.usage.update(usage.unwrap_or_default());
                self.stop = delta.and_then(|delta| delta.stop_reason).or(self.stop.take());
                self.ended |= self.stop.is_some();
            }
            Event::MessageStop => {
                self.ended = true;
                return Ok(true);
            }
            Event::Error { error } => return Err(Problem::in_body(&error)),
            Event::Other => {}
        }
        Ok(false)
    }

    /// The answer, once the stream is over. A stream that ended too early is an error.
    pub(crate) fn finish(mut self) -> Result<Answer, Problem> {
        if !self.ended {
            return Err(Problem::cut_stream());
        }
        if !self.began {
            return Err(Problem::no_response());
        }
        self.blocks.sort_by_key(|partial| partial.index);
        let blocks = self.blocks.into_iter().map(PartialBlock::whole).collect();
        Ok(answer(self.id, blocks, self.stop.as_deref(), self.usage))
    }

    fn open(&mut self, index: u64, block: Value, out: &mut Announcer<'_>) -> Result<(), Problem> {
        if self.blocks.len() >= MAX_BLOCKS {
            return Err(Problem::garbled("the streamed answer has too many blocks"));
        }
        for (key, kind) in [("text", DeltaKind::Text), ("thinking", DeltaKind::Reasoning)] {
            let text = block.get(key).and_then(Value::as_str).unwrap_or_default();
            out.delta(kind, text, self.id.as_deref());
        }
        self.blocks.push(PartialBlock { index, block, input: String::new() });
        Ok(())
    }

    fn extend(&mut self, index: u64, delta: Delta, out: &mut Announcer<'_>) {
        let Some(partial) = self.blocks.iter_mut().rev().find(|partial| partial.index == index) else {
            return;
        };
        match delta {
            Delta::Text { text } => {
                out.delta(DeltaKind::Text, &text, self.id.as_deref());
                append(&mut partial.block, "text", text);
            }
            Delta::Thinking { thinking } => {
                out.delta(DeltaKind::Reasoning, &thinking, self.id.as_deref());
                append(&mut partial.block, "thinking", thinking);
            }
            Delta::Signature { signature } => append(&mut partial.block, "signature", signature),
            Delta::InputJson { partial_json } => partial.input.push_str(&partial_json),
            Delta::Other => {}
        }
    }
}

impl PartialBlock {
    fn whole(mut self) -> Value {
        if let Some(block) = self.block.as_object_mut().filter(|_| !self.input.is_empty()) {
            block.insert("input".to_owned(), Value::String(self.input));
        }
        self.block
    }
}

fn append(block: &mut Value, key: &str, text: String) {
    let Some(block) = block.as_object_mut() else { return };
    match block.get_mut(key) {
        Some(Value::String(so_far)) => so_far.push_str(&text),
        _ => drop(block.insert(key.to_owned(), Value::String(text))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn assembled(events: &[Value]) -> Result<Answer, Problem> {
        let mut assembly = Assembly::default();
        for event in events {
            let event = SseEvent { name: String::new(), data: event.to_string() };
            assembly.take(&event, &mut Announcer::start(None, 1))?;
        }
        assembly.finish()
    }

    #[test]
    fn blocks_usage_and_signature_come_together() {
        let answer = assembled(&[
            json!({"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 5, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 3, "output_tokens": 1}}}),
            json!({"type": "ping"}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig"}}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "name": "run", "input": {}}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"a\""}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": ": 1}"}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}),
            json!({"type": "message_stop"}),
        ])
        .unwrap();
        assert_eq!(answer.reasoning, "hm");
        assert_eq!(
            answer.thinking_blocks,
            [json!({"type": "thinking", "thinking": "hm", "signature": "sig"})]
        );
        assert_eq!(answer.calls, [tool_call("t", "run", "{\"a\": 1}".to_owned())]);
        let tokens = Tokens { prompt: 10, completion: 9, cache_read: 2, cache_write: 3, ..Tokens::default() };
        assert_eq!(answer.tokens, tokens);
    }

    #[test]
    fn a_call_without_arguments_has_an_empty_object() {
        let answer = assembled(&[
            json!({"type": "message_start", "message": {}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "t", "name": "run", "input": {}}}),
            json!({"type": "message_stop"}),
        ])
        .unwrap();
        assert_eq!(answer.calls, [tool_call("t", "run", "{}".to_owned())]);
    }

    #[test]
    fn a_stream_without_an_end_is_cut() {
        let error = assembled(&[json!({"type": "message_start", "message": {"id": "m"}})]).unwrap_err();
        assert_eq!(error, Problem::cut_stream());
    }

    use crate::answer::{Tokens, tool_call};
}

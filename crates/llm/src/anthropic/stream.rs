//! Puts a streamed answer together.

use serde_json::{Value, json};
use types::calls::DeltaKind;

use super::reply::{Usage, answer, id_of};
use crate::answer::{Answer, error_of};
use crate::ending::{Reason, reason};
use crate::json::{self, Growing};
use crate::problem::Problem;
use crate::sse::SseEvent;
use crate::stream::{Announcer, Progress};

/// More blocks than any answer has.
const MAX_BLOCKS: usize = 4096;

#[derive(Default)]
pub(crate) struct Assembly {
    id: Option<String>,
    /// In the order in which they began.
    blocks: Vec<PartialBlock>,
    usage: Usage,
    stop: Option<Reason>,
    began: bool,
    over: bool,
}

struct PartialBlock {
    index: u64,
    block: Value,
    /// As [`GROWING`] names them.
    parts: [Option<Growing>; 4],
    open: bool,
}

/// The parts of blocks that grow: the field of a delta, that of the block, the type of such a block, and what a listener
/// hears of it.
const GROWING: [(&str, &str, &str, Option<DeltaKind>); 4] = [
    ("text", "text", "text", Some(DeltaKind::Text)),
    ("thinking", "thinking", "thinking", Some(DeltaKind::Reasoning)),
    ("signature", "signature", "thinking", None),
    ("partial_json", "input", "tool_use", None),
];

impl Assembly {
    /// Takes one event.
    pub(crate) fn take(&mut self, event: &SseEvent, out: &mut Announcer<'_>) -> Result<Progress, Problem> {
        if event.is_done() {
            return Ok(self.progress());
        }
        let Some(said) = event.object()? else { return Ok(self.progress()) };
        let kind = said.get("type").and_then(Value::as_str).unwrap_or(&event.name);
        let index = said.get("index").and_then(Value::as_u64);
        match kind {
            "message_start" => self.begin(said.get("message").unwrap_or(&Value::Null), out),
            "content_block_start" => {
                let block = said.get("content_block").cloned().unwrap_or_default();
                self.open(index, block, out)?;
            }
            "content_block_delta" => self.extend(index, said.get("delta").unwrap_or(&Value::Null), out)?,
            "content_block_stop" => self.close(index),
            "message_delta" => {
                self.usage.update(said.get("usage"));
                self.stop = said.pointer("/delta/stop_reason").and_then(reason).or(self.stop);
            }
            "message_stop" => {
                self.over = true;
                return Ok(Progress::Over);
            }
            "error" => return Err(Problem::in_body(said.get("error").unwrap_or(&said))),
            // An error without a name of its kind.
            _ => {
                if let Some(error) = error_of(&said) {
                    return Err(Problem::in_body(error));
                }
            }
        }
        Ok(self.progress())
    }

    /// The answer, once the stream is over. A stream that ended too early is an error.
    pub(crate) fn finish(self) -> Result<Answer, Problem> {
        if !self.over && self.stop.is_none() {
            return Err(Problem::cut_stream());
        }
        if !self.began && self.blocks.is_empty() {
            return Err(Problem::no_response());
        }
        let blocks = self.blocks.into_iter().map(PartialBlock::whole).collect();
        answer(self.id, blocks, self.stop, &self.usage)
    }

    fn progress(&self) -> Progress {
        if self.stop.is_some() { Progress::Ended } else { Progress::More }
    }

    /// A message that begins where another is under way takes its place.
    fn begin(&mut self, message: &Value, out: &mut Announcer<'_>) {
        if !self.blocks.is_empty() || self.stop.is_some() {
            out.begin_anew();
        }
        *self = Self { began: true, id: id_of(message), ..Self::default() };
        self.usage.update(message.get("usage"));
    }

    fn open(&mut self, index: Option<u64>, mut block: Value, out: &Announcer<'_>) -> Result<(), Problem> {
        if self.blocks.len() >= MAX_BLOCKS {
            return Err(Problem::garbled("the streamed answer has too many blocks"));
        }
        let mut parts: [Option<Growing>; 4] = Default::default();
        for (part, (_, key, _, heard)) in parts.iter_mut().zip(GROWING) {
            let Some(begin) = block.get(key).and_then(Value::as_str) else { continue };
            let shown = part.get_or_insert_default().push(begin);
            heard.into_iter().for_each(|kind| out.delta(kind, shown, self.id.as_deref()));
        }
        json::clean(&mut block);
        let index = index.unwrap_or_else(|| self.blocks.last().map_or(0, |last| last.index + 1));
        self.blocks.push(PartialBlock { index, block, parts, open: true });
        Ok(())
    }

    /// A piece of a block that never began begins it.
    fn extend(&mut self, index: Option<u64>, delta: &Value, out: &Announcer<'_>) -> Result<(), Problem> {
        let id = self.id.clone();
        for (nth, (field, _, kind, heard)) in GROWING.into_iter().enumerate() {
            let piece = match delta.get(field) {
                Some(Value::String(piece)) if !piece.is_empty() => piece.clone(),
                Some(object @ Value::Object(_)) if field == "partial_json" => object.to_string(),
                _ => continue,
            };
            if self.place(index).is_none() {
                self.open(index, json!({"type": kind}), out)?;
            }
            let block = self.place(index).and_then(|place| self.blocks.get_mut(place));
            let Some(part) = block.and_then(|block| block.parts.get_mut(nth)) else { continue };
            let shown = part.get_or_insert_default().push(&piece);
            heard.into_iter().for_each(|kind| out.delta(kind, shown, id.as_deref()));
        }
        Ok(())
    }

    fn close(&mut self, index: Option<u64>) {
        if let Some(partial) = self.place(index).and_then(|place| self.blocks.get_mut(place)) {
            partial.open = false;
        }
    }

    /// The open block with this index; without one, the newest.
    fn place(&self, index: Option<u64>) -> Option<usize> {
        self.blocks.iter().rposition(|block| block.open && index.is_none_or(|index| block.index == index))
    }
}

impl PartialBlock {
    fn whole(mut self) -> Value {
        let grown = self.parts.into_iter().zip(GROWING).filter_map(|(text, (_, key, ..))| Some((key, text?)));
        if let Some(block) = self.block.as_object_mut() {
            block.extend(grown.map(|(key, text)| (key.to_owned(), text.finish().into())));
        }
        self.block
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

    #[test]
    fn an_answer_that_is_begun_anew_holds_nothing_of_the_first_one() {
        let start = json!({"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 5}}});
        let block =
            |index, block| json!({"type": "content_block_start", "index": index, "content_block": block});
        let call = json!({"type": "tool_use", "id": "t", "name": "run", "input": {}});
        let answer = assembled(&[
            start.clone(),
            block(0, json!({"type": "thinking", "thinking": "hm", "signature": "s"})),
            block(1, call.clone()),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"a\""}}),
            start,
            block(0, call),
            json!({"type": "message_stop"}),
        ])
        .unwrap();
        assert_eq!(answer.calls, [tool_call("t", "run", "{}".to_owned())]);
        assert!(answer.thinking_blocks.is_empty());
        assert_eq!(answer.tokens.prompt, 5);
    }

    #[test]
    fn pieces_without_a_beginning_and_an_index_that_comes_again_lose_nothing() {
        let delta = |index: Value, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
        let text = |text: &str| json!({"type": "text_delta", "text": text});
        let stop = json!({"type": "content_block_stop", "index": 0});
        let call = json!({"type": "tool_use", "id": "t", "name": "run", "input": {}});
        let answer = assembled(&[
            json!({"type": "message_start", "message": {}}),
            delta(json!(0), text("a")),
            delta(json!("0"), text("b")),
            stop.clone(),
            json!({"type": "content_block_start", "index": 0, "content_block": call}),
            delta(json!(0), json!({"partial_json": "{\"x\":1}"})),
            stop,
            delta(json!(0), text("c")),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
        ])
        .unwrap();
        assert_eq!(answer.text, "abc");
        assert_eq!(answer.calls, [tool_call("t", "run", "{\"x\":1}".to_owned())]);
    }

    #[test]
    fn an_empty_reason_is_no_end() {
        let error = assembled(&[
            json!({"type": "message_start", "message": {}}),
            json!({"type": "message_delta", "delta": {"stop_reason": ""}}),
        ])
        .unwrap_err();
        assert_eq!(error, Problem::cut_stream());
    }

    use crate::answer::{Tokens, tool_call};
}

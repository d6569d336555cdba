//! Puts a streamed answer together.

use types::calls::DeltaKind;

use super::reply::{Reply, SaidCall, is_refusal, tokens};
use crate::answer::{Answer, response_id, tool_call};
use crate::problem::Problem;
use crate::sse::SseEvent;
use crate::stream::Announcer;

#[derive(Default)]
pub(crate) struct Assembly {
    answer: Answer,
    id: Option<String>,
    calls: Vec<PartialCall>,
    had_choice: bool,
    ended: bool,
}

#[derive(Default)]
struct PartialCall {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Assembly {
    /// Takes one event; true once nothing more is to come.
    pub(crate) fn take(&mut self, event: &SseEvent, out: &mut Announcer<'_>) -> Result<bool, Problem> {
        if event.data.trim() == "[DONE]" {
            self.ended = true;
            return Ok(true);
        }
        let chunk: Reply = serde_json::from_str(&event.data)
            .map_err(|_| Problem::garbled("a piece of the streamed answer is no JSON"))?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(Problem::in_body(&error));
        }
        self.id = self.id.take().or(chunk.id);
        if let Some(usage) = &chunk.usage {
            self.answer.tokens = tokens(usage);
        }
        let Some(choice) = chunk.choices.and_then(|choices| choices.into_iter().next()) else {
            return Ok(false);
        };
        self.had_choice = true;
        if choice.finish_reason.as_ref().is_some_and(|reason| !reason.is_null()) {
            self.ended = true;
            self.answer.refused = is_refusal(choice.finish_reason.as_ref());
        }
        let Some(mut said) = choice.delta.or(choice.message) else { return Ok(false) };
        let (reasoning, text) = (said.reasoning(), said.text());
        out.delta(DeltaKind::Reasoning, reasoning, self.id.as_deref());
        out.delta(DeltaKind::Text, &text, self.id.as_deref());
        self.answer.reasoning.push_str(reasoning);
        self.answer.text.push_str(&text);
        self.answer.thinking_blocks.extend(said.take_thinking_blocks());
        for piece in said.tool_calls.take().unwrap_or_default() {
            self.add(piece);
        }
        Ok(false)
    }

    /// The answer, once the stream is over. A stream that ended too early is an error.
    pub(crate) fn finish(mut self) -> Result<Answer, Problem> {
        if !self.ended {
            return Err(Problem::cut_stream());
        }
        if !self.had_choice {
            return Err(Problem::no_response());
        }
        self.calls.sort_by_key(|call| call.index);
        let named = self.calls.into_iter().filter(|call| !call.name.is_empty());
        self.answer.calls = named.map(|call| tool_call(&call.id, &call.name, call.arguments)).collect();
        self.answer.id = response_id(self.id);
        Ok(self.answer)
    }

    /// Pieces belong together by index; servers that leave it out, or give all calls the same one, tell
    /// them apart by id.
    fn add(&mut self, piece: SaidCall) {
        let id = piece.id.unwrap_or_default();
        let same = self.calls.iter().rposition(|call| match piece.index {
            Some(_) => call.index == piece.index,
            None => id.is_empty() || call.id == id,
        });
        let same = same.filter(|at| {
            self.calls.get(*at).is_some_and(|call| id.is_empty() || call.id.is_empty() || call.id == id)
        });
        let at = same.unwrap_or_else(|| {
            self.calls.push(PartialCall { index: piece.index, ..PartialCall::default() });
            self.calls.len() - 1
        });
        let Some(call) = self.calls.get_mut(at) else { return };
        if call.id.is_empty() {
            call.id = id;
        }
        let Some(function) = piece.function else { return };
        if call.name.is_empty() {
            call.name = function.name.clone().unwrap_or_default();
        }
        call.arguments.push_str(&function.arguments());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn assembled(chunks: &[Value]) -> Result<Answer, Problem> {
        let mut assembly = Assembly::default();
        for chunk in chunks {
            let event = SseEvent { name: String::new(), data: chunk.to_string() };
            assembly.take(&event, &mut Announcer::start(None, 1))?;
        }
        assembly.finish()
    }

    fn calls(pieces: &[Value]) -> Vec<(String, String, String)> {
        let mut chunks: Vec<_> =
            pieces.iter().map(|piece| json!({"choices": [{"delta": {"tool_calls": [piece]}}]})).collect();
        chunks.push(json!({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}));
        let answer = assembled(&chunks).unwrap();
        answer.calls.into_iter().map(|call| (call.id, call.name, call.arguments)).collect()
    }

    fn expected(calls: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
        calls.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect()
    }

    #[test]
    fn interleaved_calls_are_told_apart_by_index() {
        let got = calls(&[
            json!({"index": 1, "id": "b", "function": {"name": "two", "arguments": "{\"x\""}}),
            json!({"index": 0, "id": "a", "function": {"name": "one", "arguments": ""}}),
            json!({"index": 1, "function": {"arguments": ":1}"}}),
            json!({"index": 0, "function": {"arguments": "{}"}}),
        ]);
        assert_eq!(got, expected(&[("a", "one", "{}"), ("b", "two", "{\"x\":1}")]));
    }

    #[test]
    fn calls_that_share_an_index_are_told_apart_by_id() {
        let got = calls(&[
            json!({"index": 0, "id": "a", "function": {"name": "one", "arguments": "{}"}}),
            json!({"index": 0, "id": "b", "function": {"name": "two", "arguments": "{}"}}),
        ]);
        assert_eq!(got, expected(&[("a", "one", "{}"), ("b", "two", "{}")]));
    }

    #[test]
    fn pieces_without_index_and_id_go_to_the_last_call() {
        let got = calls(&[
            json!({"id": "a", "function": {"name": "one", "arguments": "{"}}),
            json!({"function": {"arguments": "}"}}),
            json!({"id": "b", "function": {"name": "two", "arguments": {"x": 1}}}),
        ]);
        assert_eq!(got, expected(&[("a", "one", "{}"), ("b", "two", "{\"x\":1}")]));
    }

    #[test]
    fn a_stream_without_an_end_is_cut() {
        let error = assembled(&[json!({"choices": [{"delta": {"content": "a"}}]})]).unwrap_err();
        assert_eq!(error, Problem::cut_stream());
    }

    #[test]
    fn an_error_within_the_stream_is_an_error() {
        let error = json!({"error": {"message": "overloaded", "code": 529}});
        assert!(assembled(&[error]).is_err());
    }
}

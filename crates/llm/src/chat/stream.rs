//! Puts a streamed answer together.

use serde_json::Value;
use types::calls::DeltaKind;

use super::calls::Calls;
use super::reply::{
    calls_of, choices, end_of, id_of, problem, reasoning_of, said, text_of, thinking_blocks_of, tokens,
};
use crate::answer::{Answer, Tokens, response_id, said_instead};
use crate::ending::Reason;
use crate::json::Growing;
use crate::problem::Problem;
use crate::sse::SseEvent;
use crate::stream::{Announcer, Progress};

#[derive(Default)]
pub(crate) struct Assembly {
    answer: Answer,
    id: Option<String>,
    text: Growing,
    reasoning: Growing,
    calls: Calls,
    had_choice: bool,
    /// What was said where no answer came.
    instead: Option<Box<Problem>>,
    /// The end, in the words of a choice.
    end: Option<Reason>,
    /// Nothing more is to come.
    over: bool,
}

impl Assembly {
    /// Takes one event.
    pub(crate) fn take(&mut self, event: &SseEvent, out: &mut Announcer<'_>) -> Result<Progress, Problem> {
        if event.is_done() {
            self.over = true;
            return Ok(Progress::Over);
        }
        let Some(chunk) = event.object()? else { return Ok(self.progress()) };
        if let Some(problem) = problem(&chunk) {
            return Err(problem);
        }
        self.id = self.id.take().or_else(|| id_of(&chunk));
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            let told = tokens(usage);
            // Zeros say nothing.
            if told != Tokens::default() {
                self.answer.tokens = told;
            }
        }
        if !self.had_choice {
            self.instead = said_instead(&chunk).map(Box::new).or(self.instead.take());
        }
        for choice in choices(&chunk) {
            self.had_choice = true;
            self.end = end_of(choice).or(self.end);
            if let Some(said) = said(choice, ["delta", "message"]) {
                self.add(said, out)?;
            }
        }
        Ok(self.progress())
    }

    /// The answer, once the stream is over. A stream that ended too early is an error.
    pub(crate) fn finish(mut self) -> Result<Answer, Problem> {
        if let Some(problem) = self.instead.filter(|_| !self.had_choice) {
            return Err(*problem);
        }
        // Relays say that all is over also where their provider broke off.
        if self.end.is_none() && (!self.over || self.calls.are_cut()) {
            return Err(Problem::cut_stream());
        }
        if !self.had_choice {
            return Err(Problem::no_response());
        }
        self.answer.id = response_id(self.id);
        self.answer.text = self.text.finish();
        self.answer.reasoning = self.reasoning.finish();
        self.answer.calls = self.calls.whole();
        self.answer.ending = self.end.unwrap_or(Reason::Done).ending(&self.answer.calls, true)?;
        Ok(self.answer)
    }

    fn progress(&self) -> Progress {
        if self.end.is_some() { Progress::Ended } else { Progress::More }
    }

    fn add(&mut self, said: &Value, out: &Announcer<'_>) -> Result<(), Problem> {
        let id = self.id.as_deref();
        out.delta(DeltaKind::Reasoning, self.reasoning.push(&reasoning_of(said)), id);
        out.delta(DeltaKind::Text, self.text.push(&text_of(said)), id);
        self.answer.thinking_blocks.extend(thinking_blocks_of(said));
        calls_of(said).into_iter().try_for_each(|piece| self.calls.add(piece))
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

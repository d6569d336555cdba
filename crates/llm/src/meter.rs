//! What an answer that passes by has used, whatever its dialect.

use http::HeaderMap;
use types::agent::LlmConfig;
use types::stats::TokenUsage;

use crate::answer::Tokens;
use crate::catalog::Known;
use crate::counts::Counts;
use crate::provider::Dialect;
use crate::reading;
use crate::sse::{Passing, SsePasser};
use crate::{anthropic, chat, cost, responses};

/// Bytes of a token, roughly: for calls whose provider does not say how many there were.
const TOKEN_BYTES: u64 = 4;

/// Tokens and price of one call, as they count against a limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spent {
    pub tokens: TokenUsage,
    /// US dollars; 0 when the price is unknown.
    pub cost: f64,
}

/// Reads along an answer, and holds hardly anything of it. What the provider does not report, because it never does or because the answer was
/// cut off, is estimated: not to wait for the end of answers does not make them free.
pub struct Meter {
    llm: LlmConfig,
    dialect: Dialect,
    known: Option<Known>,
    headers: HeaderMap,
    request_bytes: usize,
    form: Form,
    counts: Counts,
}

enum Form {
    /// Nothing of it has come.
    Unknown,
    Whole {
        bytes: u64,
    },
    Streamed {
        passer: SsePasser,
        events: u64,
    },
}

impl Meter {
    pub(crate) fn new(llm: LlmConfig, dialect: Dialect, known: Option<Known>, request_bytes: usize) -> Self {
        let (form, counts) = (Form::Unknown, Counts::default());
        Self { llm, dialect, known, headers: HeaderMap::new(), request_bytes, form, counts }
    }

    /// US dollars, if the answer has so many tokens.
    pub(crate) fn likely_cost(&self, completion: u64) -> f64 {
        let prompt = self.request_bytes as u64 / TOKEN_BYTES;
        let tokens = Tokens { prompt, completion, ..Tokens::default() };
        cost::ceiling(&self.llm, self.known.as_ref(), &self.headers, &tokens)
    }

    /// The answer's head is there.
    pub fn begin(&mut self, headers: &HeaderMap) {
        self.headers = headers.clone();
    }

    /// The next bytes of the answer's body.
    pub fn feed(&mut self, bytes: &[u8]) {
        if matches!(self.form, Form::Unknown) {
            self.form = match reading::Form::of(bytes) {
                Some(reading::Form::Streamed) => Form::Streamed { passer: SsePasser::default(), events: 0 },
                Some(reading::Form::Plain | reading::Form::Page) => Form::Whole { bytes: 0 },
                None => return,
            };
        }
        match &mut self.form {
            Form::Unknown => {}
            Form::Whole { bytes: passed } => {
                *passed += bytes.len() as u64;
                self.counts.feed(bytes);
            }
            Form::Streamed { passer, events } => passer.feed(bytes, |passing| match passing {
                Passing::Data(data) => self.counts.feed(data),
                Passing::End => {
                    *events += 1;
                    self.counts.begin();
                }
            }),
        }
    }

    /// What the call used so far.
    #[must_use]
    pub fn finish(self) -> Spent {
        let answered = match &self.form {
            Form::Unknown => 0,
            Form::Whole { bytes } => bytes / TOKEN_BYTES,
            // Most events of a stream have one token.
            Form::Streamed { events, .. } => *events,
        };
        let reported = self.counts.into_object();
        let mut tokens = match self.dialect {
            Dialect::Chat => chat::tokens(&reported),
            Dialect::Responses => responses::tokens(&reported),
            Dialect::Anthropic => anthropic::tokens(&reported),
        };
        if tokens == Tokens::default() {
            tokens.prompt = self.request_bytes as u64 / TOKEN_BYTES;
        }
        if tokens.completion == 0 {
            tokens.completion = answered;
        }
        let cost = cost::ceiling(&self.llm, self.known.as_ref(), &self.headers, &tokens);
        Spent { tokens: tokens.usage(), cost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn spent(dialect: Dialect, kind: &'static str, pieces: &[&str]) -> Spent {
        let llm = LlmConfig {
            input_cost_per_token: Some(1.0),
            output_cost_per_token: Some(100.0),
            ..LlmConfig::default()
        };
        let mut meter = Meter::new(llm, dialect, None, 400);
        meter.begin(&HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(kind))]));
        pieces.iter().for_each(|piece| meter.feed(piece.as_bytes()));
        meter.finish()
    }

    #[test]
    fn counts_are_found_in_every_dialect_plain_and_streamed() {
        let tokens = Tokens { prompt: 7, completion: 2, ..Tokens::default() };
        let wanted = Spent { tokens: tokens.usage(), cost: 207.0 };
        let chat = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#;
        let other = r#"{"usage":{"input_tokens":7,"output_tokens":2}}"#;
        assert_eq!(spent(Dialect::Chat, "application/json", &[&chat[..20], &chat[20..]]), wanted);
        assert_eq!(spent(Dialect::Responses, "application/json", &[other]), wanted);
        assert_eq!(spent(Dialect::Anthropic, "application/json; charset=utf-8", &[other]), wanted);
        let sse = |data: &str| format!("data: {data}\n\n");
        assert_eq!(spent(Dialect::Chat, "text/event-stream", &[&sse(chat), &sse("[DONE]")]), wanted);
        let whole = sse(&format!(r#"{{"type":"response.completed","response":{other}}}"#));
        assert_eq!(spent(Dialect::Responses, "text/event-stream", &[&whole]), wanted);
        let start =
            sse(r#"{"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":1}}}"#);
        let end = sse(r#"{"type":"message_delta","usage":{"output_tokens":2}}"#);
        assert_eq!(spent(Dialect::Anthropic, "text/event-stream", &[&start, &end]), wanted);
    }

    #[test]
    fn what_an_answer_reports_at_its_end_is_counted_however_long_it_is() {
        let tokens = Tokens { prompt: 7, completion: 2, ..Tokens::default() };
        let text = "x".repeat(20 << 20);
        let begin = r#"data: {"response":{"output":[""#;
        for (kind, begin) in [("application/json", &begin[6..]), ("text/event-stream", begin)] {
            let end = [r#""],"usage":{"input_tokens":7,"output_tokens":2}}}"#, "\n\n"].concat();
            let pieces = [begin, &text, &text, &text, &text, &end];
            assert_eq!(spent(Dialect::Responses, kind, &pieces).tokens, tokens.usage(), "{kind}");
        }
    }

    #[test]
    fn an_answer_without_counts_is_not_free() {
        let piece = "data: {\"choices\":[]}\n\n";
        let estimated = spent(Dialect::Chat, "text/event-stream", &[piece, piece, piece]);
        let tokens = Tokens { prompt: 100, completion: 3, ..Tokens::default() };
        assert_eq!(estimated, Spent { tokens: tokens.usage(), cost: 400.0 });
    }
}

//! Follows a streamed response; its last event holds the whole of it.

use serde::Deserialize;
use serde_json::Value;
use types::calls::DeltaKind;

use super::reply::{Reply, answer};
use crate::answer::Answer;
use crate::problem::Problem;
use crate::sse::SseEvent;
use crate::stream::Announcer;

#[derive(Default)]
pub(crate) struct Assembly {
    /// Finished items, for servers whose last event leaves the output out.
    items: Vec<Value>,
    whole: Option<Reply>,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Event {
    #[serde(rename = "response.output_text.delta", alias = "response.refusal.delta")]
    Text { delta: String, item_id: Option<String> },
    #[serde(rename = "response.reasoning_summary_text.delta")]
    Reasoning { delta: String, item_id: Option<String> },
    #[serde(rename = "response.output_item.done")]
    ItemDone { item: Value },
    #[serde(rename = "response.completed", alias = "response.incomplete", alias = "response.failed")]
    Done { response: Reply },
    #[serde(rename = "error")]
    Error {
        #[serde(flatten)]
        error: Value,
    },
    #[serde(other)]
    Other,
}

impl Assembly {
    /// Takes one event; true once nothing more is to come.
    pub(crate) fn take(&mut self, event: &SseEvent, out: &mut Announcer<'_>) -> Result<bool, Problem> {
        let event: Event = serde_json::from_str(&event.data)
            .map_err(|_| Problem::garbled("a piece of the streamed answer is not understood"))?;
        match event {
            Event::Text { delta, item_id } => out.delta(DeltaKind::Text, &delta, item_id.as_deref()),
            Event::Reasoning { delta, item_id } => {
                out.delta(DeltaKind::Reasoning, &delta, item_id.as_deref())
            }
            Event::ItemDone { item } => self.items.push(item),
            Event::Done { response } => {
                self.whole = Some(response);
                return Ok(true);
            }
            Event::Error { error } => return Err(Problem::in_body(error.get("error").unwrap_or(&error))),
            Event::Other => {}
        }
        Ok(false)
    }

    /// The answer, once the stream is over. A stream that ended too early is an error.
    pub(crate) fn finish(self) -> Result<Answer, Problem> {
        let Some(mut whole) = self.whole else { return Err(Problem::cut_stream()) };
        if whole.output.as_ref().is_none_or(Vec::is_empty) {
            whole.output = Some(self.items);
        }
        answer(whole)
    }
}

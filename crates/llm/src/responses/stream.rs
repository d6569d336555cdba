//! Follows a streamed response. Its last event holds the whole of it, but not with all servers.

use serde_json::{Value, json};
use types::calls::DeltaKind;

use super::reply::answer;
use crate::answer::{Answer, error_of};
use crate::json::{self, Growing};
use crate::problem::Problem;
use crate::sse::SseEvent;
use crate::stream::{Announcer, Progress};

/// More items than any response has.
const MAX_ITEMS: usize = 4096;

#[derive(Default)]
pub(crate) struct Assembly {
    /// For servers whose last event leaves the output out.
    items: Vec<PartialItem>,
    whole: Option<Value>,
    /// Without the last event the end itself says that nothing is missing.
    over: bool,
}

/// An item, as it was when it was finished, else with what was heard of it.
#[derive(Default)]
struct PartialItem {
    id: String,
    index: Option<u64>,
    item: Value,
    text: Growing,
    thought: Growing,
    arguments: Growing,
    is_whole: bool,
}

impl Assembly {
    /// Takes one event.
    pub(crate) fn take(&mut self, event: &SseEvent, out: &mut Announcer<'_>) -> Result<Progress, Problem> {
        if event.is_done() {
            self.over = true;
            return Ok(Progress::Over);
        }
        let Some(said) = event.object()? else { return Ok(Progress::More) };
        let kind = said.get("type").and_then(Value::as_str).unwrap_or(&event.name);
        match kind {
            "response.created" if !self.items.is_empty() => {
                out.begin_anew();
                self.items.clear();
            }
            "response.output_text.delta" | "response.refusal.delta" => {
                let (item, delta) = delta_of(&said);
                out.delta(DeltaKind::Text, self.item(item, "message")?.text.push(delta), item.id);
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                let (item, delta) = delta_of(&said);
                out.delta(DeltaKind::Reasoning, self.item(item, "reasoning")?.thought.push(delta), item.id);
            }
            "response.function_call_arguments.delta" => {
                let (item, delta) = delta_of(&said);
                self.item(item, "function_call")?.arguments.push(delta);
            }
            "response.output_item.added" | "response.output_item.done" => {
                let mut item = said.get("item").cloned().unwrap_or_default();
                json::clean(&mut item);
                let id = text_of(&item, "id").map(str::to_owned);
                let kind = text_of(&item, "type").unwrap_or_default().to_owned();
                let is_whole = event_is(&said, event, "response.output_item.done");
                let named = Named { id: id.as_deref(), index: index_of(&said) };
                let partial = if is_whole { self.item(named, &kind)? } else { self.begin(named, &kind)? };
                (partial.item, partial.is_whole) = (item, is_whole);
            }
            "response.completed" | "response.incomplete" | "response.failed" | "response.done" => {
                let mut response = said.get("response").cloned().unwrap_or_default();
                json::clean(&mut response);
                if let Some(fields) = response.as_object_mut().filter(|_| kind == "response.failed") {
                    fields.entry("status").or_insert_with(|| "failed".into());
                }
                self.whole = Some(response);
                return Ok(Progress::Over);
            }
            "error" => {
                return Err(Problem::in_body(
                    said.get("error").filter(|error| !error.is_null()).unwrap_or(&said),
                ));
            }
            _ => {
                if let Some(error) = error_of(&said) {
                    return Err(Problem::in_body(error));
                }
            }
        }
        Ok(Progress::More)
    }

    /// The answer, once the stream is over. A stream that ended too early is an error.
    pub(crate) fn finish(self) -> Result<Answer, Problem> {
        let items: Vec<_> = self.items.into_iter().map(PartialItem::whole).collect();
        match self.whole {
            Some(whole) => answer(&whole, &items),
            None if self.over => answer(&json!({}), &items),
            None => Err(Problem::cut_stream()),
        }
    }

    /// The item that is under way under this id. Some relays have another id in each event, others none: then it is the one of
    /// this kind in this place, or the last.
    fn item(&mut self, named: Named<'_>, kind: &str) -> Result<&mut PartialItem, Problem> {
        let is_open = |item: &PartialItem| !item.is_whole && text_of(&item.item, "type") == Some(kind);
        let by_place = || {
            self.items
                .iter()
                .rposition(|item| is_open(item) && named.index.is_some() && item.index == named.index)
        };
        let last = || self.items.iter().rposition(is_open).filter(|_| named.id.is_none());
        match self.by_id(named.id).or_else(by_place).or_else(last) {
            Some(place) => self.at(place),
            None => self.begin(named, kind),
        }
    }

    /// An item that begins, unless it has been heard of.
    fn begin(&mut self, named: Named<'_>, kind: &str) -> Result<&mut PartialItem, Problem> {
        if let Some(place) = self.by_id(named.id) {
            return self.at(place);
        }
        let (id, index) = (named.id.unwrap_or_default().to_owned(), named.index);
        self.items.push(PartialItem { id, index, item: json!({"type": kind}), ..PartialItem::default() });
        self.at(self.items.len() - 1)
    }

    fn by_id(&self, id: Option<&str>) -> Option<usize> {
        let id = id?;
        self.items.iter().rposition(|item| item.id == id)
    }

    fn at(&mut self, place: usize) -> Result<&mut PartialItem, Problem> {
        let too_many = || Problem::garbled("the streamed answer has too many items");
        self.items.get_mut(place).filter(|_| place < MAX_ITEMS).ok_or_else(too_many)
    }
}

/// What an event says of the item that it is about.
#[derive(Clone, Copy)]
struct Named<'a> {
    id: Option<&'a str>,
    index: Option<u64>,
}

fn delta_of(said: &Value) -> (Named<'_>, &str) {
    let named = Named { id: text_of(said, "item_id"), index: index_of(said) };
    (named, text_of(said, "delta").unwrap_or_default())
}

/// A text that is not empty.
fn text_of<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn index_of(said: &Value) -> Option<u64> {
    said.get("output_index").and_then(Value::as_u64)
}

fn event_is(said: &Value, event: &SseEvent, kind: &str) -> bool {
    said.get("type").map_or(event.name == kind, |of| of == kind)
}

impl PartialItem {
    fn whole(self) -> Value {
        let mut item = self.item;
        let Some(fields) = item.as_object_mut().filter(|_| !self.is_whole) else { return item };
        let mut put = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
        let filled = |text: Growing| Some(text.finish()).filter(|text| !text.is_empty());
        if let Some(text) = filled(self.text) {
            put("content", json!([{"type": "output_text", "text": text}]));
        }
        if let Some(thought) = filled(self.thought) {
            put("summary", json!([{"type": "summary_text", "text": thought}]));
        }
        if let Some(arguments) = filled(self.arguments) {
            put("arguments", arguments.into());
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembled(events: &[Value]) -> Result<Answer, Problem> {
        let mut assembly = Assembly::default();
        for event in events {
            let data = event.as_str().map_or_else(|| event.to_string(), str::to_owned);
            assembly.take(&SseEvent { name: String::new(), data }, &mut Announcer::start(None, 1))?;
        }
        assembly.finish()
    }

    #[test]
    fn what_was_heard_stands_for_an_output_that_is_left_out() {
        let call =
            json!({"type": "function_call", "id": "fc", "call_id": "c", "name": "run", "arguments": ""});
        let heard = [
            json!({"type": "response.created", "response": {}}),
            json!({"type": "response.reasoning_summary_text.delta", "item_id": "rs", "delta": "hm"}),
            json!({"type": "response.output_text.delta", "item_id": "m", "delta": "Hel"}),
            json!({"type": "response.output_text.delta", "item_id": "m", "delta": "lo"}),
            json!({"type": "response.output_item.added", "item": call}),
            json!({"type": "response.function_call_arguments.delta", "item_id": "fc", "delta": "{\"a\":1}"}),
        ];
        for end in
            [json!({"type": "response.completed", "response": {"id": "r", "output": []}}), json!("[DONE]")]
        {
            let got = assembled(&[&heard[..], &[end]].concat()).unwrap();
            assert_eq!((got.text.as_str(), got.reasoning.as_str()), ("Hello", "hm"));
            assert_eq!((got.calls[0].id.as_str(), got.calls[0].arguments.as_str()), ("c", "{\"a\":1}"));
        }
        assert_eq!(assembled(&heard).unwrap_err(), Problem::cut_stream());
    }

    #[test]
    fn a_response_that_is_begun_anew_holds_nothing_of_the_first_one() {
        let got = assembled(&[
            json!({"type": "response.created"}),
            json!({"type": "response.output_text.delta", "item_id": "m", "delta": "Hel"}),
            json!({"type": "response.created"}),
            json!({"type": "response.output_text.delta", "item_id": "m", "delta": "Hi"}),
            json!("[DONE]"),
        ]);
        assert_eq!(got.unwrap().text, "Hi");
    }
}

//! What goes over a socket, as text. Events are spliced in as the log has them.

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use readmodel::index::full_state;
use serde::Serialize;
use serde_json::json;
use types::calls::{DeltaKind, Live};
use types::event::{EventBody, ServerError, Source, StreamingDelta};
use types::{Event, EventId, time};

/// Which protocol a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `/sockets/events`: one event a frame.
    Events,
    /// `/sockets/session`: typed frames with positions.
    Session,
}

impl Protocol {
    /// A stored event; `n` is its index in the log. `None` for a text that is not UTF-8.
    pub fn stored(self, n: u64, text: &Bytes) -> Option<Utf8Bytes> {
        match self {
            Self::Events => Utf8Bytes::try_from(text.clone()).ok(),
            Self::Session => {
                let text = std::str::from_utf8(text).ok()?;
                Some(format!(r#"{{"type":"durable","seq":{n},"event":{text}}}"#).into())
            }
        }
    }

    /// A `full_state` update with this value, which is JSON.
    pub fn snapshot(self, value: &str) -> Utf8Bytes {
        self.transient(full_state(&EventId::random(), value))
    }

    /// What tells a client that its frame was no good.
    pub fn error(self, code: &str, detail: &str) -> Utf8Bytes {
        match self {
            Self::Events => {
                let error = ServerError { code: code.to_owned(), detail: detail.to_owned() };
                text_of(&transient_event(Source::Environment, EventBody::ServerErrorEvent(error)))
            }
            Self::Session => text_of(&json!({"type": "error", "code": code, "detail": detail})),
        }
    }

    /// A piece of an answer that is being streamed; `None` where the protocol has nothing for it.
    pub fn live(self, live: &Live) -> Option<Utf8Bytes> {
        match self {
            Self::Events => {
                let delta = EventBody::StreamingDeltaEvent(delta(live)?);
                Some(text_of(&transient_event(Source::Agent, delta)))
            }
            Self::Session => {
                let mut frame = serde_json::to_value(live).ok()?;
                types::agent::document::drop_nulls(&mut frame);
                Some(text_of(&frame))
            }
        }
    }

    fn transient(self, event: String) -> Utf8Bytes {
        match self {
            Self::Events => event.into(),
            Self::Session => format!(r#"{{"type":"transient","event":{event}}}"#).into(),
        }
    }
}

fn delta(live: &Live) -> Option<StreamingDelta> {
    match live {
        Live::ItemStarted { .. } => {
            Some(StreamingDelta { content: Some(String::new()), reasoning_content: None })
        }
        Live::Delta { kind: DeltaKind::Text, content, .. } => {
            Some(StreamingDelta { content: Some(content.clone()), reasoning_content: None })
        }
        Live::Delta { kind: DeltaKind::Reasoning, content, .. } => {
            Some(StreamingDelta { content: None, reasoning_content: Some(content.clone()) })
        }
        Live::ItemAborted { .. } => None,
    }
}

fn transient_event(source: Source, body: EventBody) -> Event {
    Event { id: EventId::random(), timestamp: time::event_now(), source, parent_id: None, body }
}

/// For values that always serialize.
pub fn text_of(value: &impl Serialize) -> Utf8Bytes {
    serde_json::to_string(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn read(frame: &Utf8Bytes) -> Value {
        serde_json::from_str(frame).unwrap()
    }

    #[test]
    fn a_stored_event_is_spliced_in_untouched() {
        let event = Bytes::from_static(br#"{"id":"a", "kind":"FromTheFuture"}"#);
        assert_eq!(
            Protocol::Events.stored(7, &event).unwrap().as_str(),
            r#"{"id":"a", "kind":"FromTheFuture"}"#
        );
        let durable = read(&Protocol::Session.stored(7, &event).unwrap());
        assert_eq!(
            durable,
            json!({"type": "durable", "seq": 7, "event": {"id": "a", "kind": "FromTheFuture"}})
        );
    }

    #[test]
    fn streamed_pieces_take_the_form_of_the_protocol() {
        let piece = Live::Delta {
            item_id: "i".to_owned(),
            attempt: 1,
            order: 0,
            kind: DeltaKind::Reasoning,
            content: "hm".to_owned(),
            chunk_id: None,
            choice_index: Some(0),
        };
        let event = read(&Protocol::Events.live(&piece).unwrap());
        assert_eq!(
            (&event["kind"], &event["reasoning_content"]),
            (&json!("StreamingDeltaEvent"), &json!("hm"))
        );
        assert!(event.get("content").is_none());
        assert_eq!(
            read(&Protocol::Session.live(&piece).unwrap()),
            json!({"type": "delta", "item_id": "i", "attempt": 1, "order": 0, "kind": "reasoning",
                "content": "hm", "choice_index": 0})
        );
    }
}

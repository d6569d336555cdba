//! Events and records as anybody may have written them: reading ends, and what was read is written as it was.

use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::event::{Event, Head};
use crate::log::LogRecord;

const KINDS: [&str; 13] = [
    "SystemPromptEvent",
    "MessageEvent",
    "ActionEvent",
    "ObservationEvent",
    "AgentErrorEvent",
    "UserRejectObservation",
    "ConversationStateUpdateEvent",
    "ConversationErrorEvent",
    "PauseEvent",
    "CondensationRequest",
    "Condensation",
    "StreamingDeltaEvent",
    "of another release",
];

/// Of those kinds, and some more.
const FIELDS: [&str; 16] = [
    "llm_message",
    "action",
    "observation",
    "value",
    "key",
    "thought",
    "tool_name",
    "tool_call_id",
    "tool_call",
    "parent_id",
    "error",
    "code",
    "detail",
    "forgotten_event_ids",
    "summary",
    "more",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|half| json!(f64::from(half) / 2.0)),
        any::<String>().prop_map(Value::from),
        Just(json!({"role": "user", "content": [{"type": "text", "text": "x"}]})),
        Just(json!({"id": "c", "name": "terminal", "arguments": "{}", "origin": "completion"})),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let object = hash_map("[a-z_]{1,10}", inner.clone(), 0..6);
        prop_oneof![
            vec(inner, 0..6).prop_map(Value::from),
            object.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn any_event() -> impl Strategy<Value = Value> {
    let source = prop_oneof![Just("agent"), Just("user"), Just("environment"), Just("elsewhere")];
    let fields = hash_map(prop::sample::select(&FIELDS[..]), any_json(), 0..8);
    (prop::sample::select(&KINDS[..]), source, fields).prop_map(|(kind, source, fields)| {
        let mut event: Map<String, Value> =
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let id = "6cae84f6-64e0-4a4a-ae2e-587deab813d3";
        for (name, value) in
            [("kind", kind), ("id", id), ("timestamp", "2026-11-29T21:38:51.384730"), ("source", source)]
        {
            event.insert(name.to_owned(), value.into());
        }
        event.into()
    })
}

proptest! {
    #[test]
    fn an_event_that_is_read_is_written_as_it_was_read(value in any_event()) {
        let text = value.to_string();
        let head = Head::of(&text).unwrap();
        prop_assert_eq!(head.kind, value["kind"].as_str().unwrap());
        let Ok(event) = serde_json::from_str::<Event>(&text) else { return Ok(()) };
        let written = serde_json::to_string(&event).unwrap();
        prop_assert_eq!(serde_json::from_str::<Event>(&written).unwrap(), event);
    }

    #[test]
    fn an_event_goes_through_its_record_untouched(value in any_event(), n in any::<u64>()) {
        let stored = LogRecord::event(n, &value).unwrap().encode().unwrap();
        let LogRecord::Event { n: index, event } = LogRecord::<Box<RawValue>>::decode(&stored).unwrap() else {
            panic!("no event")
        };
        prop_assert_eq!((index, event.get().to_owned()), (n, value.to_string()));
        prop_assert!(!LogRecord::is_control(&stored));
    }

    #[test]
    fn bytes_are_a_record_or_are_refused(bytes in any::<Vec<u8>>(), text in "\\{\"(n|event|control)\":.{0,40}\\}?") {
        for bytes in [&bytes[..], text.as_bytes()] {
            let _ = LogRecord::<Box<RawValue>>::decode(bytes);
            let _ = LogRecord::<Event>::decode_as(bytes);
            let _ = str::from_utf8(bytes).map(Head::of);
        }
    }
}

//! Events and records as anybody may have written them: reading ends, and what was read is written as it was.

use std::collections::HashMap;

use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::event::{Event, EventBody, Head};
use crate::log::LogRecord;

/// What a field has where it fits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Text,
    Texts,
    Contents,
    Content,
    Message,
    Call,
    Risk,
    Classes,
    Number,
    Object,
    Any,
}

use Shape::{Any, Call, Classes, Content, Contents, Message, Number, Object, Risk, Text, Texts};

type Field = (&'static str, Shape);

/// The kinds, with the fields that they must have, and those that they may.
const KINDS: [(&str, &[Field], &[Field]); 15] = [
    ("SystemPromptEvent", &[("system_prompt", Content)], &[("dynamic_context", Content)]),
    (
        "MessageEvent",
        &[("llm_message", Message)],
        &[
            ("llm_response_id", Text),
            ("activated_skills", Texts),
            ("extended_content", Contents),
            ("sender", Text),
        ],
    ),
    (
        "ActionEvent",
        &[("tool_name", Text), ("tool_call_id", Text), ("tool_call", Call), ("llm_response_id", Text)],
        &[
            ("thought", Contents),
            ("action", Any),
            ("security_risk", Risk),
            ("summary", Text),
            ("reasoning_content", Text),
        ],
    ),
    (
        "ObservationEvent",
        &[("tool_name", Text), ("tool_call_id", Text), ("observation", Any), ("action_id", Text)],
        &[("extended_content", Contents)],
    ),
    (
        "AgentErrorEvent",
        &[("tool_name", Text), ("tool_call_id", Text), ("error", Text)],
        &[("classification", Classes)],
    ),
    (
        "UserRejectObservation",
        &[
            ("tool_name", Text),
            ("tool_call_id", Text),
            ("rejection_reason", Text),
            ("rejection_source", Text),
            ("action_id", Text),
        ],
        &[],
    ),
    (
        "SecurityAnalysisEvent",
        &[("analyzer", Text), ("policy", Text), ("risks", Object)],
        &[("details", Object)],
    ),
    ("ConversationStateUpdateEvent", &[("key", Text)], &[("value", Any)]),
    ("ConversationErrorEvent", &[("code", Text), ("detail", Text)], &[("classification", Classes)]),
    ("PauseEvent", &[], &[]),
    ("InterruptEvent", &[], &[]),
    ("CondensationRequest", &[], &[]),
    (
        "Condensation",
        &[("llm_response_id", Text)],
        &[("forgotten_event_ids", Texts), ("summary", Text), ("summary_offset", Number)],
    ),
    ("StreamingDeltaEvent", &[], &[("content", Text), ("reasoning_content", Text)]),
    ("ServerErrorEvent", &[("code", Text), ("detail", Text)], &[]),
];

/// Of another release.
const UNKNOWN: &str = "EventOfAnotherRelease";

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

fn fitting(shape: Shape) -> BoxedStrategy<Value> {
    let text = any::<String>().prop_map(Value::from);
    let content = text.clone().prop_map(|text| json!({"type": "text", "text": text}));
    let contents = vec(content.clone(), 0..3).prop_map(Value::from);
    match shape {
        Text => text.boxed(),
        Texts => vec(text, 0..3).prop_map(Value::from).boxed(),
        Content => content.boxed(),
        Contents => contents.boxed(),
        Message => contents.prop_map(|content| json!({"role": "user", "content": content})).boxed(),
        Call => text
            .prop_map(|text| json!({"id": "c", "name": "n", "arguments": text, "origin": "completion"}))
            .boxed(),
        Risk => prop::sample::select(&["UNKNOWN", "LOW", "MEDIUM", "HIGH"][..]).prop_map(Value::from).boxed(),
        Classes => {
            text.prop_map(|text| json!({"kind": text, "retryable": true, "user_action": "none"})).boxed()
        }
        Number => any::<u32>().prop_map(Value::from).boxed(),
        Object => hash_map("[a-z]{1,5}", any_json(), 0..3)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
            .boxed(),
        Any => any_json().boxed(),
    }
}

/// As it should be most often; else of any kind, or not there.
fn given(shape: Shape, times_present: u32) -> BoxedStrategy<Option<Value>> {
    prop_oneof![
        times_present => fitting(shape).prop_map(Some),
        1 => any_json().prop_map(Some),
        (20 - times_present) => Just(None),
    ]
    .boxed()
}

fn any_event() -> impl Strategy<Value = Value> {
    let source = prop_oneof![
        9 => prop::sample::select(&["agent", "user", "environment", "hook"][..]),
        1 => Just("elsewhere"),
    ];
    let known = prop::sample::select(&KINDS[..]).prop_flat_map(|(kind, needed, possible)| {
        let needed = needed.iter().map(|(name, shape)| (*name, *shape, 19));
        let possible = possible.iter().map(|(name, shape)| (*name, *shape, 10));
        let fields = needed.chain(possible).chain([("parent_id", Text, 10), ("more", Any, 2)]);
        let fields =
            fields.map(|(name, shape, times)| given(shape, times).prop_map(move |value| (name, value)));
        (Just(kind), fields.collect::<Vec<_>>())
    });
    let unknown = vec(any_json().prop_map(|value| ("more", Some(value))), 0..2);
    let any_kind = prop_oneof![15 => known, 1 => (Just(UNKNOWN), unknown)];
    (any_kind, source).prop_map(|((kind, fields), source)| {
        let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut event: Map<String, Value> = given.collect();
        let id = "6cae84f6-64e0-4a4a-ae2e-587deab813d3";
        for (name, value) in
            [("kind", kind), ("id", id), ("timestamp", "2026-11-29T21:38:51.384730"), ("source", source)]
        {
            event.insert(name.to_owned(), value.into());
        }
        event.into()
    })
}

/// What has to be in what is written, just as it was read.
fn kept(kind: &str) -> impl Iterator<Item = &'static str> {
    let of_kind = KINDS.iter().filter(move |(known, ..)| *known == kind);
    let fields = of_kind.flat_map(|(_, needed, possible)| needed.iter().chain(*possible));
    fields.filter(|(_, shape)| matches!(shape, Text | Texts | Object | Number | Any)).map(|(name, _)| *name)
}

#[test]
fn events_of_every_kind_are_among_those_that_are_read() {
    let mut runner = TestRunner::deterministic();
    let mut read: HashMap<String, usize> = HashMap::new();
    for _ in 0..3_000 {
        let value = any_event().new_tree(&mut runner).unwrap().current();
        if let Ok(event) = serde_json::from_value::<Event>(value.clone()) {
            assert_eq!(event.body == EventBody::Unknown, value["kind"] == UNKNOWN, "{value}");
            *read.entry(value["kind"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    for kind in KINDS.iter().map(|(kind, ..)| *kind).chain([UNKNOWN]) {
        assert!(read.get(kind).is_some_and(|times| *times >= 50), "{kind}: {read:?}");
    }
    assert!(read.values().sum::<usize>() < 2_900, "few are refused: {read:?}");
}

proptest! {
    #[test]
    fn an_event_that_is_read_is_written_as_it_was_read(value in any_event()) {
        let text = value.to_string();
        let head = Head::of(&text).unwrap();
        prop_assert_eq!(&*head.kind, value["kind"].as_str().unwrap());
        let Ok(event) = serde_json::from_str::<Event>(&text) else { return Ok(()) };
        let written = serde_json::to_string(&event).unwrap();
        prop_assert_eq!(serde_json::from_str::<Event>(&written).unwrap(), event);
        let written: Value = serde_json::from_str(&written).unwrap();
        // What another release has written keeps its kind where its text is kept.
        let kind = (head.kind != UNKNOWN).then_some("kind");
        let fields = kept(&head.kind).chain(kind).chain(["id", "timestamp", "source", "parent_id"]);
        for field in fields.filter(|field| value.get(field).is_some_and(|given| !given.is_null())) {
            prop_assert_eq!(&written[field], &value[field], "{}", field);
        }
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

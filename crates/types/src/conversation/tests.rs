//! What a log comes to, within bounds.

use serde_json::json;

use super::*;

/// More than any honest log makes of one: 128 KiB for each of the eight values, 2.5 MiB for the calls.
const MOST: usize = 4 * 1024 * 1024;

fn update(n: u64, key: &str, value: &Value) -> LogRecord {
    event(
        n,
        json!({"id": "s", "timestamp": "t", "kind": "ConversationStateUpdateEvent", "key": key, "value": value}),
    )
}

#[test]
fn no_log_makes_a_projection_that_is_large_or_cannot_be_stored() {
    let mut projection = Projection::default();
    let big = Value::from("x".repeat(announced::MOST_BYTES));
    let many = Value::from(vec![json!([]); announced::MOST_BYTES / 4]);
    let long = "y".repeat(1 << 20);
    let mut n = 0;
    let mut apply = |record: &LogRecord| {
        n += 1;
        projection.apply(Seq(n), record);
    };
    let known = ["tags", "last_user_message_id", "execution_status", "confirmation_policy"];
    for key in announced::KEYS.into_iter().chain(known) {
        apply(&update(0, key, &big));
        apply(&update(0, key, &many));
        apply(&update(0, key, &json!({ "a": long })));
    }
    for i in 0..2_000 {
        apply(&update(0, &format!("key-{i}"), &Value::from("z".repeat(1 << 10))));
        let usage_id = format!("{i}-{}", "u".repeat(1 << 10));
        apply(&LogRecord::Control(Control::Usage(crate::stats::Usage {
            usage_id: usage_id.clone(),
            tokens: crate::stats::TokenUsage {
                model: "m".repeat(1 << 10),
                response_id: "r".repeat(1 << 10),
                prompt_tokens: u64::MAX,
                ..Default::default()
            },
            cost: f64::MAX,
            latency: 1.0,
            at: 1.0,
        })));
        apply(&LogRecord::Control(Control::Models { usage_to_model: vec![(usage_id, long.clone())] }));
    }
    apply(&event(0, json!({"id": long, "timestamp": long, "kind": "MessageEvent"})));
    let mut stats = projection.stats.clone();
    let name = "m".repeat(1 << 10);
    for i in 0..500 {
        let usage = crate::stats::TokenUsage { model: name.clone(), ..Default::default() };
        let metrics =
            crate::stats::Metrics { token_usages: vec![usage; 100], ..crate::stats::Metrics::new(&name) };
        stats.usage_to_metrics.insert(format!("{i}-{name}"), metrics);
    }
    let announced =
        announced::KEYS.into_iter().chain(["of_no_answer"]).map(|key| (key.to_owned(), big.clone()));
    n += 1;
    let said: LogRecord = LogRecord::Control(Control::Brought(Box::new(Brought {
        last_user_message_id: Some(long.clone()),
        leaf_event_id: Some(long.clone()),
        stats,
        announced: announced.collect(),
        ..Brought::default()
    })));
    projection.apply(Seq(n), &said);

    let stored = serde_json::to_vec(&projection).unwrap();
    assert!(stored.len() < MOST, "{} bytes", stored.len());
    assert_eq!(serde_json::from_slice::<Projection>(&stored).unwrap(), projection);
    assert!(projection.other.is_empty(), "too large for each of the keys");
}

#[test]
fn an_index_that_no_log_can_have_ends_nothing() {
    let mut projection = Projection::default();
    let message = |n| event(n, json!({"id": "e", "timestamp": "t", "kind": "MessageEvent"}));
    projection.apply(Seq(1), &message(u64::MAX));
    assert_eq!((projection.seq, projection.events), (Seq(1), u64::MAX));
    projection.apply(Seq(2), &message(7));
    assert_eq!((projection.seq, projection.events), (Seq(2), 8));
}

#[test]
fn an_announced_field_is_kept_where_an_answer_shows_it() {
    let mut projection = Projection::default();
    projection.apply(Seq(1), &update(0, "invoked_skills", &json!(["a"])));
    projection.apply(Seq(2), &update(1, "of_no_answer", &json!(["b"])));
    projection.apply(Seq(3), &update(2, "invoked_skills", &Value::from("x".repeat(announced::MOST_BYTES))));
    let kept = Map::from_iter([("invoked_skills".to_owned(), json!(["a"]))]);
    assert_eq!(projection.other, kept, "what has no room changes nothing");
}

#[test]
fn what_is_said_of_a_conversation_that_was_brought_here_counts_and_not_what_its_events_say() {
    let mut projection = Projection::default();
    let message = event(0, json!({"id": "m", "timestamp": "2026-11-23T00:00:01", "kind": "MessageEvent"}));
    projection.apply(Seq(1), &message);
    projection.apply(Seq(2), &update(1, "execution_status", &json!("running")));
    projection.apply(Seq(3), &update(2, "tags", &json!({"a": "b"})));
    let mut stats = Stats::default();
    stats.register("agent", "m");
    let brought = Brought {
        status: Status::Paused,
        leaf_event_id: Some("m".to_owned()),
        stats: stats.clone(),
        announced: Map::from_iter([("invoked_skills".to_owned(), json!(["s"]))]),
        ..Brought::default()
    };
    let said: LogRecord = LogRecord::Control(Control::Brought(Box::new(brought)));
    projection.apply(Seq(4), &said);
    assert_eq!((projection.status, projection.tags.as_ref()), (Status::Paused, None));
    assert_eq!((projection.events, projection.stats.clone()), (3, stats));
    assert_eq!(projection.other, Map::from_iter([("invoked_skills".to_owned(), json!(["s"]))]));
    projection.apply(Seq(5), &update(3, "execution_status", &json!("finished")));
    assert_eq!(projection.status, Status::Finished, "and what comes after it counts again");
}

fn event(n: u64, event: Value) -> LogRecord {
    LogRecord::event(n, &event).unwrap()
}

#[test]
fn a_title_is_one_short_line_of_what_can_be_seen() {
    assert_eq!(clean_title(" a\n\tb\u{1b}[1m \u{202e}c\u{0} ").unwrap(), "a b [1m c");
    assert_eq!(clean_title(&"é".repeat(1 << 20)).unwrap().chars().count(), TITLE_CHARS);
    assert_eq!(clean_title("\n\u{200b} \u{feff}"), None);
}

#[test]
fn an_event_that_was_read_counts_as_one_that_was_not() {
    let message =
        json!({"id": "m", "timestamp": "t1", "source": "user", "kind": "MessageEvent", "llm_message": {}});
    let future = json!({"id": "f", "timestamp": "t2", "source": "agent", "kind": "FromTheFuture"});
    let updates = [
        ("execution_status", json!("running")),
        ("tags", json!({"a": "b"})),
        ("security_analyzer", Value::Null),
        ("invoked_skills", json!(["x"])),
        ("hook_config", Value::from("x".repeat(announced::MOST_BYTES))),
        ("stats", json!({})),
        ("of_no_answer", json!(1)),
    ];
    let updates = updates.map(|(key, value)| {
        json!({"id": key, "timestamp": "t3", "source": "environment", "kind": STATE_UPDATE, "key": key,
            "value": value})
    });
    let (mut glanced, mut read) = (Projection::default(), Projection::default());
    for (n, one) in (0..).zip([message, future].into_iter().chain(updates)) {
        let line = event(n, one).encode().unwrap();
        glanced.apply(Seq(n + 1), &LogRecord::decode(&line).unwrap());
        read.apply_read(Seq(n + 1), &LogRecord::decode_as(&line).unwrap());
    }
    assert_eq!(read, glanced);
    assert_eq!((read.events, read.leaf_event_id.as_deref(), read.status), (9, Some("f"), Status::Running));
    assert_eq!(read.other.len(), 1);
}

#[test]
fn head_is_where_it_was_moved_until_something_is_added() {
    let mut projection = Projection::default();
    let message = |n, id: &str| event(n, json!({"id": id, "timestamp": "t", "kind": "MessageEvent"}));
    let head = |event: Option<&str>| -> LogRecord {
        LogRecord::Control(Control::Head { event: event.map(Into::into) })
    };
    let seen = |projection: &Projection| {
        let leaf = projection.leaf_event_id.clone().unwrap_or_default();
        (leaf, projection.head_is_empty, projection.navigated)
    };
    projection.apply(Seq(1), &message(0, "a"));
    projection.apply(Seq(2), &message(1, "b"));
    assert_eq!(seen(&projection), ("b".to_owned(), false, false));
    projection.apply(Seq(3), &head(Some("a")));
    assert_eq!(seen(&projection), ("a".to_owned(), false, true));
    projection.apply(Seq(4), &head(None));
    assert_eq!(seen(&projection), (String::new(), true, true));
    projection.apply(Seq(5), &message(2, "c"));
    assert_eq!(seen(&projection), ("c".to_owned(), false, true));
    assert_eq!(projection.events, 3);
}

#[test]
fn a_copy_has_no_status_and_no_tags_of_what_it_was_copied_from() {
    let mut projection = Projection::default();
    projection.apply(Seq(1), &update(0, "execution_status", &json!("running")));
    projection.apply(Seq(2), &update(1, "tags", &json!({"a": "b"})));
    projection.apply(Seq(3), &update(2, "confirmation_policy", &json!({"kind": "AlwaysConfirm"})));
    let copied: LogRecord = LogRecord::Control(Control::Forked { at: None, by: None });
    projection.apply(Seq(4), &copied);
    assert_eq!((projection.status, &projection.tags), (Status::Idle, &None));
    assert_eq!(projection.confirmation_policy, Some(ConfirmationPolicy::AlwaysConfirm));
}

#[test]
fn a_replayed_record_changes_nothing() {
    let mut projection = Projection::default();
    let message = event(0, json!({"id": "m", "timestamp": "t1", "kind": "MessageEvent"}));
    let running = event(
        1,
        json!({"id": "s", "timestamp": "t2", "kind": "ConversationStateUpdateEvent",
        "key": "execution_status", "value": "running"}),
    );
    projection.apply(Seq(10), &message);
    projection.apply(Seq(20), &running);
    let once = projection.clone();
    projection.apply(Seq(10), &message);
    assert_eq!(projection, once);
    assert_eq!((once.status, once.events), (Status::Running, 2));
    assert_eq!((once.leaf_event_id.as_deref(), once.touched.as_deref()), (Some("m"), Some("t1")));
}

#[test]
fn an_action_is_open_until_it_has_its_result() {
    let mut projection = Projection::default();
    let mut open = |seq: u64, kind: &str| {
        projection.apply(Seq(seq), &event(0, json!({"id": "e", "timestamp": "t", "kind": kind})));
        projection.open_actions
    };
    let kinds =
        ["MessageEvent", "ActionEvent", "ActionEvent", "ObservationEvent", "PauseEvent", "AgentErrorEvent"];
    let seen: Vec<u64> = (1..).zip(kinds).map(|(seq, kind)| open(seq, kind)).collect();
    assert_eq!(seen, [0, 1, 2, 1, 1, 0]);
    assert_eq!((open(7, "UserRejectObservation"), open(8, "ActionEvent")), (0, 1), "a result of nothing");
    projection.apply(
        Seq(9),
        &LogRecord::<Box<serde_json::value::RawValue>>::Control(Control::Head { event: None }),
    );
    assert_eq!(projection.open_actions, 0);
}

#[test]
fn pauses_interruptions_and_tags_are_noted_and_nothing_else() {
    let mut projection = Projection::default();
    let mut noted = |seq: u64, record: LogRecord| {
        projection.apply(Seq(seq), &record);
        projection.noted.0
    };
    let kind = |kind: &str| event(0, json!({"id": "e", "timestamp": "t", "kind": kind}));
    assert_eq!(noted(1, kind("MessageEvent")), 0);
    assert_eq!(noted(2, kind("PauseEvent")), 2);
    assert_eq!(noted(3, update(0, "execution_status", &json!("paused"))), 2);
    assert_eq!(noted(4, update(0, "tags", &json!({"a": "b"}))), 4);
    assert_eq!(noted(5, kind("InterruptEvent")), 5);
    assert_eq!(noted(6, LogRecord::Control(Control::RunEnded {})), 5);
}

//! Calls that make, change, read or empty a stream or a consumer, with settings that lead what is others' elsewhere, or end it.

use serde_json::{Value, json};
use testing::random::Random;
use types::subjects::store;

/// Who is named in a call; each is somebody else's.
pub struct Named {
    pub stream: String,
    /// Another one.
    pub source: String,
    /// A subject that something is sent to.
    pub elsewhere: String,
    /// One that is listened to.
    pub taken: String,
}

/// The subject of such a call, and its body.
pub fn call(random: &mut Random, named: &Named) -> (String, Value) {
    let (stream, taken) = (&named.stream, &named.taken);
    let (config, consumer) = (drawn(random, &of_stream(named), 4), drawn(random, &of_consumer(named), 6));
    let config = with(config, "name", json!(stream));
    let action = *random.pick(&["", "create", "update"]);
    let make = json!({ "stream_name": stream, "action": action, "config": consumer });
    let durable = json!({ "stream_name": stream, "config": with(consumer, "durable_name", json!("x")) });
    let sequence = random.below(4);
    let calls = [
        ("STREAM.CREATE.@".to_owned(), config.clone()),
        ("STREAM.UPDATE.@".to_owned(), config.clone()),
        ("STREAM.RESTORE.@".to_owned(), json!({ "config": config, "state": {} })),
        ("STREAM.SNAPSHOT.@".to_owned(), json!({ "deliver_subject": named.elsewhere, "no_consumers": true })),
        ("STREAM.PURGE.@".to_owned(), json!({})),
        ("STREAM.PURGE.@".to_owned(), json!({ "filter": taken, "keep": sequence })),
        ("STREAM.PURGE.@".to_owned(), json!({ "seq": sequence })),
        ("STREAM.DELETE.@".to_owned(), json!({})),
        ("STREAM.INFO.@".to_owned(), json!({ "subjects_filter": ">", "deleted_details": true })),
        ("STREAM.MSG.GET.@".to_owned(), json!({ "seq": sequence })),
        ("STREAM.MSG.GET.@".to_owned(), json!({ "last_by_subj": taken })),
        ("STREAM.MSG.GET.@".to_owned(), json!({ "seq": 1, "next_by_subj": ">" })),
        ("STREAM.MSG.DELETE.@".to_owned(), json!({ "seq": sequence, "no_erase": random.below(2) == 0 })),
        ("STREAM.LEADER.STEPDOWN.@".to_owned(), json!({ "placement": { "preferred": "x" } })),
        ("STREAM.PEER.REMOVE.@".to_owned(), json!({ "peer": "x" })),
        ("DIRECT.GET.@".to_owned(), json!({ "seq": sequence, "batch": 10, "next_by_subj": ">" })),
        ("DIRECT.GET.@".to_owned(), json!({ "multi_last": [taken, ">"] })),
        (format!("DIRECT.GET.@.{taken}"), json!({})),
        ("CONSUMER.CREATE.@".to_owned(), make.clone()),
        ("CONSUMER.CREATE.@.x".to_owned(), make.clone()),
        (format!("CONSUMER.CREATE.@.x.{taken}"), make),
        ("CONSUMER.DURABLE.CREATE.@.x".to_owned(), durable),
        ("CONSUMER.DELETE.@.x".to_owned(), json!({})),
        ("CONSUMER.PAUSE.@.x".to_owned(), json!({ "pause_until": "2100-01-01T00:00:00Z" })),
        ("CONSUMER.UNPIN.@.x".to_owned(), json!({ "group": "x" })),
        ("CONSUMER.RESET.@.x".to_owned(), json!({ "seq": 1 })),
        (
            "CONSUMER.MSG.NEXT.@.x".to_owned(),
            json!({ "batch": 100, "expires": 1_000_000_000, "no_wait": false }),
        ),
        ("CONSUMER.LEADER.STEPDOWN.@.x".to_owned(), json!({})),
    ];
    let (verb, body) = random.pick(&calls).clone();
    (store::api(&verb.replace('@', stream)), body)
}

fn of_stream(named: &Named) -> Vec<(&'static str, Value)> {
    let Named { source, elsewhere, taken, .. } = named;
    vec![
        ("subjects", json!([taken])),
        ("sources", json!([{ "name": source, "filter_subject": elsewhere }])),
        ("sources", json!([{ "name": source, "subject_transforms": [{ "src": ">", "dest": elsewhere }] }])),
        ("sources", json!([{ "name": source, "external": { "api": "$JS.API", "deliver": elsewhere } }])),
        ("mirror", json!({ "name": source })),
        ("mirror", json!({ "name": source, "opt_start_seq": 1, "filter_subject": taken })),
        ("republish", json!({ "src": ">", "dest": elsewhere, "headers_only": false })),
        ("subject_transform", json!({ "src": ">", "dest": elsewhere })),
        ("retention", json!("interest")),
        ("retention", json!("workqueue")),
        ("max_msgs", json!(1)),
        ("max_msgs_per_subject", json!(1)),
        ("max_bytes", json!(1)),
        ("max_msg_size", json!(1)),
        ("max_age", json!(1)),
        ("max_consumers", json!(1)),
        ("discard", json!("old")),
        ("discard", json!("new")),
        ("deny_delete", json!(false)),
        ("deny_purge", json!(true)),
        ("no_ack", json!(true)),
        ("allow_rollup_hdrs", json!(true)),
        ("allow_direct", json!(true)),
        ("mirror_direct", json!(true)),
        ("allow_msg_ttl", json!(true)),
        ("allow_msg_schedules", json!(true)),
        ("allow_msg_counter", json!(true)),
        ("allow_atomic", json!(true)),
        ("subject_delete_marker_ttl", json!(1_000_000_000)),
        ("first_seq", json!(1_000)),
        ("num_replicas", json!(1)),
        ("storage", json!("memory")),
        ("compression", json!("s2")),
        ("template_owner", json!("x")),
        ("sealed", json!(true)),
    ]
}

fn of_consumer(named: &Named) -> Vec<(&'static str, Value)> {
    let Named { elsewhere, taken, .. } = named;
    let filters = [taken.as_str(), ">", "mh.evt.>", "mh.evt.*.v.>", "$KV.*.v", "mh.evt.0.v.log", "*.*.*.v.*"];
    let filtered = filters.into_iter().map(|filter| ("filter_subject", json!(filter)));
    let others = [
        ("filter_subjects", json!([taken, "mh.evt.0.v.log"])),
        ("filter_subjects", json!(["mh.evt.*.v.>", "$KV.*.v"])),
        ("name", json!("x")),
        ("deliver_subject", json!("_INBOX_a_1.try")),
        ("deliver_subject", json!(elsewhere)),
        ("deliver_group", json!("workers")),
        ("deliver_policy", json!("last_per_subject")),
        ("deliver_policy", json!("new")),
        ("opt_start_seq", json!(1)),
        ("ack_policy", json!("none")),
        ("ack_policy", json!("all")),
        ("replay_policy", json!("original")),
        ("flow_control", json!(true)),
        ("idle_heartbeat", json!(1_000_000_000)),
        ("headers_only", json!(false)),
        ("sample_freq", json!("100")),
        ("direct", json!(true)),
        ("mem_storage", json!(true)),
        ("num_replicas", json!(1)),
        ("max_deliver", json!(1)),
        ("priority_policy", json!("pinned_client")),
        ("priority_groups", json!(["x"])),
    ];
    filtered.chain(others).collect()
}

/// Up to so many of them.
fn drawn(random: &mut Random, settings: &[(&'static str, Value)], most: u64) -> Value {
    let mut config = json!({});
    for _ in 0..=random.below(most) {
        let (name, value) = random.pick(settings);
        config[*name] = value.clone();
    }
    config
}

fn with(mut config: Value, name: &str, value: Value) -> Value {
    config[name] = value;
    config
}

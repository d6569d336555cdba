//! What a worker of sandbox `a`, epoch 1, tries.

use std::collections::BTreeSet;

use async_nats::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use types::subjects;

use super::store;

/// Subjects of others: sandboxes `v` and `default`, the next incarnation of `a`, the control plane, and the
/// server. A worker may publish to none of them.
pub fn targets() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for sandbox in ["v", "default", "A", "a1", "a-", "*", ">"] {
        for service in ["conversation", "bash", "file", "git", "creds", "metrics", "x.y"] {
            all.insert(format!("mh.cmd.{sandbox}.{service}"));
            all.insert(format!("mh.cmd.{sandbox}.{service}.1"));
        }
        let said = ["live.@.log", "live.@._metrics", "ans.@.1.bash.x"];
        let asked = ["rec.@", "hist.@.1", "llm.@", "llm.@.cancel", "pub.evt.@.log"];
        for subject in said.into_iter().chain(asked) {
            all.insert(format!("mh.{}", subject.replace('@', sandbox)));
        }
        all.extend((0..store::PARTITIONS).map(|p| format!("mh.evt.{p}.{sandbox}.log")));
        all.extend(store::buckets().map(|bucket| format!("$KV.{bucket}.{sandbox}")));
    }
    let inboxes = ["v_1", "default_1", "a_2", "a_1_1", "a", "A_1", "gateway", "supervisor", "system"];
    all.extend(inboxes.map(|owner| format!("_INBOX_{owner}.x")));
    all.extend(server_subjects());
    all.extend(stream_subjects());
    // Its own log, lease and commands too: others write those for it.
    all.extend(
        ["mh.cmd.a.bash.1", "mh.evt.0.a.log", "mh.pub.evt.a.log", "$KV.LEASES.a", "$KV.LEASES._supervisor"]
            .map(str::to_owned),
    );
    all.extend(
        [
            "mh.cmd.a.bash",
            "mh.cmd.a.bash.2",
            "mh.cmd.a.creds.2",
            "mh.cmd.a.bash.1.x",
            "mh.rec.a.x",
            "mh.hist.a",
            "mh.hist.a.2",
            "mh.hist.a.1.x",
            "mh.live.a",
            "mh.live.a.x.y",
            "mh.ans.a.2.bash.x",
            "mh.ans.a.1.bash",
            "mh.ans.a.1.bash.x.y",
            "MH.rec.a",
            "mh",
            "mh.rec",
        ]
        .map(str::to_owned),
    );
    all
}

fn server_subjects() -> impl Iterator<Item = String> {
    let requests = [
        "CLAIMS.UPDATE",
        "CLAIMS.DELETE",
        "CLAIMS.LIST",
        "CLAIMS.PACK",
        "USER.INFO",
        "SERVER.PING",
        "SERVER.PING.VARZ",
        "SERVER.PING.CONNZ",
        "SERVER.PING.JSZ",
        "SERVER.x.KICK",
        "SERVER.x.RELOAD",
        "ACCOUNT.x.CONNZ",
        "ACCOUNT.x.CLAIMS.LOOKUP",
        "ACCOUNT.PING.CONNZ",
        "ACCOUNT.NSUBS",
    ];
    let others = [
        "$SYS.ACCOUNT.x.CONNECT",
        "$SYS.ACCOUNT.x.DISCONNECT",
        "$SYS.SERVER.x.STATSZ",
        "$SYS.ACCOUNT.x.CLAIMS.UPDATE",
        "$SYS.DEBUG.SUBSCRIBERS",
        "$SRV.PING",
        "$SRV.INFO.x",
        "_INBOX.x",
        "_INBOX",
        "_R_.x",
        "_GR_.x.y",
        "$GNR.x",
        "$LDS.x",
        "$MQTT.msgs.x",
        "$MQTT.sess.x",
        "$G.x",
        "$NRG.x",
        "$JSC.R.x",
        "$JSC.ACK.x",
        "$O.BLOBS.C.x",
        "$O.BLOBS.M.dg==",
    ];
    requests.into_iter().map(|request| format!("$SYS.REQ.{request}")).chain(others.map(str::to_owned))
}

fn stream_subjects() -> impl Iterator<Item = String> {
    let api = |verb: String| format!("$JS.API.{verb}");
    let cluster = [
        "INFO",
        "STREAM.NAMES",
        "STREAM.LIST",
        "META.LEADER.STEPDOWN",
        "SERVER.REMOVE",
        "ACCOUNT.PURGE.x",
        "STREAM.CREATE.NEW",
        "STREAM.RESTORE.NEW",
        "ACCOUNT.STREAM.MOVE.x.y",
    ];
    let each = store::streams().into_iter().flat_map(move |stream| {
        let on_stream = [
            "CREATE",
            "UPDATE",
            "INFO",
            "DELETE",
            "PURGE",
            "SNAPSHOT",
            "RESTORE",
            "MSG.GET",
            "MSG.DELETE",
            "LEADER.STEPDOWN",
        ]
        .map(|verb| api(format!("STREAM.{verb}.{stream}")));
        let on_consumer = [
            "CREATE.@",
            "CREATE.@.x",
            "CREATE.@.x.mh.evt.0.v.log",
            "DURABLE.CREATE.@.x",
            "INFO.@.x",
            "DELETE.@.x",
            "MSG.NEXT.@.x",
            "PAUSE.@.x",
            "NAMES.@",
            "LIST.@",
        ]
        .map(|verb| api(format!("CONSUMER.{}", verb.replace('@', &stream))));
        let others = [
            api(format!("DIRECT.GET.{stream}")),
            api(format!("DIRECT.GET.{stream}.mh.evt.0.v.log")),
            format!("$JS.ACK.{stream}.x.1.1.1.1.1"),
            format!("$JS.FC.{stream}.x.y"),
        ];
        on_stream.into_iter().chain(on_consumer).chain(others)
    });
    each.chain(cluster.map(|verb| api(verb.to_owned())))
}

/// A body that the subject's owner would act upon.
pub fn body(subject: &str) -> String {
    let tail = subject.strip_prefix("$JS.API.").unwrap_or_default();
    let stream = subject.split('.').find(|token| token.starts_with("EVENTS_") || token.starts_with("KV_"));
    let stream = stream.unwrap_or("NEW");
    match tail.split('.').collect::<Vec<_>>()[..] {
        ["STREAM", "CREATE" | "UPDATE", ..] => format!(r#"{{"name":"{stream}","subjects":["taken.>"]}}"#),
        ["STREAM", "MSG", "GET", ..] | ["DIRECT", ..] => r#"{"seq":1}"#.to_owned(),
        ["STREAM", "MSG", "DELETE", ..] => r#"{"seq":1}"#.to_owned(),
        ["CONSUMER", "CREATE" | "DURABLE", ..] => format!(
            r#"{{"stream_name":"{stream}","config":{{"name":"x","durable_name":"x","deliver_subject":"_INBOX_a_1.try"}}}}"#
        ),
        ["CONSUMER", "MSG", ..] => "1".to_owned(),
        _ if tail.is_empty() => "attempt".to_owned(),
        _ => String::new(),
    }
}

/// What a worker may publish to.
pub const OWN: [&str; 6] =
    ["mh.live.a.log", "mh.ans.a.1.bash.x", "mh.rec.a", "mh.hist.a.1", "mh.llm.a", "mh.llm.a.cancel"];

/// Calls that would have something of others copied to where it is not meant for, and what they say: a stream may copy
/// another, take subjects that it is not meant for, and republish what it keeps.
pub fn stream_changes() -> impl Iterator<Item = (String, String)> {
    let names = store::streams().into_iter().chain(["COPY".to_owned()]);
    names.flat_map(|name| {
        let changes = [
            json!({ "sources": [{ "name": "EVENTS_0" }, { "name": "KV_CONVERSATIONS" }] }),
            json!({ "mirror": { "name": "EVENTS_0" } }),
            json!({ "subjects": ["mh.llm.>", "mh.rec.>"] }),
            json!({ "republish": { "src": ">", "dest": "mh.pub.kv.LEASES.>" } }),
        ];
        changes.into_iter().flat_map(move |mut change| {
            change["name"] = json!(name);
            ["CREATE", "UPDATE"].map(|verb| (format!("$JS.API.STREAM.{verb}.{name}"), change.to_string()))
        })
    })
}

/// Headers that streams obey.
pub fn headers() -> Vec<HeaderMap> {
    let lists: [&[(&'static str, &str)]; 7] = [
        &[("Nats-Rollup", "all")],
        &[("Nats-Rollup", "sub"), ("Nats-Expected-Last-Subject-Sequence", "1")],
        &[("Nats-Expected-Stream", "EVENTS_0"), ("Nats-Msg-Id", "1")],
        &[("KV-Operation", "PURGE")],
        &[("Nats-TTL", "1s")],
        &[("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "1"), ("Nats-Batch-Commit", "1")],
        &[("Nats-Schedule", "@at 2026-01-01T00:00:00Z"), ("Nats-Schedule-Target", "mh.evt.0.v.log")],
    ];
    let named =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from(*value));
    lists.iter().map(|list| list.iter().map(named).collect()).collect()
}

/// Patterns that match subjects of others: every token of every target starred, every tail cut.
pub fn patterns() -> BTreeSet<String> {
    let mut all: BTreeSet<String> =
        [">", "*", "*.>", "*.*", "*.*.*", "*.*.*.*", "*.*.*.*.*"].map(str::to_owned).into();
    for target in targets() {
        let tokens: Vec<&str> = target.split('.').collect();
        for at in 0..tokens.len() {
            let (head, tail) = tokens.split_at(at);
            all.insert([head, &["*"], tail.split_first().unwrap().1].concat().join("."));
            all.insert([head, &[">"]].concat().join("."));
        }
        all.insert(vec!["*"; tokens.len()].join("."));
        all.insert(target);
    }
    all.retain(|pattern| !subjects::covers("mh.cmd.a.*.1", pattern) && !pattern.starts_with("_INBOX_a_1."));
    // `>` stands at the end only.
    all.retain(|pattern| !pattern.trim_end_matches('>').contains('>'));
    all
}

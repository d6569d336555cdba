//! Who may publish what and hear what.
//!
//! A worker writes into no stream, not even into its own log or lease: a stream confirms a message to
//! whatever reply subject the message names, without asking what its sender may publish. With one such right
//! a worker could have the server itself write into another's log, lease or record. Workers therefore ask the
//! control plane, which answers only to their own inboxes.

use std::time::Duration;

use serde::Serialize;

/// One request, one answer, or the pieces of a stream.
const WORKER_ANSWERS: i64 = 1_000;
/// Longer than the longest call waits.
const WORKER_ANSWERS_WITHIN: Duration = Duration::from_secs(15 * 60);
/// A model's answer may take long and many pieces.
const GATEWAY_ANSWERS_WITHIN: Duration = Duration::from_secs(60 * 60);
const WORKER_SUBSCRIPTIONS: i64 = 1_000;
const UNLIMITED: i64 = -1;

/// Buckets that the supervisor reads and writes: of placement, none of conversations.
const PLACEMENT: [&str; 4] = ["SANDBOXES", "ALLOCATIONS", "LEASES", "CLUSTER"];

/// The trusted parts of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Makes the streams and buckets, writes logs, talks with workers.
    Gateway,
    /// Places sandboxes; sees neither events nor records nor model calls.
    Supervisor,
}

impl Role {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Supervisor => "supervisor",
        }
    }

    /// Answers to requests of the role's clients come below it.
    pub(crate) fn inbox_prefix(self) -> String {
        format!("_INBOX_{}", self.name())
    }

    pub(crate) fn permissions(self) -> Permissions {
        match self {
            Self::Gateway => gateway(),
            Self::Supervisor => supervisor(),
        }
    }
}

/// As they stand in tokens.
#[derive(Serialize)]
pub struct Permissions {
    #[serde(rename = "pub")]
    publish: Subjects,
    #[serde(rename = "sub")]
    subscribe: Subjects,
    #[serde(rename = "resp", skip_serializing_if = "Option::is_none")]
    answers: Option<Answers>,
    #[serde(rename = "subs")]
    max_subscriptions: i64,
    #[serde(rename = "data")]
    max_bytes: i64,
    #[serde(rename = "payload")]
    max_payload: i64,
    /// No WebSocket, MQTT or leaf node: those have doors of their own.
    allowed_connection_types: [&'static str; 1],
}

#[derive(Serialize)]
struct Subjects {
    allow: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
}

/// The right to publish to the reply subject of a message that was received.
#[derive(Serialize)]
struct Answers {
    max: i64,
    #[serde(rename = "ttl")]
    nanoseconds: u128,
}

impl Answers {
    fn new(max: i64, within: Duration) -> Self {
        Self { max, nanoseconds: within.as_nanos() }
    }
}

impl Permissions {
    fn new(publish: Vec<String>, subscribe: Vec<String>) -> Self {
        Self {
            publish: Subjects { allow: publish, deny: Vec::new() },
            subscribe: Subjects { allow: subscribe, deny: Vec::new() },
            answers: None,
            max_subscriptions: UNLIMITED,
            max_bytes: UNLIMITED,
            max_payload: UNLIMITED,
            allowed_connection_types: ["STANDARD"],
        }
    }

    /// Of every worker; the server puts the tags of its token in.
    pub fn of_workers() -> Self {
        let sandbox = "{{tag(sandbox)}}";
        let publish = ["mh.live.@.*", "mh.rec.@", "mh.hist.@.{{tag(epoch)}}", "mh.llm.@", "mh.llm.@.>"];
        let subscribe = ["mh.cmd.@.>", "_INBOX_@_{{tag(epoch)}}.>"];
        Self {
            answers: Some(Answers::new(WORKER_ANSWERS, WORKER_ANSWERS_WITHIN)),
            max_subscriptions: WORKER_SUBSCRIPTIONS,
            ..Self::new(
                publish.map(|subject| subject.replace('@', sandbox)).to_vec(),
                subscribe.map(|subject| subject.replace('@', sandbox)).to_vec(),
            )
        }
    }

    /// Of whoever tells servers about accounts.
    pub fn of_system() -> Self {
        Self::new(owned(&["$SYS.REQ.CLAIMS.UPDATE"]), owned(&["_INBOX_system.>"]))
    }
}

fn gateway() -> Permissions {
    // The pieces of models' answers go below the inboxes of workers: `_INBOX_<sandbox>_<epoch>.llm.<call>`.
    let publish = [
        "*.llm.*",
        "mh.cmd.>",
        "mh.evt.>",
        "mh.body.>",
        "mh.blob.>",
        "$JS.API.>",
        "$JS.ACK.>",
        "$JS.FC.>",
        "$KV.>",
        "$O.>",
    ];
    let subscribe = ["mh.rec.*", "mh.hist.*.*", "mh.llm.>", "mh.live.>", "mh.pub.>", "_INBOX_gateway.>"];
    let mut permissions = Permissions::new(owned(&publish), owned(&subscribe));
    permissions.publish.deny = owned(&["$KV.ALLOCATIONS.>", "$KV.LEASES._supervisor"]);
    permissions.answers = Some(Answers::new(UNLIMITED, GATEWAY_ANSWERS_WITHIN));
    permissions
}

fn supervisor() -> Permissions {
    let mut publish = owned(&[
        "mh.cmd.*.creds",
        "mh.cmd.*.rest.*",
        "mh.cmd.*.metrics",
        "$JS.API.INFO",
        "$JS.API.STREAM.INFO.*",
        "$JS.FC.>",
    ]);
    for bucket in PLACEMENT {
        publish.push(format!("$KV.{bucket}.>"));
        publish.push(format!("$JS.ACK.KV_{bucket}.>"));
        for verb in ["STREAM.CREATE", "STREAM.UPDATE", "STREAM.MSG.GET", "STREAM.PURGE", "DIRECT.GET"] {
            publish.push(format!("$JS.API.{verb}.KV_{bucket}"));
        }
        for verb in ["DIRECT.GET", "CONSUMER.CREATE", "CONSUMER.INFO", "CONSUMER.DELETE", "CONSUMER.MSG.NEXT"]
        {
            publish.push(format!("$JS.API.{verb}.KV_{bucket}.>"));
        }
        publish.push(format!("$JS.API.CONSUMER.CREATE.KV_{bucket}"));
    }
    let changes = PLACEMENT.map(|bucket| format!("mh.pub.kv.{bucket}.>"));
    let subscribe = changes.into_iter().chain(owned(&["_INBOX_supervisor.>"]));
    Permissions::new(publish, subscribe.collect())
}

fn owned(subjects: &[&str]) -> Vec<String> {
    subjects.iter().map(|&subject| subject.to_owned()).collect()
}

//! Who may publish what and hear what. Every subject comes from `types::subjects`, which those who use it also
//! take it from; a test holds the table against what the parts do.
//!
//! A worker writes into no stream, not even into its own log or lease: a stream confirms a message to
//! whatever reply subject the message names, without asking what its sender may publish. With one such right
//! a worker could have the server itself write into another's log, lease or record. Workers therefore ask the
//! control plane, which answers only to their own inboxes.

use std::time::Duration;

use serde::Serialize;
use types::buckets::{ALLOCATIONS, CLUSTER, LEASES, PROBE_KEY, SANDBOXES, SUPERVISOR_KEY};
use types::calls::RestCall;
use types::placement::Renewal;
use types::service::Service;
use types::subjects::{self, Every, Own, store};

/// A model's answer may take long and many pieces.
const GATEWAY_ANSWERS_WITHIN: Duration = Duration::from_secs(60 * 60);
const WORKER_SUBSCRIPTIONS: i64 = 1_000;
const UNLIMITED: i64 = -1;

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

    /// What it may publish and hear.
    #[must_use]
    pub fn permissions(self) -> Permissions {
        match self {
            Self::Gateway => gateway(),
            Self::Supervisor => supervisor(),
        }
    }

    /// Answers to requests of the role's clients come below it.
    pub(crate) fn inbox_prefix(self) -> String {
        subjects::inbox_of_part(self.name())
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
    #[must_use]
    pub fn of_workers() -> Self {
        let publish = vec![
            subjects::live(Own, Every),
            subjects::records(Own),
            subjects::storage(Own, Own),
            subjects::models(Own),
            subjects::model_notes(Own, "*"),
            // Not where it was asked to answer: such a right ends with the connection on which the call came.
            subjects::answers(Own, Own, "*"),
        ];
        let subscribe = vec![subjects::commands(Own, Own), below(&subjects::inbox(Own, Own))];
        Self { max_subscriptions: WORKER_SUBSCRIPTIONS, ..Self::new(publish, subscribe) }
    }

    /// Of whoever tells servers about accounts.
    pub(crate) fn of_system() -> Self {
        let inbox = subjects::inbox_of_part(SYSTEM);
        Self::new(vec![crate::UPDATE_SUBJECT.to_owned()], vec![below(&inbox)])
    }

    /// The patterns of what may be published.
    #[must_use]
    pub fn publish(&self) -> &[String] {
        &self.publish.allow
    }

    /// The patterns of what may be heard.
    #[must_use]
    pub fn subscribe(&self) -> &[String] {
        &self.subscribe.allow
    }
}

/// What the operator's tool is called among the parts.
pub const SYSTEM: &str = "system";

fn gateway() -> Permissions {
    let publish = vec![
        subjects::commands(Every, Every),
        subjects::ALL_MODEL_PIECES.to_owned(),
        store::ALL_EVENTS.to_owned(),
        store::ALL_BODIES.to_owned(),
        store::ALL_KEYS.to_owned(),
        // It makes the streams, and an operator's backup signs in as a gateway.
        store::api(">"),
    ];
    let subscribe = vec![
        subjects::records(Every),
        subjects::storage(Every, Every),
        subjects::models(Every),
        subjects::model_notes(Every, "*"),
        subjects::live(Every, Every),
        subjects::answers(Every, Every, "*"),
        subjects::ALL_STORED.to_owned(),
        store::ALL_CHANGES.to_owned(),
        store::ALL_ELECTIONS.to_owned(),
        below(&Role::Gateway.inbox_prefix()),
    ];
    let mut permissions = Permissions::new(publish, subscribe);
    permissions.publish.deny = vec![store::keys(ALLOCATIONS), store::key(LEASES, SUPERVISOR_KEY)];
    let nanoseconds = GATEWAY_ANSWERS_WITHIN.as_nanos();
    permissions.answers = Some(Answers { max: UNLIMITED, nanoseconds });
    permissions
}

/// It may not even ask what a stream of events or records is, let alone make or change one: a stream may copy
/// another, and what it republishes is heard by whom its maker likes.
fn supervisor() -> Permissions {
    let mut publish = vec![
        subjects::credentials(Every, Every),
        subjects::rests(Every, Every),
        store::api(store::API_INFO),
        store::key(CLUSTER, PROBE_KEY),
    ];
    publish.extend([SANDBOXES, ALLOCATIONS, LEASES].map(store::keys));
    let read = |call: fn(&str) -> String, bucket| store::api(&call(&store::bucket_stream(bucket)));
    publish.extend([SANDBOXES, ALLOCATIONS, LEASES].map(|bucket| read(store::direct_get, bucket)));
    publish.extend([SANDBOXES, ALLOCATIONS, LEASES, CLUSTER].map(|bucket| read(store::message_get, bucket)));
    let subscribe = vec![
        store::changes(SANDBOXES),
        store::changes(LEASES),
        store::ALL_ELECTIONS.to_owned(),
        subjects::answers(Every, Every, RestCall::NAME),
        subjects::answers(Every, Every, Renewal::NAME),
        below(&Role::Supervisor.inbox_prefix()),
    ];
    Permissions::new(publish, subscribe)
}

fn below(subject: &str) -> String {
    format!("{subject}.>")
}

//! The trusted parts get what their roles need and no more.

use crate::cluster::Cluster;
use crate::cluster::client::is_let_in;
use crate::cluster::store::{self, Store};
use futures_util::StreamExt;
use manyhands_credentials::Role;
use ports::{Change, Expect};
use serde_json::json;
use types::buckets::{ALLOCATIONS, LEASES, SANDBOXES};

#[tokio::test]
async fn the_supervisor_places_sandboxes() {
    let cluster = Cluster::start().await;
    cluster.set_up().await;
    let supervisor = cluster.connection(Role::Supervisor).await;
    let kv = supervisor.control().await.unwrap().kv;
    for bucket in [SANDBOXES, LEASES] {
        let mut changes = kv.watch(bucket).await.unwrap();
        let revision = kv.put(bucket, "v", "1".into(), Expect::Absent).await.unwrap();
        let Change::Put { entry, .. } = changes.next().await.unwrap() else { panic!("a change") };
        assert_eq!(entry.revision, revision);
        kv.delete(bucket, "v", Expect::Revision(revision)).await.unwrap();
    }
    for bucket in [SANDBOXES, ALLOCATIONS, LEASES] {
        let revision = kv.put(bucket, "w", "1".into(), Expect::Absent).await.unwrap();
        kv.put(bucket, "w", "2".into(), Expect::Revision(revision)).await.unwrap();
        assert_eq!(kv.get(bucket, "w").await.unwrap().unwrap().value, "2");
        assert_eq!(kv.list(bucket).await.unwrap().len(), 1);
    }
    supervisor.probe().await.unwrap();
}

/// A stream may copy another, take subjects that it is not meant for, and republish what it keeps.
#[tokio::test]
async fn the_supervisor_can_have_nothing_copied_to_where_it_reads() {
    let cluster = Cluster::start().await;
    cluster.set_up().await;
    let (gateway, supervisor) =
        (cluster.control(Role::Gateway).await, cluster.control(Role::Supervisor).await);
    let store = Store::fill(&gateway.nats, &supervisor.nats).await;
    let before = store.contents().await;
    let changes = [
        json!({ "sources": [{ "name": "EVENTS_0" }, { "name": "KV_CONVERSATIONS" }] }),
        json!({ "mirror": { "name": "EVENTS_0" } }),
        json!({ "subjects": ["mh.llm.>", "mh.rec.>"] }),
        json!({ "republish": { "src": ">", "dest": "mh.pub.kv.LEASES.>" } }),
    ];
    let names = store::streams().into_iter().chain(["COPY".to_owned()]);
    let mut tried = 0;
    for name in names {
        for (verb, change) in
            ["CREATE", "UPDATE"].iter().flat_map(|verb| changes.iter().map(move |c| (verb, c)))
        {
            let mut config = change.clone();
            config["name"] = json!(name);
            let call = format!("$JS.API.STREAM.{verb}.{name}");
            supervisor.nats.publish(call, config.to_string().into()).await.unwrap();
            tried += 1;
            // One after the other: of many refusals at once the client forgets some.
            testing::until(async || supervisor.refusals() == tried).await;
        }
    }
    assert_eq!(store.contents().await, before);
}

#[tokio::test]
async fn the_supervisor_sees_no_conversation() {
    let cluster = Cluster::start().await;
    let supervisor = cluster.keys.control_credentials(Role::Supervisor).unwrap();
    let url = cluster.server.url();
    let forbidden = [
        "$JS.API.STREAM.MSG.GET.EVENTS_0",
        "$JS.API.DIRECT.GET.EVENTS_0",
        "$JS.API.CONSUMER.CREATE.EVENTS_0.x",
        "$JS.API.STREAM.CREATE.COPY",
        "$JS.API.STREAM.DELETE.EVENTS_0",
        "$JS.API.DIRECT.GET.KV_CONVERSATIONS.$KV.CONVERSATIONS.c",
        "$KV.CONVERSATIONS.c",
        "$KV.BUDGETS.default",
        "mh.cmd.v.conversation",
        "mh.evt.0.v.log",
        "mh.llm.v",
        "mh.cmd.v.metrics",
        "$JS.API.STREAM.INFO.EVENTS_0",
        "$JS.API.STREAM.INFO.KV_CONVERSATIONS",
        "$JS.API.STREAM.PURGE.KV_SANDBOXES",
        "$JS.API.CONSUMER.CREATE.KV_SANDBOXES.x",
        "$KV.CLUSTER.partitions",
    ];
    for subject in forbidden {
        assert!(!is_let_in(&url, &supervisor, subject).await, "{subject}");
    }
    for subject in ["mh.cmd.v.creds", "mh.cmd.v.rest.1"] {
        assert!(is_let_in(&url, &supervisor, subject).await, "{subject}");
    }

    let heard = cluster.control(Role::Supervisor).await;
    let streams = [
        "mh.pub.>",
        "mh.pub.evt.>",
        "mh.pub.kv.CONVERSATIONS.>",
        "mh.live.>",
        "mh.llm.*",
        "mh.rec.*",
        "mh.hist.*.*",
        ">",
    ];
    for subject in streams {
        heard.nats.subscribe(subject).await.unwrap();
    }
    testing::until(async || heard.refusals() == streams.len()).await;
}

#[tokio::test]
async fn a_gateway_places_nothing() {
    let cluster = Cluster::start().await;
    let gateway = cluster.keys.control_credentials(Role::Gateway).unwrap();
    let url = cluster.server.url();
    let unused = ["mh.blob.x", "$O.x", "$JS.ACK.x", "$JS.FC.x"];
    let others = ["$KV.ALLOCATIONS.v", "$KV.LEASES._supervisor", "$SYS.REQ.CLAIMS.UPDATE", "mh.cmd"];
    for subject in others.into_iter().chain(unused) {
        assert!(!is_let_in(&url, &gateway, subject).await, "{subject}");
    }
    let bodies = ["mh.evt.0.v.log", "mh.body.v.log.digest.0"];
    for subject in ["$KV.SANDBOXES.v", "$KV.LEASES.v", "mh.cmd.v.conversation"].into_iter().chain(bodies) {
        assert!(is_let_in(&url, &gateway, subject).await, "{subject}");
    }
}

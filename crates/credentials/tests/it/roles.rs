//! The trusted parts get what their roles need and no more.

use crate::cluster::client::is_let_in;
use crate::cluster::store::Store;
use crate::cluster::{Cluster, attempts};
use futures_util::StreamExt;
use manyhands_credentials::Role;
use ports::{Change, Expect, Parcel};
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

#[tokio::test]
async fn the_supervisor_can_have_nothing_copied_to_where_it_reads() {
    let cluster = Cluster::start().await;
    cluster.set_up().await;
    let (gateway, supervisor) =
        (cluster.control(Role::Gateway).await, cluster.control(Role::Supervisor).await);
    let store = Store::fill(&gateway.nats, &supervisor.nats).await;
    let before = store.contents().await;
    for (tried, (call, config)) in attempts::stream_changes().enumerate() {
        supervisor.nats.publish(call, config.into()).await.unwrap();
        // One after the other: of many refusals at once the client forgets some.
        testing::until(async || supervisor.refusals() == tried + 1).await;
    }
    assert_eq!(store.contents().await, before);
}

#[tokio::test]
async fn the_supervisor_asks_workers_whether_they_rest_and_gives_them_credentials() {
    let cluster = Cluster::start().await;
    cluster.set_up().await;
    let worker = cluster.worker("v", 1).await.nats;
    let mut commands = worker.subscribe("mh.cmd.v.*.1").await.unwrap();
    worker.flush().await.unwrap();
    tokio::spawn(async move {
        while let Some(command) = commands.next().await {
            worker.publish(command.reply.unwrap(), command.payload).await.unwrap();
        }
    });
    let bus = cluster.connection(Role::Supervisor).await.control().await.unwrap().bus;
    for subject in ["mh.cmd.v.rest.1", "mh.cmd.v.creds.1"] {
        let answer = bus.request(subject, Parcel::json(subject), testing::PATIENCE).await;
        assert_eq!(answer, Ok(Parcel::json(subject)), "{subject}");
    }
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
        "mh.cmd.v.creds",
        "mh.ans.v.1.bash.x",
        "$JS.API.STREAM.INFO.EVENTS_0",
        "$JS.API.STREAM.INFO.KV_CONVERSATIONS",
        "$JS.API.STREAM.PURGE.KV_SANDBOXES",
        "$JS.API.CONSUMER.CREATE.KV_SANDBOXES.x",
        "$KV.CLUSTER.partitions",
    ];
    for subject in forbidden {
        assert!(!is_let_in(&url, &supervisor, subject).await, "{subject}");
    }
    for subject in ["mh.cmd.v.creds.1", "mh.cmd.v.rest.1"] {
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
        "mh.ans.>",
        "mh.ans.*.*.bash.*",
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
    let others =
        ["$KV.ALLOCATIONS.v", "$KV.LEASES._supervisor", "$SYS.REQ.CLAIMS.UPDATE", "mh.cmd", "mh.cmd.v.bash"];
    for subject in others.into_iter().chain(unused) {
        assert!(!is_let_in(&url, &gateway, subject).await, "{subject}");
    }
    let bodies = ["mh.evt.0.v.log", "mh.body.v.log.digest.0"];
    for subject in ["$KV.SANDBOXES.v", "$KV.LEASES.v", "mh.cmd.v.conversation.1"].into_iter().chain(bodies) {
        assert!(is_let_in(&url, &gateway, subject).await, "{subject}");
    }
}

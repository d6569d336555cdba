//! The trusted parts get what their roles need and no more.

use crate::cluster::Cluster;
use crate::cluster::client::is_let_in;
use crate::cluster::store::Store;
use async_nats::jetstream;
use futures_util::StreamExt;
use manyhands_credentials::Role;

#[tokio::test]
async fn the_supervisor_places_sandboxes() {
    let cluster = Cluster::start().await;
    let (gateway, supervisor) =
        (cluster.control(Role::Gateway).await, cluster.control(Role::Supervisor).await);
    Store::make(&gateway.nats, &supervisor.nats).await;
    let context = jetstream::new(supervisor.nats.clone());
    for bucket in ["SANDBOXES", "ALLOCATIONS", "LEASES", "CLUSTER"] {
        let bucket = context.get_key_value(bucket).await.unwrap();
        assert_eq!(bucket.get("v").await.unwrap().unwrap(), "kept");
        let mut changes = bucket.watch_all().await.unwrap();
        let revision = bucket.create("w", "1".into()).await.unwrap();
        assert_eq!(changes.next().await.unwrap().unwrap().revision, revision);
        bucket.update("w", "2".into(), revision).await.unwrap();
        bucket.delete("w").await.unwrap();
        bucket.purge("w").await.unwrap();
        let keys = bucket.keys().await.unwrap().map(Result::unwrap).collect::<Vec<_>>().await;
        assert_eq!(keys, ["v"]);
    }
    assert_eq!(supervisor.refusals(), 0);
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
    ];
    for subject in forbidden {
        assert!(!is_let_in(&url, &supervisor, subject).await, "{subject}");
    }
    for subject in ["mh.cmd.v.creds", "mh.cmd.v.rest.1"] {
        assert!(is_let_in(&url, &supervisor, subject).await, "{subject}");
    }

    let heard = cluster.control(Role::Supervisor).await;
    let streams = ["mh.pub.>", "mh.live.>", "mh.llm.*", "mh.rec.*", "mh.hist.*.*", ">"];
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
    for subject in ["$KV.ALLOCATIONS.v", "$KV.LEASES._supervisor", "$SYS.REQ.CLAIMS.UPDATE", "mh.cmd"] {
        assert!(!is_let_in(&url, &gateway, subject).await, "{subject}");
    }
    let bodies = ["mh.evt.0.v.log", "mh.body.v.log.digest.0", "mh.blob.name"];
    for subject in ["$KV.SANDBOXES.v", "$KV.LEASES.v", "mh.cmd.v.conversation"].into_iter().chain(bodies) {
        assert!(is_let_in(&url, &gateway, subject).await, "{subject}");
    }
}

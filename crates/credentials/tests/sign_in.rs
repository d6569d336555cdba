//! Who is let in, and for how long.

mod cluster;

use std::time::Duration;

use async_nats::ConnectErrorKind;
use cluster::client::{connect, try_connect};
use cluster::{Cluster, HOUR};
use manyhands_credentials::{Keys, Revoked, Role};
use types::{Epoch, SandboxId};

fn sandbox() -> SandboxId {
    SandboxId::parse("a").unwrap()
}

#[tokio::test]
async fn expired_credentials_are_disconnected_and_stay_out() {
    let cluster = Cluster::start().await;
    let short = cluster.minter.mint_worker(&sandbox(), Epoch(1), Duration::from_secs(2)).unwrap();
    let worker = connect(&cluster.server.url(), &short).await;
    assert_eq!(worker.disconnects(), 0);
    testing::until(async || worker.disconnects() > 0).await;
    assert!(try_connect(&cluster.server.url(), &short).await.is_err());
}

#[tokio::test]
async fn revoked_credentials_are_disconnected_and_stay_out_after_a_restart() {
    let mut cluster = Cluster::start().await;
    let leaked = cluster.worker_credentials("a", 1);
    let (bad, good) = (connect(&cluster.server.url(), &leaked).await, cluster.worker("a", 2).await);
    let mut revoked = Revoked::default();
    revoked.insert(manyhands_credentials::user_of(&leaked).unwrap());
    let token = cluster.keys.revoke(&revoked).unwrap();
    let system = cluster.system().await;
    let answer = system.nats.request(manyhands_credentials::UPDATE_SUBJECT, token.into()).await.unwrap();
    manyhands_credentials::accepted(&answer.payload).unwrap();

    testing::until(async || bad.disconnects() > 0).await;
    assert_eq!(good.disconnects(), 0);
    let url = cluster.server.url();
    assert_eq!(try_connect(&url, &leaked).await.err(), Some(ConnectErrorKind::AuthorizationViolation));
    cluster.server.restart().await;
    assert_eq!(try_connect(&url, &leaked).await.err(), Some(ConnectErrorKind::AuthorizationViolation));
    cluster.worker("a", 3).await;
}

#[tokio::test]
async fn an_update_that_is_no_account_is_refused() {
    let cluster = Cluster::start().await;
    let system = cluster.system().await;
    let answer = system.nats.request(manyhands_credentials::UPDATE_SUBJECT, "nonsense".into()).await.unwrap();
    assert!(manyhands_credentials::accepted(&answer.payload).is_err());
}

#[tokio::test]
async fn keys_of_another_cluster_let_nobody_in() {
    let (cluster, other) = (Cluster::start().await, Keys::make());
    let worker = other.minter().unwrap().mint_worker(&sandbox(), Epoch(1), HOUR).unwrap();
    let gateway = other.control_credentials(Role::Gateway).unwrap();
    for credentials in [worker, gateway] {
        let refused = try_connect(&cluster.server.url(), &credentials).await.err();
        assert_eq!(refused, Some(ConnectErrorKind::AuthorizationViolation));
    }
}

//! Who is let in, and for how long.

use std::time::Duration;

use crate::cluster::client::{connect, is_let_in};
use crate::cluster::{Cluster, HOUR};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use manyhands_credentials::{Keys, Leaked, Minter, Revoked, Role};
use nkeys::KeyPair;
use serde_json::{Value, json};
use types::placement::Credentials;
use types::{Epoch, SandboxId};

/// A call that a worker of [`sandbox`] may make.
const CALL: &str = "mh.rec.a";

fn sandbox() -> SandboxId {
    SandboxId::parse("a").unwrap()
}

#[tokio::test]
async fn expired_credentials_are_disconnected_and_stay_out() {
    let cluster = Cluster::start().await;
    let short = cluster.minter.mint_worker(&sandbox(), Epoch(1), Duration::from_secs(3)).unwrap();
    assert!(is_let_in(&cluster.server.url(), &short, CALL).await);
    let worker = connect(&cluster.server.url(), &short).await;
    testing::until(async || worker.disconnects() > 0).await;
    assert!(!is_let_in(&cluster.server.url(), &short, CALL).await);
}

#[tokio::test]
async fn revoked_credentials_are_disconnected_and_stay_out_after_a_restart() {
    let mut cluster = Cluster::start().await;
    let leaked = cluster.worker_credentials("a", 1);
    let (bad, good) = (connect(&cluster.server.url(), &leaked).await, cluster.worker("a", 2).await);
    let mut revoked = Revoked::default();
    revoked.insert(&Leaked::from_token(&leaked.jwt, &cluster.keys).unwrap(), &cluster.keys);
    let token = cluster.keys.account_token(&revoked).unwrap();
    let system = cluster.system().await;
    let answer = system.nats.request(manyhands_credentials::UPDATE_SUBJECT, token.into()).await.unwrap();
    manyhands_credentials::accepted(&answer.payload).unwrap();

    testing::until(async || bad.disconnects() > 0).await;
    assert_eq!(good.disconnects(), 0);
    let url = cluster.server.url();
    assert!(!is_let_in(&url, &leaked, CALL).await);
    cluster.server.restart().await;
    assert!(!is_let_in(&url, &leaked, CALL).await);
    assert!(is_let_in(&url, &cluster.worker_credentials("a", 3), CALL).await);
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
    let url = cluster.server.url();
    assert!(!is_let_in(&url, &worker, CALL).await);
    assert!(!is_let_in(&url, &gateway, "mh.cmd.a.bash.1").await);
    let ours = cluster.keys.control_credentials(Role::Gateway).unwrap();
    assert!(is_let_in(&url, &ours, "mh.cmd.a.bash.1").await);
}

/// What the supervisor holds cannot make another supervisor, nor a worker that may do more.
#[tokio::test]
async fn a_minter_makes_workers_and_nothing_else() {
    let cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("minter.json");
    cluster.minter.store(&path).unwrap();
    let stored: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let scoped = KeyPair::from_seed(stored["seed"].as_str().unwrap()).unwrap();
    let url = cluster.server.url();

    let everything = json!({"allow": [">"]});
    let limits = json!({"pub": everything, "sub": everything, "subs": -1, "data": -1, "payload": -1});
    for (name, permissions) in [("asks for all", limits), ("asks for nothing", json!({}))] {
        let forged = forge(&scoped, stored["account"].as_str().unwrap(), permissions);
        assert!(!is_let_in(&url, &forged, "mh.cmd.a.bash.1").await, "{name}");
    }
    let worker = Minter::load(&path).unwrap().mint_worker(&sandbox(), Epoch(1), HOUR).unwrap();
    assert!(is_let_in(&url, &worker, CALL).await);
}

/// A user of the account without the tags of a worker.
fn forge(signer: &KeyPair, account: &str, permissions: Value) -> Credentials {
    let user = KeyPair::new_user();
    let mut nats = json!({"issuer_account": account, "type": "user", "version": 2});
    nats.as_object_mut().unwrap().extend(permissions.as_object().unwrap().clone());
    let claims = json!({"jti": "forged", "iat": 1, "iss": signer.public_key(), "sub": user.public_key(), "name": "forged", "nats": nats});
    let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(signed.as_bytes()).unwrap());
    Credentials {
        jwt: format!("{signed}.{signature}"),
        seed: user.seed().unwrap(),
        inbox_prefix: "_INBOX_gateway".to_owned(),
    }
}

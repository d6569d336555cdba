//! `manyhands revoke --kubernetes`: other keys in the Secrets, and NATS knows of it, wherever somebody was cut off.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use kubernetes::types::Secret;
use kubernetes_fake::{Fault, Server};
use serde_json::json;
use tempfile::TempDir;
use testing::nats::Nats;
use tokio::process::Command;
use tokio::time::timeout;
use types::placement::Credentials;

use super::BINARY;

const NAMESPACE: &str = "agents";
const SECRETS: (&str, &str) = ("", "secrets");
/// For NATS to say no.
const REFUSING: Duration = Duration::from_secs(5);

struct Keys {
    api: Server,
    nats: Nats,
    folder: TempDir,
}

impl Keys {
    /// As the chart's job makes them, and a server that has them.
    async fn new() -> Self {
        let (api, folder) = (Server::start().await, tempfile::tempdir().unwrap());
        api.namespace(NAMESPACE, json!({}));
        std::fs::write(folder.path().join("config"), api.kubeconfig(Some(&api.admin_token()), NAMESPACE))
            .unwrap();
        let accounts = folder.path().join("accounts").display().to_string();
        let made = run(&folder, None, &["init", "--accounts-dir", &accounts]).await;
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let auth = String::from_utf8(file(&api, "nats", "auth.conf")).unwrap();
        Self { nats: Nats::with(&auth).await, api, folder }
    }

    async fn revoke(&self, who: &str) -> Output {
        run(&self.folder, Some(&self.nats.url()), &["revoke", who]).await
    }

    fn of_gateways(&self) -> Credentials {
        serde_json::from_slice(&file(&self.api, "gateway", "credentials.json")).unwrap()
    }

    async fn lets_in(&self, credentials: Credentials) -> bool {
        let options = nats::Options {
            urls: vec![self.nats.url()],
            credentials: Some(credentials),
            ca: None,
            servers: Vec::new(),
            name: "test".to_owned(),
            inbox: None,
        };
        matches!(timeout(REFUSING, nats::connect(options)).await, Ok(Ok(_)))
    }

    fn versions(&self) -> BTreeMap<String, String> {
        let secrets = self.api.objects(SECRETS, NAMESPACE);
        let version =
            |field: &str, secret: &serde_json::Value| secret["metadata"][field].as_str().unwrap().to_owned();
        secrets.iter().map(|secret| (version("name", secret), version("resourceVersion", secret))).collect()
    }
}

async fn run(folder: &TempDir, nats: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).args(["--kubernetes", "--release", "mh", "--namespace", NAMESPACE]);
    command.env("KUBECONFIG", folder.path().join("config")).current_dir(folder.path());
    nats.map(|url| command.env("OH_NATS_URL", url));
    command.output().await.unwrap()
}

fn file(api: &Server, part: &str, name: &str) -> Vec<u8> {
    let secret = api.object(SECRETS, NAMESPACE, &format!("mh-{part}")).unwrap();
    let secret: Secret = serde_json::from_value(secret.as_ref().clone()).unwrap();
    secret.data.unwrap()[name].0.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_taken_back_lets_nobody_in_and_the_secrets_have_another() {
    let keys = Keys::new().await;
    let (old, before) = (keys.of_gateways(), keys.versions());
    assert!(keys.lets_in(old.clone()).await);
    let output = keys.revoke("gateway").await;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("wrote mh-gateway/credentials.json") && !said.contains("/tmp"), "{said}");
    let new = keys.of_gateways();
    assert!(!said.contains(&new.seed) && new.seed != old.seed);
    assert!(keys.lets_in(new).await && !keys.lets_in(old).await);
    assert_eq!(keys.versions()["mh-supervisor"], before["mh-supervisor"], "of others nothing has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_is_cut_off_between_two_secrets_is_made_up_for_by_the_same_command() {
    for at in 0..3 {
        for fault in [Fault::LoseRequest, Fault::LoseAnswer] {
            let keys = Keys::new().await;
            let old = keys.of_gateways();
            for _ in 0..at {
                keys.api.plan("patch", "secrets", Fault::Slow(Duration::ZERO));
            }
            keys.api.plan("patch", "secrets", fault.clone());
            let cut_off = keys.revoke("gateway").await;
            assert!(
                !cut_off.status.success(),
                "{at} {fault:?}: {}",
                String::from_utf8_lossy(&cut_off.stdout)
            );
            let again = keys.revoke("gateway").await;
            assert!(again.status.success(), "{at} {fault:?}: {}", String::from_utf8_lossy(&again.stderr));
            assert!(keys.lets_in(keys.of_gateways()).await, "{at} {fault:?}");
            assert!(!keys.lets_in(old).await, "{at} {fault:?}");
            let looked = run(&keys.folder, None, &["init"]).await;
            let said = String::from_utf8_lossy(&looked.stdout);
            assert!(said.contains("Everything was there"), "{at} {fault:?}: {said}");
        }
    }
}

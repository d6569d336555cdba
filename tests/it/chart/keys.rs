//! `manyhands init --kubernetes` makes the keys of a cluster as Secrets, with the rights that the chart gives its job: once, whole, and
//! whoever is cut off.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use kubernetes_fake::{Fault, Server};
use serde_json::Value;
use tokio::process::Command;

use super::{NAMESPACE, Tools, text};

const SECRETS: (&str, &str) = ("", "secrets");
const PARTS: [&str; 4] = ["operator", "nats", "supervisor", "gateway"];

/// A cluster in which the job of the chart has its rights, and nobody else has any.
struct Job {
    server: Server,
    folder: tempfile::TempDir,
}

impl Job {
    async fn new(tools: &Tools) -> Self {
        let server = Server::start().await;
        server.namespace(NAMESPACE, serde_json::json!({}));
        let objects = tools.render("default", &[]);
        for (kind, plural) in [("Role", "roles"), ("RoleBinding", "rolebindings")] {
            let object = objects.get(kind, "mh-manyhands-init").clone();
            server.put(("rbac.authorization.k8s.io", plural), NAMESPACE, "mh-manyhands-init", object);
        }
        let folder = tempfile::tempdir().unwrap();
        let token = server.token_of(NAMESPACE, "mh-manyhands-init");
        std::fs::write(folder.path().join("config"), server.kubeconfig(Some(&token), NAMESPACE)).unwrap();
        Self { server, folder }
    }

    async fn run(&self) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_manyhands"));
        command.args(["init", "--kubernetes", "--release", "mh-manyhands", "--namespace", NAMESPACE]);
        command.env("KUBECONFIG", self.folder.path().join("config")).current_dir(self.folder.path());
        command.output().await.unwrap()
    }

    async fn runs_well(&self) -> String {
        let output = self.run().await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What each Secret holds.
    fn kept(&self) -> BTreeMap<&'static str, Value> {
        let found = |part| {
            let secret = self.server.object(SECRETS, NAMESPACE, &format!("mh-manyhands-{part}"))?;
            Some((part, secret["data"].clone()))
        };
        PARTS.into_iter().filter_map(found).collect()
    }

    fn forget(&self, part: &str) {
        let name = format!("mh-manyhands-{part}");
        assert!(
            self.server.change(SECRETS, NAMESPACE, &name, |secret| secret["data"] = serde_json::json!({}))
        );
    }
}

fn keys_of(kept: &BTreeMap<&'static str, Value>) -> Vec<String> {
    let names = |(part, data): (&&str, &Value)| {
        let names = data.as_object().unwrap().keys().map(|key| format!("{part}/{key}"));
        names.collect::<Vec<_>>()
    };
    kept.iter().flat_map(names).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_made_as_secrets_once_and_kept_from_then_on() {
    let Some(tools) = Tools::find() else { return };
    let job = Job::new(&tools).await;
    let said = job.runs_well().await;
    assert!(said.contains("made    mh-manyhands-gateway/secret_key"), "{said}");
    assert!(said.contains("Keep a copy of mh-manyhands-operator"), "{said}");
    let made = job.kept();
    let wanted = [
        "gateway/credentials.json",
        "gateway/secret_key",
        "gateway/session_key",
        "nats/auth.conf",
        "operator/keys.json",
        "supervisor/credentials.json",
        "supervisor/minter.json",
    ];
    let mut keys = keys_of(&made);
    keys.sort();
    assert_eq!(keys, wanted);
    for (_, value) in made.values().flat_map(|data| data.as_object().unwrap()) {
        assert!(!said.contains(text(value)));
    }
    assert!(job.runs_well().await.contains("Everything was there: nothing has changed."));
    assert_eq!(job.kept(), made);
    let left: Vec<_> = std::fs::read_dir(job.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "no key is left in a folder");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_cut_off_between_two_secrets_is_made_up_for_by_the_next() {
    let Some(tools) = Tools::find() else { return };
    for at in 0..PARTS.len() {
        for fault in [Fault::LoseRequest, Fault::LoseAnswer] {
            let job = Job::new(&tools).await;
            for _ in 0..at {
                job.server.plan("create", "secrets", Fault::Slow(Duration::ZERO));
            }
            job.server.plan("create", "secrets", fault.clone());
            let cut_off = job.run().await;
            assert!(!cut_off.status.success(), "{at} {fault:?}");
            let before = job.kept();
            assert!(before.len() <= at + 1, "{at} {fault:?}: {:?}", keys_of(&before));
            job.runs_well().await;
            let after = job.kept();
            assert!(
                before.iter().all(|(part, data)| after[part] == *data),
                "{at} {fault:?}: what was made stays"
            );
            // It also looks whether they belong together.
            assert!(job.runs_well().await.contains("Everything was there"), "{at} {fault:?}");
            assert_eq!(keys_of(&after).len(), 7);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_run_at_once_end_up_with_the_same_keys() {
    let Some(tools) = Tools::find() else { return };
    let job = Job::new(&tools).await;
    for _ in 0..3 {
        // All have looked by then.
        job.server.plan("create", "secrets", Fault::Slow(Duration::from_millis(300)));
    }
    let (one, other, third) = tokio::join!(job.run(), job.run(), job.run());
    for output in [one, other, third] {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(keys_of(&job.kept()).len(), 7);
    assert!(job.runs_well().await.contains("Everything was there"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lost_is_made_again_from_the_operators_keys_and_not_without_them() {
    let Some(tools) = Tools::find() else { return };
    let job = Job::new(&tools).await;
    job.runs_well().await;
    let made = job.kept();
    job.forget("nats");
    job.runs_well().await;
    assert_eq!(job.kept(), made, "the same again");
    job.forget("operator");
    assert!(job.runs_well().await.contains("Everything was there"), "they may be elsewhere");
    job.forget("nats");
    let refused = job.run().await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("mh-manyhands-operator"), "{said}");
    assert!(!said.contains("/tmp"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_without_rights_says_what_it_may_not_do() {
    let Some(tools) = Tools::find() else { return };
    let job = Job::new(&tools).await;
    let rules = serde_json::json!([]);
    let roles = ("rbac.authorization.k8s.io", "roles");
    assert!(job.server.change(roles, NAMESPACE, "mh-manyhands-init", |role| role["rules"] = rules));
    let refused = job.run().await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("cannot read the Secret mh-manyhands-operator"),
        "{said}"
    );
}

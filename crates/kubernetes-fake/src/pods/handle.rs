//! A pod that a node has begun, as the test that makes it real sees it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::DuplexStream;

use super::status;
use crate::cluster::{Cluster, Key, Live};
use crate::value::{Look, set, set_condition};

/// What a test makes of pods: its end is the end of the pod's processes.
pub type Hook = Arc<dyn Fn(Pod) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

#[derive(Clone)]
pub struct Pod {
    pub(super) cluster: Arc<Cluster>,
    pub(super) live: Arc<Live>,
    object: Arc<Value>,
}

impl Pod {
    pub(super) fn new(cluster: Arc<Cluster>, live: Arc<Live>, object: Arc<Value>) -> Self {
        Self { cluster, live, object }
    }

    /// As it was when it was put on its node.
    #[must_use]
    pub fn object(&self) -> &Value {
        &self.object
    }

    /// As it is now, if it still is.
    #[must_use]
    pub fn now(&self) -> Option<Arc<Value>> {
        self.cluster.with(|state| state.by_uid(&self.live.uid)).map(|(_, pod)| pod)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.live.name
    }

    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.live.namespace
    }

    #[must_use]
    pub fn uid(&self) -> &str {
        &self.live.uid
    }

    /// A variable of the container's environment that is said by value.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        let variables = self.object.list("/spec/containers/0/env").iter();
        let found = variables.rev().find(|variable| variable["name"] == name)?;
        found["value"].as_str().map(str::to_owned)
    }

    /// All containers run and are ready.
    pub fn running(&self) {
        self.report(status::running);
    }

    /// The container waits: `ErrImagePull`, `CreateContainerConfigError`, …
    pub fn waiting(&self, reason: &str, message: &str) {
        let (reason, message) = (reason.to_owned(), message.to_owned());
        self.report(move |pod| status::waiting(pod, "containers", &reason, &message));
    }

    /// The same of a container that runs before.
    pub fn init_waiting(&self, reason: &str, message: &str) {
        let (reason, message) = (reason.to_owned(), message.to_owned());
        self.report(move |pod| status::waiting(pod, "initContainers", &reason, &message));
    }

    /// The process has ended by itself.
    pub fn exited(&self, code: i32) {
        self.ended(if code == 0 { "Completed" } else { "Error" }, code);
    }

    /// The container has ended for this reason, such as `OOMKilled` with 137.
    pub fn ended(&self, reason: &str, code: i32) {
        let reason = reason.to_owned();
        self.report(move |pod| status::ended(pod, &reason, code));
    }

    /// The node has ended it, being short of something.
    pub fn evicted(&self, message: &str) {
        let message = message.to_owned();
        self.report(move |pod| {
            status::failed(pod, "Evicted", &message);
            set_condition(
                pod,
                json!({
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "TerminationByKubelet",
                    "message": message,
                }),
            );
        });
    }

    /// The node has not taken it, or shuts down: `OutOfcpu`, `NodeAffinity`, `Terminated`, …
    pub fn failed(&self, reason: &str, message: &str) {
        let (reason, message) = (reason.to_owned(), message.to_owned());
        self.report(move |pod| status::failed(pod, &reason, &message));
    }

    /// An event about it, as nodes make them.
    pub fn event(&self, reason: &str, message: &str) {
        status::event(&self.cluster, &self.object, "Warning", reason, message);
    }

    /// Changes the status as the node would. What a lost node reports arrives when it is back.
    pub fn report(&self, change: impl FnOnce(&mut Value) + Send + 'static) {
        if self.cluster.lost.lock().contains(&self.live.node) {
            self.live.withhold(Box::new(change));
            return;
        }
        let key = self.key();
        self.cluster.with(|state| {
            let is_it = state.get(&key).is_some_and(|pod| pod.text("/metadata/uid") == self.live.uid);
            if is_it {
                state.change(&key, change);
            }
        });
    }

    pub(super) fn key(&self) -> Key {
        Key::new(&self.cluster.kind("", "pods"), &self.live.namespace, &self.live.name)
    }

    pub fn write_log(&self, text: impl AsRef<[u8]>) {
        self.live.write_log(text.as_ref());
    }

    /// The container's standard input: what is attached writes here, and its end is the end. `None` once taken.
    #[must_use]
    pub fn stdin(&self) -> Option<DuplexStream> {
        self.live.input.lock().take()
    }

    /// Returns once the node has been told to end it: how long it may take.
    pub async fn stopping(&self) -> Duration {
        let mut told = self.live.stopping();
        let grace = told.wait_for(Option::is_some).await.ok().and_then(|grace| *grace);
        grace.unwrap_or_default()
    }

    /// Returns once that time is over, and nothing of it may live on.
    pub async fn killed(&self) {
        let began = tokio::time::Instant::now();
        let mut told = self.live.stopping();
        loop {
            let grace = *told.borrow_and_update();
            tokio::select! {
                changed = told.changed() => if changed.is_err() { return },
                () = async {
                    match grace {
                        Some(grace) => tokio::time::sleep_until(began + grace).await,
                        None => std::future::pending().await,
                    }
                } => return,
            }
        }
    }
}

/// Puts a name on a node's address.
pub(super) fn address(pod: &mut Value, number: u64) {
    set(pod, &["status", "hostIP"], "127.0.0.1");
    set(pod, &["status", "podIP"], format!("10.244.{}.{}", number / 250 % 250, number % 250 + 1));
}

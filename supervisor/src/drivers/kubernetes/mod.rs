//! Workers as pods of one namespace of Kubernetes.
//!
//! Everything has a name that follows from the cluster, the sandbox and the epoch, so that every step can be repeated by
//! whoever comes next, and what has been done stands on the objects themselves: no supervisor remembers anything of a pod.
//! A pod is made by `create` and never changed: to apply another description would restart its container in place.

mod check;
mod config;
mod error;
mod files;
mod handover;
mod hosts;
mod names;
mod pod;
mod removal;
mod resources;
#[cfg(test)]
mod table;
mod verdict;
mod volumes;
mod watch;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kubernetes::types::{ConfigMap, Event, OwnerReference, Pod, Secret};
use kubernetes::{Access, Client, Container, Objects};
use ports::Result;
use tokio::sync::Mutex;
use tokio::time::timeout;
use types::SandboxId;
use types::placement::FailureReason::VolumeUnavailable;

use super::{LOG_LINES, tail};
use crate::{Cause, Driver, Found, Instance, InstanceState, Launch, StartError};
use files::Files;
use pod::{PROGRAM_BRINGER, Surroundings, WORKER};
use watch::Watching;

pub use check::Checked;
pub use config::{Config, Handover, Profile, Resources, Volume};
pub use kubernetes::Access as ApiAccess;
pub use kubernetes::types::Toleration;

/// For what there is: servers that are well say that of a namespace in five seconds, and everybody waits for it.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);
/// For a log: one that is far away is not waited for like an answer.
const LOG_PATIENCE: Duration = Duration::from_secs(5);
/// A pod that waits for what most wait for, or without saying why, is believed and asked after this time.
const SILENCE: Duration = Duration::from_secs(10);
/// For events, which only explain: they may be kept in a store of their own, and everybody waits for the look.
const EVENTS_PATIENCE: Duration = Duration::from_secs(2);

/// A pod that was found.
struct Seen {
    found: Found,
    /// Its uid, where only events tell what it waits for.
    silent: Option<String>,
}

pub struct Pods {
    config: Config,
    client: Client,
    pods: Objects<Pod>,
    /// The same, for looks.
    looks: Arc<Objects<Pod>>,
    secrets: Objects<Secret>,
    files: Files,
    watching: Mutex<Watching>,
}

impl Pods {
    /// In `namespace`, or in the one that `access` names. Whether the API answers is seen by the first look.
    ///
    /// # Errors
    /// `Internal`, when there is no access.
    pub async fn new(config: Config, access: Access, namespace: Option<String>) -> Result<Self> {
        let client = Client::new(access, namespace).await?;
        Ok(Self::with_client(config, client))
    }

    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self::with_client(self.config, self.client.with_patience(patience))
    }

    fn with_client(config: Config, client: Client) -> Self {
        let looks = Arc::new(client.clone().with_patience_of_at_most(LOOK_PATIENCE).objects());
        let watching = Mutex::new(Watching::of(looks.clone(), config.clone()));
        let (files, pods, secrets) = (Files::of(&client, config.clone()), client.objects(), client.objects());
        Self { config, client, pods, looks, secrets, files, watching }
    }

    /// `None`: none of ours, or nothing is left of it.
    fn seen(&self, pod: &Pod) -> Result<Option<Seen>> {
        names::check(&self.config, &pod.metadata)?;
        let instance = names::instance(&self.config, &pod.metadata);
        let Some(instance) = instance.filter(|_| !verdict::is_only_held(pod)) else { return Ok(None) };
        let is_new = kubernetes::age(&pod.metadata) < SILENCE;
        let state = match verdict::of(pod, self.config.handover) {
            // Volumes are made after their claims: that one is missing at first is what usually happens.
            InstanceState::Pending(Some(cause)) if is_new && cause.reason == VolumeUnavailable => {
                InstanceState::Pending(None)
            }
            state => state,
        };
        let is_silent = state == InstanceState::Pending(None) && !is_new && verdict::waits_in_silence(pod);
        let silent = pod.metadata.uid.clone().filter(|_| is_silent);
        Ok(Some(Seen { found: Found { instance, state }, silent }))
    }

    /// With what is told by events alone: of volumes, pods themselves say nothing.
    async fn explained(&self, seen: Vec<Option<Seen>>) -> Vec<Found> {
        let mut seen: Vec<Seen> = seen.into_iter().flatten().collect();
        let silent: Vec<String> = seen.iter().filter_map(|seen| seen.silent.clone()).collect();
        if let [first, more @ ..] = silent.as_slice() {
            let of_one = format!("involvedObject.uid={first}");
            let fields = if more.is_empty() { &of_one } else { "involvedObject.kind=Pod,type=Warning" };
            // What comes last counts.
            let causes: BTreeMap<String, Cause> = self.told_by_events(fields).await.into_iter().collect();
            for seen in &mut seen {
                if let Some(cause) = seen.silent.as_ref().and_then(|uid| causes.get(uid)) {
                    seen.found.state = InstanceState::Pending(Some(cause.clone()));
                }
            }
        }
        seen.into_iter().map(|seen| seen.found).collect()
    }

    async fn told_by_events(&self, fields: &str) -> Vec<(String, Cause)> {
        let events: Objects<Event> = self.client.objects();
        let told = events.list_by_fields(fields, |event| {
            Some((event.involved_object.uid?, words::of_event(event.reason.as_deref()?)?))
        });
        match timeout(EVENTS_PATIENCE, told).await {
            Ok(Ok(told)) => told.into_iter().flatten().collect(),
            unanswered => {
                tracing::debug!(?unanswered, "no events tell what pods wait for");
                Vec::new()
            }
        }
    }

    /// Makes all that is missing of an instance.
    async fn make(&self, launch: &Launch) -> std::result::Result<(), StartError> {
        let (config, instance) = (&self.config, &launch.instance);
        let hosts = hosts::of(&config.worker.nats_urls).await?;
        let owner = self.owner().await?;
        self.files.make(&instance.sandbox).await?;
        let made = self.pods.create(&pod::of(config, instance, Surroundings { owner, hosts })).await;
        let made = made.map_err(error::start)?;
        tracing::debug!(pod = made.metadata.name, "pod made");
        match config.handover {
            // It does not run yet.
            Handover::Attach => Ok(()),
            Handover::Secret => self.tell(&made, launch).await,
        }
    }

    /// What ends all pods with it. It is asked for each time: one that was made anew is another one, and what belongs to the
    /// former ends at once.
    async fn owner(&self) -> std::result::Result<Option<OwnerReference>, StartError> {
        let Some(name) = &self.config.owner else { return Ok(None) };
        let maps: Objects<ConfigMap> = self.client.objects();
        let Some(map) = maps.find(name).await.map_err(error::start)? else {
            tracing::warn!(name, "there is no ConfigMap that the pods of sandboxes could belong to");
            return Err(StartError::Unavailable(format!("the ConfigMap {name} is not there")));
        };
        Ok(Some(OwnerReference {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            name: name.clone(),
            uid: map.metadata.uid.unwrap_or_default(),
            ..OwnerReference::default()
        }))
    }

    /// Of a pod that is there.
    async fn go_on(&self, pod: &Pod, launch: &Launch) -> std::result::Result<(), StartError> {
        let is_own = names::check(&self.config, &pod.metadata).is_ok()
            && names::instance(&self.config, &pod.metadata).as_ref() == Some(&launch.instance);
        if !is_own {
            return Err(StartError::Unavailable("a pod of another's has its name".to_owned()));
        }
        if pod.metadata.deletion_timestamp.is_some() {
            return Err(StartError::Unavailable("it is being removed".to_owned()));
        }
        match verdict::of(pod, self.config.handover) {
            InstanceState::Untold => self.tell(pod, launch).await,
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Driver for Pods {
    async fn list(&self) -> Result<Vec<Found>> {
        let seen = self.looks.list_as(&names::selector(&self.config), |pod| self.seen(&pod)).await?;
        Ok(self.explained(seen.into_iter().collect::<Result<_>>()?).await)
    }

    async fn find(&self, sandbox: &SandboxId) -> Result<Vec<Found>> {
        let pods = self.looks.list_few(&names::selector_of(&self.config, sandbox)).await?;
        let seen = pods.iter().map(|pod| self.seen(pod)).collect::<Result<_>>()?;
        Ok(self.explained(seen).await)
    }

    async fn start(&self, launch: &Launch) -> std::result::Result<(), StartError> {
        let name = names::pod(&self.config, &launch.instance);
        match self.pods.find(&name).await.map_err(error::start)? {
            Some(pod) => self.go_on(&pod, launch).await,
            None => self.make(launch).await,
        }
    }

    async fn stop(&self, instance: &Instance, grace: Duration) -> Result<()> {
        let name = names::pod(&self.config, instance);
        if let Some(pod) = self.pods.find(&name).await? {
            names::check(&self.config, &pod.metadata)?;
            if names::instance(&self.config, &pod.metadata).as_ref() == Some(instance) {
                self.remove_pod(&pod, grace).await?;
            }
        }
        Ok(())
    }

    async fn log(&self, instance: &Instance) -> String {
        let (name, client) = (names::pod(&self.config, instance), self.client.clone());
        let client = client.with_patience(LOG_PATIENCE);
        for container in [WORKER, PROGRAM_BRINGER] {
            let log = client.log(Container { pod: &name, name: container }, LOG_LINES).await;
            if let Some(log) = log.ok().filter(|log| !log.trim().is_empty()) {
                return tail(&log).to_owned();
            }
        }
        String::new()
    }

    async fn remove_files(&self, sandbox: &SandboxId) -> Result<()> {
        let using = self.pods.list_few(&names::selector_of(&self.config, sandbox)).await?;
        let is_own = |pod: &&Pod| names::sandbox(&self.config, &pod.metadata).as_ref() == Some(sandbox);
        if using.iter().filter(is_own).any(|pod| !verdict::is_only_held(pod)) {
            return Err(ports::Error::Unavailable("a pod uses the files".to_owned()));
        }
        self.files.remove(sandbox).await
    }

    async fn changed(&self) -> Option<SandboxId> {
        self.watching.lock().await.next().await
    }
}

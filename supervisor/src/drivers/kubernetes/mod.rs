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

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use kubernetes::types::{ConfigMap, Event, OwnerReference, Pod, Secret};
use kubernetes::{Access, Client, Container, Objects};
use ports::Result;
use tokio::sync::Mutex;
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

/// For a log: one that is far away is not waited for like an answer.
const LOG_PATIENCE: Duration = Duration::from_secs(5);
/// A pod that waits for what most wait for, or without saying why, is believed and asked after this time.
const SILENCE: Duration = Duration::from_secs(10);
/// So many are asked about at a time.
const ASKED_AT_ONCE: usize = 8;

pub struct Pods {
    config: Config,
    client: Client,
    pods: Arc<Objects<Pod>>,
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
        let pods = Arc::new(client.objects());
        let watching = Mutex::new(Watching::of(pods.clone(), config.clone()));
        let (files, secrets) = (Files::of(&client, config.clone()), client.objects());
        Self { config, client, pods, secrets, files, watching }
    }

    async fn all_found(&self, labels: &str) -> Result<Vec<Found>> {
        let pods = self.pods.list(labels).await?.items;
        pods.iter().try_for_each(|pod| names::check(&self.config, &pod.metadata))?;
        let found = stream::iter(pods).map(|pod| self.found(pod)).buffer_unordered(ASKED_AT_ONCE);
        Ok(found.filter_map(std::future::ready).collect().await)
    }

    async fn found(&self, pod: Pod) -> Option<Found> {
        let instance = names::instance(&self.config, &pod.metadata)?;
        let is_new = kubernetes::age(&pod.metadata) < SILENCE;
        let state = match verdict::of(&pod, self.config.handover) {
            // Volumes are made after their claims: that one is missing at first is what usually happens.
            InstanceState::Pending(Some(cause)) if is_new && cause.reason == VolumeUnavailable => {
                InstanceState::Pending(None)
            }
            InstanceState::Pending(None) if !is_new && verdict::waits_in_silence(&pod) => {
                InstanceState::Pending(self.cause_by_events(&pod).await)
            }
            state => state,
        };
        Some(Found { instance, state })
    }

    /// Of volumes, pods themselves say nothing.
    async fn cause_by_events(&self, pod: &Pod) -> Option<Cause> {
        let uid = pod.metadata.uid.as_ref()?;
        let events: Objects<Event> = self.client.objects();
        let events = events.list_by_fields(&format!("involvedObject.uid={uid}")).await.ok()?.items;
        events.iter().filter_map(|event| words::of_event(event.reason.as_deref()?)).next_back()
    }

    /// Makes all that is missing of an instance.
    async fn make(&self, launch: &Launch) -> std::result::Result<(), StartError> {
        let (config, instance) = (&self.config, &launch.instance);
        let hosts = hosts::of(&config.worker.nats_urls).await?;
        let owner = self.owner().await?;
        self.files.make(&instance.sandbox).await?;
        if config.handover == Handover::Secret {
            self.make_secret(launch).await?;
        }
        let made = self.pods.create(&pod::of(config, instance, Surroundings { owner, hosts })).await;
        let made = made.map_err(error::start)?;
        tracing::debug!(pod = made.metadata.name, "pod made");
        if config.handover == Handover::Secret {
            self.give_away_secret(&made).await?;
        }
        Ok(())
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
        self.all_found(&names::selector(&self.config)).await
    }

    async fn find(&self, sandbox: &SandboxId) -> Result<Vec<Found>> {
        self.all_found(&names::selector_of(&self.config, sandbox)).await
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
        self.remove_secret(&name).await
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
        let using = self.pods.list(&names::selector_of(&self.config, sandbox)).await?;
        let is_own = |pod: &Pod| names::sandbox(&self.config, &pod.metadata).as_ref() == Some(sandbox);
        if using.items.iter().any(is_own) {
            return Err(ports::Error::Unavailable("a pod uses the files".to_owned()));
        }
        self.files.remove(sandbox).await
    }

    async fn changed(&self) -> Option<SandboxId> {
        self.watching.lock().await.next().await
    }
}

//! For who looks for what is wrong.

use std::time::Duration;

use kubernetes::types::Pod;
use kubernetes::{Container, Right};
use ports::Result;
use ports::retry::Backoff;
use tokio::time::Instant;
use types::placement::told_to_clients;
use types::{Epoch, SandboxId};

use super::config::Handover;
use super::pod::{self, Surroundings, WORKER};
use super::{Pods, error, hosts, names, verdict};
use crate::{Instance, InstanceState, Launch, StartError};

/// For a pod that is tried: its image may have to be fetched.
const TRYING: Duration = Duration::from_secs(120);
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

/// What the cluster says of itself and of who asks.
pub struct Checked {
    pub version: String,
    pub namespace: String,
    /// What the supervisor has to do and may not, such as `create pods`.
    pub lacks: Vec<String>,
}

const fn right(verb: &'static str, resource: &'static str) -> Right {
    Right { verb, resource, subresource: None }
}

const fn of_pod(verb: &'static str, subresource: &'static str) -> Right {
    Right { verb, resource: "pods", subresource: Some(subresource) }
}

const ALWAYS: [Right; 12] = [
    right("get", "pods"),
    right("list", "pods"),
    right("watch", "pods"),
    right("create", "pods"),
    right("delete", "pods"),
    right("patch", "pods"),
    of_pod("get", "log"),
    right("get", "persistentvolumeclaims"),
    right("list", "persistentvolumeclaims"),
    right("create", "persistentvolumeclaims"),
    right("delete", "persistentvolumeclaims"),
    right("list", "events"),
];
/// Attaching is a GET; newer servers ask for `create` as well.
const BY_INPUT: [Right; 2] = [of_pod("get", "attach"), of_pod("create", "attach")];
const BY_SECRET: [Right; 1] = [right("create", "secrets")];

impl Pods {
    /// # Errors
    /// `Unavailable` when the API server does not answer.
    pub async fn check(&self) -> Result<Checked> {
        let version = self.client.version().await?;
        let by_handover = match self.config.handover {
            Handover::Attach => BY_INPUT.as_slice(),
            Handover::Secret => BY_SECRET.as_slice(),
        };
        let mut lacks = Vec::new();
        for right in ALWAYS.iter().chain(by_handover) {
            if !self.client.may(*right).await? {
                lacks.push(right.to_string());
            }
        }
        Ok(Checked { version, namespace: self.client.namespace().to_owned(), lacks })
    }

    /// Whether no sandbox of the cluster has a volume here, as far as can be known.
    pub async fn has_no_files(&self) -> bool {
        self.files.are_none().await
    }

    /// Whether the cluster would take a sandbox: by its quotas, its rules, its runtimes and priorities. Nothing is made.
    ///
    /// # Errors
    /// What it says.
    pub async fn ask(&self) -> std::result::Result<(), StartError> {
        let instance = Instance { sandbox: SandboxId::random(), epoch: Epoch(0) };
        self.files.try_make(&instance.sandbox).await?;
        let around = Surroundings { owner: self.owner().await?, hosts: Vec::new() };
        self.pods.try_create(&pod::of(&self.config, &instance, around)).await.map_err(error::start)
    }

    /// Starts a pod as a sandbox' is started, in which the worker only tries what it will need; nothing of it stays, nor of one
    /// before that nobody has waited for.
    ///
    /// # Errors
    /// What the cluster or the worker says.
    pub async fn try_out(&self) -> std::result::Result<(), StartError> {
        let unavailable = |error: ports::Error| StartError::Unavailable(error.to_string());
        self.remove_rest().await.map_err(unavailable)?;
        let instance = Instance { sandbox: SandboxId::random(), epoch: Epoch(0) };
        let launch = Launch { instance, credentials: None };
        let tried = self.tried(&launch).await;
        let removed = self.remove_rest().await;
        tried?;
        removed.map_err(unavailable)
    }

    async fn tried(&self, launch: &Launch) -> std::result::Result<(), StartError> {
        let (owner, hosts) = (self.owner().await?, hosts::of(&self.config.worker.nats_urls).await?);
        self.files.make_trial(&launch.instance.sandbox).await?;
        let mut tried = pod::of(&self.config, &launch.instance, Surroundings { owner, hosts });
        pod::make_trial(&mut tried);
        let name = names::pod(&self.config, &launch.instance);
        let made = self.pods.create(&tried).await.map_err(error::start)?;
        let state = self.until_over(made, launch).await?;
        let cause = match state {
            InstanceState::Exited { code: Some(0) } => return Ok(()),
            InstanceState::Broken(cause) | InstanceState::Pending(Some(cause)) => Some(cause.message),
            _ => None,
        };
        let log = self.client.log(Container { pod: &name, name: WORKER }, 40).await.unwrap_or_default();
        let said = told_to_clients(&log).map(str::to_owned).or(cause);
        let said = said.or_else(|| log.lines().last().map(str::to_owned));
        Err(StartError::Failed(said.unwrap_or_else(|| format!("it has not ended within {TRYING:?}"))))
    }

    /// The last that is known of it in its time.
    async fn until_over(
        &self,
        mut pod: Pod,
        launch: &Launch,
    ) -> std::result::Result<InstanceState, StartError> {
        let (until, mut pauses) = (Instant::now() + TRYING, PAUSES);
        let name = pod.metadata.name.clone().unwrap_or_default();
        loop {
            let state = verdict::of(&pod, self.config.handover);
            match state {
                InstanceState::Untold => match self.tell(&pod, launch).await {
                    // As soon as it can be reached.
                    Ok(()) | Err(StartError::Unavailable(_)) => {}
                    Err(error) => return Err(error),
                },
                InstanceState::Exited { .. } | InstanceState::Broken(_) => return Ok(state),
                _ => {}
            }
            if Instant::now() >= until {
                return Ok(state);
            }
            tokio::time::sleep(pauses.pause()).await;
            match self.pods.find(&name).await.map_err(error::start)? {
                Some(found) => pod = found,
                None => return Err(StartError::Failed("its pod was removed meanwhile".to_owned())),
            }
        }
    }
}

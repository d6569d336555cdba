//! How a worker comes to know what it is to do, without that standing in its pod's description.
//!
//! By its standard input: the container runs and reads; whoever supervises then writes the line, ends the input and notes on
//! the pod that it has. One who is killed in between leaves a pod without the note, and the next writes the line once more: a
//! worker reads one. By a Secret: it is made before the pod, cannot be changed, and belongs to the pod from then on.

use std::collections::BTreeMap;

use kubernetes::types::{ByteString, OwnerReference, Pod, Secret};
use kubernetes::{Container, Error};
use serde_json::json;

use super::pod::WORKER;
use super::{Pods, error, names, volumes};
use crate::{Launch, StartError};

impl Pods {
    /// The container runs.
    pub(super) async fn tell(&self, pod: &Pod, launch: &Launch) -> Result<(), StartError> {
        let line = self.line(launch)?;
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let container = Container { pod: name, name: WORKER };
        self.client.write_input(container, &line).await.map_err(|error| match error {
            // It has ended meanwhile, or the machine does not know it yet.
            Error::NotFound(told) | Error::Invalid(told) | Error::Other(told) => {
                StartError::Unavailable(told)
            }
            error => error::start(error),
        })?;
        let mut meta = json!({ "annotations": { names::TOLD_NOTE: "true" } });
        if let (Some(uid), Some(fields)) = (&pod.metadata.uid, meta.as_object_mut()) {
            // Another pod of that name has not been told anything.
            fields.insert("uid".to_owned(), uid.clone().into());
        }
        self.pods.merge(name, &json!({ "metadata": meta })).await.map(drop).map_err(error::start)
    }

    fn line(&self, launch: &Launch) -> Result<Vec<u8>, StartError> {
        let paths = &self.config.paths;
        self.config.worker.spec(launch, &paths.project, &paths.state)
    }

    pub(super) async fn make_secret(&self, launch: &Launch) -> Result<(), StartError> {
        let line = ByteString(self.line(launch)?);
        let secret = Secret {
            metadata: names::of_instance(&self.config, &launch.instance),
            data: Some(BTreeMap::from([(volumes::SPEC_KEY.to_owned(), line)])),
            immutable: Some(true),
            ..Secret::default()
        };
        match self.secrets.create(&secret).await {
            // Of one who was killed before there was a pod: it is for the same incarnation.
            Ok(_) | Err(Error::AlreadyExists(_)) => Ok(()),
            Err(error) => Err(error::start(error)),
        }
    }

    pub(super) async fn give_away_secret(&self, pod: &Pod) -> Result<(), StartError> {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: name.clone(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            ..OwnerReference::default()
        };
        let patch = json!({ "metadata": { "ownerReferences": [owner] } });
        self.secrets.merge(&name, &patch).await.map(drop).map_err(error::start)
    }

    pub(super) async fn remove_secret(&self, name: &str) -> ports::Result<()> {
        if self.config.handover == super::Handover::Secret {
            self.secrets.delete(name, None, None).await?;
        }
        Ok(())
    }
}

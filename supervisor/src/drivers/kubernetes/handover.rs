//! How a worker comes to know what it is to do, without that standing in its pod's description.
//!
//! By its standard input: the container runs and reads; whoever supervises then writes the line, ends the input and notes on
//! the pod that it has. One who is killed in between leaves a pod without the note, and the next writes the line once more: a
//! worker reads one. By a Secret, without which the container does not begin: it is made right after the pod, to which it belongs
//! from its beginning, so that none is ever left; it cannot be changed, and is noted in the same way.

use std::collections::BTreeMap;

use kubernetes::types::{ByteString, OwnerReference, Pod, Secret};
use kubernetes::{Container, Error};
use serde_json::json;

use super::pod::WORKER;
use super::{Handover, Pods, error, names, volumes};
use crate::{Launch, StartError};

impl Pods {
    /// With standard input the container runs.
    pub(super) async fn tell(&self, pod: &Pod, launch: &Launch) -> Result<(), StartError> {
        let line = self.line(launch)?;
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let told = match self.config.handover {
            Handover::Attach => self.client.write_input(Container { pod: name, name: WORKER }, &line).await,
            Handover::Secret => self.make_secret(pod, launch, line).await,
        };
        told.map_err(error::tell)?;
        let mut meta = json!({ "annotations": { names::TOLD_NOTE: "true" } });
        if let (Some(uid), Some(fields)) = (&pod.metadata.uid, meta.as_object_mut()) {
            // Another pod of that name has not been told anything.
            fields.insert("uid".to_owned(), uid.clone().into());
        }
        self.pods.merge(name, &json!({ "metadata": meta })).await.map(drop).map_err(error::tell)
    }

    fn line(&self, launch: &Launch) -> Result<Vec<u8>, StartError> {
        let paths = &self.config.paths;
        self.config.worker.spec(launch, &paths.project, &paths.state)
    }

    async fn make_secret(&self, pod: &Pod, launch: &Launch, line: Vec<u8>) -> Result<(), Error> {
        let owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            ..OwnerReference::default()
        };
        let mut metadata = names::of_instance(&self.config, &launch.instance);
        metadata.owner_references = Some(vec![owner]);
        let secret = Secret {
            metadata,
            data: Some(BTreeMap::from([(volumes::SPEC_KEY.to_owned(), ByteString(line))])),
            immutable: Some(true),
            ..Secret::default()
        };
        match self.secrets.create(&secret).await {
            // Of one who was killed before it was noted: it is for the same incarnation.
            Ok(_) | Err(Error::AlreadyExists(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

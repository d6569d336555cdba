//! The volumes of sandboxes' files: a claim a sandbox, which outlives its pods.

use std::collections::BTreeMap;
use std::time::Duration;

use kubernetes::types::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements};
use kubernetes::{Client, Objects};
use ports::retry::Backoff;
use ports::{Error, Result};
use tokio::time::Instant;
use types::SandboxId;

use super::config::Config;
use super::{error, names, resources};
use crate::StartError;

/// What a claim gets to be gone that no pod uses.
const GOING: Duration = Duration::from_secs(10);
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

pub struct Files {
    config: Config,
    claims: Objects<PersistentVolumeClaim>,
}

impl Files {
    pub fn of(client: &Client, config: Config) -> Self {
        Self { config, claims: client.objects() }
    }

    /// Unless it is there.
    ///
    /// # Errors
    /// As [`crate::Driver::start`].
    pub async fn make(&self, sandbox: &SandboxId) -> std::result::Result<(), StartError> {
        let made = self.claims.create(&claim(&self.config, sandbox)).await;
        let Err(kubernetes::Error::AlreadyExists(_)) = made else {
            return made.map(drop).map_err(error::start_of_files);
        };
        let name = names::claim(&self.config, sandbox);
        let there = self.claims.find(&name).await.map_err(error::start_of_files)?;
        let is_own = |claim: &PersistentVolumeClaim| {
            names::check(&self.config, &claim.metadata).is_ok()
                && names::sandbox(&self.config, &claim.metadata).as_ref() == Some(sandbox)
        };
        match there {
            Some(claim) if !is_own(&claim) => {
                Err(StartError::Unavailable("a volume of another's has its name".to_owned()))
            }
            Some(claim) if claim.metadata.deletion_timestamp.is_some() => {
                Err(StartError::Unavailable("its volume is being removed".to_owned()))
            }
            Some(_) => Ok(()),
            None => Err(StartError::Unavailable("its volume was removed meanwhile".to_owned())),
        }
    }

    /// # Errors
    /// `Unavailable`, also while it is not gone yet.
    pub async fn remove(&self, sandbox: &SandboxId) -> Result<()> {
        let name = names::claim(&self.config, sandbox);
        let Some(claim) = self.claims.find(&name).await? else { return Ok(()) };
        names::check(&self.config, &claim.metadata)?;
        if names::sandbox(&self.config, &claim.metadata).as_ref() != Some(sandbox) {
            return Ok(());
        }
        let uid = claim.metadata.uid;
        if self.claims.delete(&name, uid.as_deref(), None).await? {
            return Ok(());
        }
        let (until, mut pauses) = (Instant::now() + GOING, PAUSES);
        while let Some(claim) = self.claims.find(&name).await? {
            if claim.metadata.uid != uid {
                break;
            }
            if Instant::now() >= until {
                return Err(Error::Unavailable("its volume is not gone yet".to_owned()));
            }
            tokio::time::sleep(pauses.pause()).await;
        }
        Ok(())
    }

    /// Whether it is known that no sandbox has any.
    pub async fn are_none(&self) -> bool {
        let any = self.claims.is_there_any(&names::selector(&self.config)).await;
        any.is_ok_and(|is_there| !is_there)
    }

    /// For one that is only tried.
    ///
    /// # Errors
    /// As [`crate::Driver::start`].
    pub async fn make_trial(&self, sandbox: &SandboxId) -> std::result::Result<(), StartError> {
        let mut trial = claim(&self.config, sandbox);
        names::make_trial(&mut trial.metadata);
        self.claims.create(&trial).await.map(drop).map_err(error::start_of_files)
    }

    /// All that have these labels. They are gone when no pod uses them any more.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn remove_by(&self, labels: &str) -> Result<()> {
        for claim in self.claims.list(labels).await?.items {
            names::check(&self.config, &claim.metadata)?;
            let (name, uid) = (claim.metadata.name.unwrap_or_default(), claim.metadata.uid);
            self.claims.delete(&name, uid.as_deref(), None).await?;
        }
        Ok(())
    }

    /// # Errors
    /// As [`crate::Driver::start`]; nothing is made.
    pub async fn try_make(&self, sandbox: &SandboxId) -> std::result::Result<(), StartError> {
        self.claims.try_create(&claim(&self.config, sandbox)).await.map_err(error::start_of_files)
    }
}

/// It belongs to nobody: whoever uninstalls the cluster's parts keeps the files.
fn claim(config: &Config, sandbox: &SandboxId) -> PersistentVolumeClaim {
    let volume = &config.volume;
    let size = BTreeMap::from([("storage".to_owned(), resources::mebibytes(volume.mebibytes))]);
    let spec = PersistentVolumeClaimSpec {
        access_modes: Some(vec![volume.access_mode.clone()]),
        storage_class_name: volume.storage_class.clone(),
        resources: Some(VolumeResourceRequirements { requests: Some(size), limits: None }),
        ..PersistentVolumeClaimSpec::default()
    };
    PersistentVolumeClaim {
        metadata: names::of_sandbox(config, names::claim(config, sandbox), sandbox),
        spec: Some(spec),
        status: None,
    }
}

//! How pods end, and the end of a cluster: nothing of it stays.

use std::time::Duration;

use kubernetes::types::Pod;
use ports::retry::Backoff;
use ports::{Error, Result};
use tokio::time::Instant;

use super::{Pods, names, verdict};

/// What a machine gets beyond a pod's grace to say that it is gone.
const GOING: Duration = Duration::from_secs(30);
const PAUSES: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

impl Pods {
    /// Returns when it is gone, and with it what it ran. Never by force on a machine that answers: then it would be gone from
    /// the API alone. On one that does not, nobody but its owner of a newer epoch says that it is.
    ///
    /// # Errors
    /// `Unavailable`, also when its machine ceases to answer meanwhile.
    pub(super) async fn remove_pod(&self, pod: &Pod, grace: Duration) -> Result<()> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let uid = pod.metadata.uid.as_deref();
        let seconds = u32::try_from(grace.as_secs()).unwrap_or(u32::MAX).max(1);
        if verdict::is_out_of_reach(pod) {
            return self.forget_pod(name, uid).await;
        }
        if self.pods.delete(name, uid, Some(seconds)).await? {
            return Ok(());
        }
        let (until, mut pauses) = (Instant::now() + Duration::from_secs(seconds.into()) + GOING, PAUSES);
        while let Some(pod) = self.still_there(name, uid).await? {
            if verdict::is_out_of_reach(&pod) {
                // So the next look knows what it has ended by, before it is forgotten.
                return Err(Error::Unavailable("its machine does not answer".to_owned()));
            }
            if Instant::now() >= until {
                return Err(Error::Unavailable("its pod is not gone yet".to_owned()));
            }
            tokio::time::sleep(pauses.pause()).await;
        }
        Ok(())
    }

    async fn forget_pod(&self, name: &str, uid: Option<&str>) -> Result<()> {
        tracing::warn!(pod = name, "a pod is forgotten whose machine does not answer");
        match self.pods.delete(name, uid, Some(0)).await? {
            true => Ok(()),
            // The answer shows what was removed.
            false => match self.still_there(name, uid).await? {
                None => Ok(()),
                Some(_) => Err(Error::Unavailable("its pod is not gone yet".to_owned())),
            },
        }
    }

    async fn still_there(&self, name: &str, uid: Option<&str>) -> Result<Option<Pod>> {
        let is_it = |pod: &Pod| pod.metadata.uid.as_deref() == uid && !verdict::is_only_held(pod);
        Ok(self.pods.find(name).await?.filter(is_it))
    }

    /// Removes what is left of trials that nobody has waited for.
    ///
    /// # Errors
    /// `Unavailable`; then it may be repeated.
    pub async fn remove_rest(&self) -> Result<()> {
        let labels = format!("{},{}", names::selector_of_all(&self.config), names::TRIAL_LABEL);
        self.remove_by(&labels).await
    }

    /// Removes every pod and every volume of this cluster, with all files in them. To be called when no supervisor works any
    /// more: it would start anew what the records want.
    ///
    /// # Errors
    /// `Unavailable`; then it may be repeated.
    pub async fn remove_all(&self) -> Result<()> {
        self.remove_by(&names::selector_of_all(&self.config)).await
    }

    async fn remove_by(&self, labels: &str) -> Result<()> {
        for pod in self.pods.list(labels).await?.items {
            names::check(&self.config, &pod.metadata)?;
            self.remove_pod(&pod, Duration::ZERO).await?;
        }
        self.files.remove_by(labels).await
    }
}

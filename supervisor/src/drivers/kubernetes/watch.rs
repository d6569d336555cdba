//! Changes of pods, as the API server tells of them. Hints: what is missed is seen by the next look.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kubernetes::types::Pod;
use kubernetes::{Error, Event, Objects, Watch};
use ports::retry::Backoff;
use tokio::time::Instant;
use types::SandboxId;

use super::config::Config;
use super::names;

/// After a watch that failed.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
/// From one watch to the next, however soon servers end them.
const APART: Duration = Duration::from_secs(1);
/// Of one watch: so soon a connection is noticed whose other end has gone.
const SECONDS: u32 = 60;

type Opening = BoxFuture<'static, Result<(Watch, bool), Error>>;

pub struct Watching {
    pods: Arc<Objects<Pod>>,
    config: Config,
    /// What opens the next watch; it goes on however often nobody waits for it.
    opening: Option<Opening>,
    watch: Option<Watch>,
    /// Where the next goes on; `None`: it begins with what there is then, and what has changed before is not heard of.
    version: Option<String>,
    not_before: Instant,
    pauses: Backoff,
}

impl Watching {
    pub fn of(pods: Arc<Objects<Pod>>, config: Config) -> Self {
        Self {
            pods,
            config,
            opening: None,
            watch: None,
            version: None,
            not_before: Instant::now(),
            pauses: PAUSES,
        }
    }

    /// Returns when a pod of a sandbox has changed, and after some may have unheard of: then it may have been any.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub async fn next(&mut self) -> Option<SandboxId> {
        loop {
            let Some(watch) = &mut self.watch else {
                match self.open().await {
                    Some(true) => return None,
                    Some(false) => continue,
                    None => return None,
                }
            };
            match watch.next().await {
                Ok(Some(Event::Changed(meta) | Event::Gone(meta))) => {
                    self.pauses.reset();
                    if let Some(sandbox) = names::sandbox(&self.config, &meta) {
                        return Some(sandbox);
                    }
                }
                Ok(None) => {
                    self.version = Some(watch.version().to_owned());
                    self.watch = None;
                }
                Err(error) => {
                    self.version = Some(watch.version().to_owned());
                    self.watch = None;
                    self.fail(&error);
                    return None;
                }
            }
        }
    }

    /// Whether changes were missed meanwhile; `None`: it cannot be opened.
    async fn open(&mut self) -> Option<bool> {
        if self.opening.is_none() {
            tokio::time::sleep_until(self.not_before).await;
            self.not_before = Instant::now() + APART;
        }
        let (pods, version) = (self.pods.clone(), self.version.clone());
        let labels = names::selector(&self.config);
        let opening = self.opening.get_or_insert_with(|| open(pods, labels, version).boxed());
        let opened = opening.await;
        self.opening = None;
        match opened {
            Ok((watch, is_anew)) => {
                self.watch = Some(watch);
                Some(is_anew)
            }
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    fn fail(&mut self, error: &Error) {
        tracing::debug!(%error, "no hints from the API server");
        if matches!(error, Error::Expired(_)) {
            self.version = None;
        }
        self.not_before = Instant::now() + self.pauses.pause();
    }
}

async fn open(
    pods: Arc<Objects<Pod>>,
    labels: String,
    version: Option<String>,
) -> Result<(Watch, bool), Error> {
    let (version, is_anew) = match version {
        Some(version) => (version, false),
        None => (pods.version(&labels).await?, true),
    };
    Ok((pods.watch(&labels, &version, SECONDS).await?, is_anew))
}

//! The public catalogue: a folder, or a repository of which a copy is kept.
//!
//! Nobody waits for a repository that does not answer: an attempt takes ten seconds at most, and after one that has failed none is
//! made for a minute; what was fetched before is used meanwhile.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tools::hands;

use super::PublicSource;
use super::checkout::Checkouts;
use super::copying;

const PATIENCE: Duration = Duration::from_secs(10);

/// When somebody asks for it by name.
const LONGER_PATIENCE: Duration = Duration::from_secs(50);
const FRESH_FOR: Duration = Duration::from_secs(5 * 60);
const NOT_AGAIN_FOR: Duration = Duration::from_secs(60);

pub(super) struct Public {
    source: PublicSource,
    /// Of the copy.
    folder: PathBuf,
    checkouts: Checkouts,
    /// Those who ask wait for the one attempt.
    tried: Mutex<Option<Tried>>,
}

#[derive(Clone, Copy)]
struct Tried {
    at: Instant,
    has_it: bool,
}

impl Public {
    pub(super) fn new(source: PublicSource, cache: PathBuf, checkouts: Checkouts) -> Self {
        Self { source, folder: cache.join("public-skills"), checkouts, tried: Mutex::default() }
    }

    /// Where it is already; nothing is fetched, and nobody waited for.
    pub(super) fn kept(&self) -> Option<PathBuf> {
        let folder = match &self.source {
            PublicSource::Folder(folder) => folder,
            PublicSource::Repository { .. } => &self.folder,
        };
        folder.is_dir().then(|| folder.clone())
    }

    /// Where it is; `None` where it cannot be had.
    pub(super) async fn folder(&self) -> Option<PathBuf> {
        let (url, reference) = match &self.source {
            PublicSource::Folder(_) => return self.kept(),
            PublicSource::Repository { url, reference } => (url, reference),
        };
        let mut tried = self.tried.lock().await;
        let is_recent =
            |tried: &Tried| tried.at.elapsed() < if tried.has_it { FRESH_FOR } else { NOT_AGAIN_FOR };
        if !tried.as_ref().is_some_and(is_recent) {
            let has_it = self.fetch(url, reference, PATIENCE).await;
            *tried = Some(Tried { at: Instant::now(), has_it });
        }
        self.kept()
    }

    /// Fetches it now. Whether that was done.
    pub(super) async fn sync(&self) -> bool {
        let PublicSource::Repository { url, reference } = &self.source else {
            return self.folder().await.is_some();
        };
        let mut tried = self.tried.lock().await;
        let has_it = self.fetch(url, reference, LONGER_PATIENCE).await;
        *tried = Some(Tried { at: Instant::now(), has_it });
        has_it
    }

    async fn fetch(&self, url: &str, reference: &str, patience: Duration) -> bool {
        let Ok(checkout) = self.checkouts.make(url, Some(reference), patience).await else {
            tracing::warn!("the public catalogue of skills cannot be fetched");
            return false;
        };
        let next = self.folder.with_extension("next");
        let swap = || {
            if let Some(parent) = self.folder.parent() {
                hands::make_folders(parent)?;
            }
            let _ = trees::remove(&next);
            copying::copy(&checkout.folder, &next, &copying::Bounds::OF_A_CATALOGUE)
                .map_err(std::io::Error::other)?;
            let _ = trees::remove(&self.folder);
            std::fs::rename(&next, &self.folder)
        };
        swap()
            .inspect_err(|error| tracing::warn!(%error, "the public catalogue of skills cannot be kept"))
            .is_ok()
    }
}

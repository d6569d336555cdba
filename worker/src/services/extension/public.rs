//! The public catalogue: a folder, or a repository of which a copy is kept.
//!
//! Nobody waits for a repository that does not answer: an attempt takes ten seconds at most, and after one that has failed none is
//! made for a minute; what was fetched before is used meanwhile.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, OwnedRwLockReadGuard, RwLock};
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
    /// Held for as long as it takes to put a new copy in the place of another, and by who reads in one.
    in_place: Arc<RwLock<()>>,
}

/// The catalogue, of which nobody takes anything away meanwhile.
pub(super) struct Reading {
    folder: PathBuf,
    _in_place: OwnedRwLockReadGuard<()>,
}

#[derive(Clone, Copy)]
struct Tried {
    at: Instant,
    has_it: bool,
}

impl Public {
    pub(super) fn new(source: PublicSource, cache: PathBuf, checkouts: Checkouts) -> Self {
        let folder = cache.join("public-skills");
        if !folder.exists() {
            // Of a worker that was killed between the two steps.
            let _ = std::fs::rename(last(&folder), &folder);
        }
        Self { source, folder, checkouts, tried: Mutex::default(), in_place: Arc::default() }
    }

    /// Where it is already; nothing is fetched.
    pub(super) async fn kept(&self) -> Option<Reading> {
        let folder = match &self.source {
            PublicSource::Folder(folder) => folder,
            PublicSource::Repository { .. } => &self.folder,
        };
        let _in_place = self.in_place.clone().read_owned().await;
        folder.is_dir().then(|| Reading { folder: folder.clone(), _in_place })
    }

    /// Where it is; `None` where it cannot be had.
    pub(super) async fn folder(&self) -> Option<Reading> {
        let (url, reference) = match &self.source {
            PublicSource::Folder(_) => return self.kept().await,
            PublicSource::Repository { url, reference } => (url, reference),
        };
        let mut tried = self.tried.lock().await;
        let is_recent =
            |tried: &Tried| tried.at.elapsed() < if tried.has_it { FRESH_FOR } else { NOT_AGAIN_FOR };
        if !tried.as_ref().is_some_and(is_recent) {
            let has_it = self.fetch(url, reference, PATIENCE).await;
            *tried = Some(Tried { at: Instant::now(), has_it });
        }
        drop(tried);
        self.kept().await
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
        self.put_in_place(&checkout.folder)
            .await
            .inspect_err(|error| tracing::warn!(%error, "the public catalogue of skills cannot be kept"))
            .is_ok()
    }

    /// Makes a copy of `fetched` the catalogue; who reads in the one before reads it to the end.
    async fn put_in_place(&self, fetched: &Path) -> std::io::Result<()> {
        let next = self.folder.with_extension("next");
        if let Some(parent) = self.folder.parent() {
            hands::make_folders(parent)?;
        }
        let _ = trees::remove(&next);
        copying::copy(fetched, &next, &copying::Bounds::OF_A_CATALOGUE).map_err(std::io::Error::other)?;
        let last = last(&self.folder);
        let _ = trees::remove(&last);
        let nobody_reads = self.in_place.write().await;
        let had_one = std::fs::rename(&self.folder, &last).is_ok();
        let placed = std::fs::rename(&next, &self.folder);
        if placed.is_err() && had_one {
            std::fs::rename(&last, &self.folder)?;
        }
        drop(nobody_reads);
        let _ = trees::remove(&last);
        placed
    }
}

/// Where the one before is, while another is put in its place.
fn last(folder: &Path) -> PathBuf {
    folder.with_extension("last")
}

impl Deref for Reading {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.folder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That is kept at `home`, and a folder with one file to be kept.
    fn kept_at(home: &Path) -> (Arc<Public>, impl Fn(&str) -> PathBuf) {
        let url = "https://catalogue.example".to_owned();
        let source = PublicSource::Repository { url, reference: "main".to_owned() };
        let checkouts = Checkouts::new(outbound::Outbound::default());
        let fetched = home.join("fetched");
        let fetch = move |text: &str| {
            std::fs::create_dir_all(&fetched).unwrap();
            std::fs::write(fetched.join("file"), text).unwrap();
            fetched.clone()
        };
        (Arc::new(Public::new(source, home.join("cache"), checkouts)), fetch)
    }

    fn file_of(catalogue: &Path) -> String {
        std::fs::read_to_string(catalogue.join("file")).unwrap()
    }

    #[tokio::test]
    async fn who_reads_in_a_catalogue_reads_it_to_the_end_and_the_next_one_waits_for_him() {
        let home = tempfile::tempdir().unwrap();
        let (public, fetch) = kept_at(home.path());
        public.put_in_place(&fetch("first")).await.unwrap();
        let reading = public.kept().await.unwrap();
        let next = fetch("second");
        let placing = tokio::spawn({
            let public = Arc::clone(&public);
            async move { public.put_in_place(&next).await }
        });
        // Nobody else begins to read once it waits.
        while !placing.is_finished() && public.in_place.try_read().is_ok() {
            tokio::task::yield_now().await;
        }
        assert_eq!((file_of(&reading), placing.is_finished()), ("first".to_owned(), false));
        drop(reading);
        placing.await.unwrap().unwrap();
        assert_eq!(file_of(&public.kept().await.unwrap()), "second");
    }

    #[tokio::test]
    async fn a_catalogue_that_a_killed_worker_has_set_aside_is_there_again() {
        let home = tempfile::tempdir().unwrap();
        let (public, fetch) = kept_at(home.path());
        public.put_in_place(&fetch("first")).await.unwrap();
        std::fs::rename(&public.folder, last(&public.folder)).unwrap();
        assert!(public.kept().await.is_none());
        let (public, _) = kept_at(home.path());
        assert_eq!(file_of(&public.kept().await.unwrap()), "first");
    }
}

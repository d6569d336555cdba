//! Watches: what has changed since a version, as it happens.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::read::version_of;
use super::{Request, Target};
use crate::cluster::{Change, Cluster, Key, State, What};
use crate::fields::selectors::Selector;
use crate::reply::Reply;
use crate::status::Status;
use crate::value::{Look, set};

/// Where a client does not say it; the real server draws it between 30 and 60 minutes.
const LASTS: Duration = Duration::from_secs(30 * 60);
const BETWEEN_BOOKMARKS: f64 = 60.0;
/// What is on its way to a slow client.
const FRAMES: usize = 16;

pub fn watch(cluster: &Arc<Cluster>, request: &Request, target: &Target) -> Result<Reply, Status> {
    let fields = request.query("fieldSelector");
    let named = format!("metadata.name={}", target.name);
    let fields = if target.name.is_empty() { fields } else { &named };
    let selector = Selector::parse(&target.kind, request.query("labelSelector"), fields)?;
    let asked = request.query("resourceVersion");
    let since = if asked.is_empty() { 0 } else { version_of(asked)? };
    let (version, forgotten) = cluster.with(|state| (state.version(), state.forgotten()));
    if since > version {
        return Err(Status::too_large_version(since, version));
    }
    let initial = request.says("sendInitialEvents");
    let (sender, receiver) = mpsc::channel(FRAMES);
    let watch = Watch {
        cluster: cluster.clone(),
        target: target.clone(),
        selector,
        bookmarks: request.says("allowWatchBookmarks"),
        until: Instant::now() + request.seconds("timeoutSeconds").map_or(LASTS, Duration::from_secs),
        sender,
    };
    let begin = if since == 0 || initial { Begin::WithAll { initial } } else { Begin::After(since) };
    if matches!(begin, Begin::After(since) if since < forgotten) {
        let error = Status::expired(since, forgotten);
        tokio::spawn(async move { watch.send(json!({ "type": "ERROR", "object": error.body() })).await });
    } else {
        tokio::spawn(watch.run(begin));
    }
    Ok(Reply::Stream("application/json", receiver))
}

enum Begin {
    /// What there is counts as added.
    WithAll {
        initial: bool,
    },
    After(u64),
}

struct Watch {
    cluster: Arc<Cluster>,
    target: Target,
    selector: Selector,
    bookmarks: bool,
    until: Instant,
    sender: mpsc::Sender<Bytes>,
}

impl Watch {
    async fn run(self, begin: Begin) {
        let mut changes = self.cluster.changes();
        let mut seen = match begin {
            Begin::After(version) => version,
            Begin::WithAll { initial } => {
                let (version, all) = self
                    .cluster
                    .with(|state| (state.version(), state.of(&self.target.kind, &self.target.namespace)));
                for (_, object) in all.into_iter().filter(|(_, object)| self.selector.takes(object)) {
                    if self.send(json!({ "type": "ADDED", "object": *object })).await.is_none() {
                        return;
                    }
                }
                if initial && self.bookmark(version, true).await.is_none() {
                    return;
                }
                version
            }
        };
        let between = self.cluster.settings.seconds(BETWEEN_BOOKMARKS);
        let mut bookmark_at = Instant::now() + between;
        loop {
            changes.borrow_and_update();
            let (version, events) = match self.cluster.with(|state| self.events(state, seen)) {
                Ok(found) => found,
                Err(error) => {
                    self.send(json!({ "type": "ERROR", "object": error.body() })).await;
                    return;
                }
            };
            for event in events {
                if self.send(event).await.is_none() {
                    return;
                }
            }
            seen = version;
            let wake = self.until.min(bookmark_at);
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = self.sender.closed() => return,
                () = tokio::time::sleep_until(wake) => {
                    if self.bookmarks && self.bookmark(seen, false).await.is_none() {
                        return;
                    }
                    if Instant::now() >= self.until {
                        return;
                    }
                    bookmark_at = Instant::now() + between;
                }
            }
        }
    }

    fn events(&self, state: &State, seen: u64) -> Result<(u64, Vec<Value>), Status> {
        if state.is_stalled {
            return Ok((seen, Vec::new()));
        }
        if seen < state.forgotten() {
            return Err(Status::expired(seen, state.forgotten()));
        }
        Ok((state.version(), state.since(seen).filter_map(|change| self.event(change)).collect()))
    }

    fn is_mine(&self, key: &Key) -> bool {
        key.is(&self.target.kind)
            && (self.target.namespace.is_empty() || key.namespace == self.target.namespace)
    }

    /// What comes to be selected is added, what ceases to be is deleted.
    fn event(&self, change: &Change) -> Option<Value> {
        if !self.is_mine(&change.key) {
            return None;
        }
        let was = change.before.as_ref().is_some_and(|before| self.selector.takes(before));
        let is = change.what != What::Deleted && self.selector.takes(&change.object);
        let kind = match (was, is) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        let mut object = (*change.object).clone();
        if kind == "DELETED"
            && change.what != What::Deleted
            && let Some(before) = &change.before
        {
            // As it was when it was selected, at the version of the change.
            object = (**before).clone();
            set(&mut object, &["metadata", "resourceVersion"], change.version.to_string());
        }
        Some(json!({ "type": kind, "object": object }))
    }

    async fn bookmark(&self, version: u64, is_initial: bool) -> Option<()> {
        let mut object = json!({
            "kind": self.target.kind.kind,
            "apiVersion": self.target.kind.api_version(),
            "metadata": { "resourceVersion": version.to_string(), "creationTimestamp": null },
        });
        if is_initial {
            object["metadata"]["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        self.send(json!({ "type": "BOOKMARK", "object": object })).await
    }

    /// One line, which may arrive in pieces.
    async fn send(&self, event: Value) -> Option<()> {
        debug_assert!(event.has("/object"));
        let mut line = event.to_string().into_bytes();
        line.push(b'\n');
        let middle = if self.cluster.settings.splits_frames { line.len() / 2 } else { 0 };
        let rest = Bytes::from(line.split_off(middle));
        for piece in [Bytes::from(line), rest] {
            if !piece.is_empty() {
                self.sender.send(piece).await.ok()?;
            }
        }
        Some(())
    }
}

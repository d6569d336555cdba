//! What happens to objects, as it happens.

use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use kube::api::{PartialObjectMeta, WatchEvent, WatchParams};
use kube::core::ObjectMeta;
use tokio::time::{Instant, timeout_at};

use crate::{Error, Object, Objects, Result};

/// What the end of a watch gets beyond its time to arrive.
const LATE: Duration = Duration::from_secs(5);

/// Of what has changed only its metadata is sent: names, labels and annotations.
#[derive(Clone, Debug)]
pub enum Event {
    Changed(Box<ObjectMeta>),
    Gone(Box<ObjectMeta>),
}

pub struct Watch {
    events: BoxStream<'static, Result<Sent>>,
    /// Of the last event: where the next watch begins.
    version: String,
    /// A connection whose other end has gone is silent for ever.
    end: Instant,
}

enum Sent {
    Event(Event),
    /// So much has been sent, though nothing of it was asked for.
    Mark(String),
}

impl Watch {
    pub(crate) async fn open<K: Object>(
        of: &Objects<K>,
        labels: &str,
        version: &str,
        seconds: u32,
    ) -> Result<Self> {
        let params = WatchParams::default().labels(labels).timeout(seconds);
        let end = Instant::now() + Duration::from_secs(seconds.into()) + LATE;
        let events = of.client.answer(of.api.watch_metadata(&params, version)).await?;
        let events = events.into_stream().map(|event| sent(event?)).boxed();
        Ok(Self { events, version: version.to_owned(), end })
    }

    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// `None` at its end, after which another goes on from [`Watch::version`].
    ///
    /// # Errors
    /// `Expired`: changes were missed; `Unavailable`.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            let Ok(sent) = timeout_at(self.end, self.events.next()).await else {
                return Err(Error::Unavailable("a watch has not ended in its time".to_owned()));
            };
            match sent.transpose()? {
                Some(Sent::Mark(version)) => self.version = version,
                Some(Sent::Event(event)) => {
                    let (Event::Changed(meta) | Event::Gone(meta)) = &event;
                    if let Some(version) = &meta.resource_version {
                        self.version.clone_from(version);
                    }
                    return Ok(Some(event));
                }
                None => return Ok(None),
            }
        }
    }
}

fn sent<K>(event: WatchEvent<PartialObjectMeta<K>>) -> Result<Sent> {
    Ok(match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => {
            Sent::Event(Event::Changed(Box::new(object.metadata)))
        }
        WatchEvent::Deleted(object) => Sent::Event(Event::Gone(Box::new(object.metadata))),
        WatchEvent::Bookmark(mark) => Sent::Mark(mark.metadata.resource_version),
        WatchEvent::Error(status) => return Err((*status).into()),
    })
}

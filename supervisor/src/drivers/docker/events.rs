//! Ends of containers, as the engine tells of them. The engine repeats nothing by itself: after a lost
//! connection it is asked for what happened since.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use bollard::Docker;
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use ports::retry::Backoff;
use tokio::time::Instant;
use types::SandboxId;

use super::{Config, labels};

const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));

pub struct Events {
    docker: Docker,
    /// Of the workers' containers.
    labels: [String; 2],
    stream: Option<BoxStream<'static, Result<EventMessage, bollard::errors::Error>>>,
    /// Unix nanoseconds: what happened after that was not heard of.
    heard_until: u128,
    /// The container of an event that nobody has heard of yet, and its sandbox.
    ending: Option<(String, Option<SandboxId>)>,
    /// Until then there is no new connection in the place of one that was lost.
    not_before: Instant,
    pauses: Backoff,
}

impl Events {
    pub fn of(docker: Docker, config: &Config) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let heard_until = now.as_nanos();
        let labels = [labels::filter(config), labels::SANDBOX_LABEL.to_owned()];
        Self {
            docker,
            labels,
            stream: None,
            heard_until,
            ending: None,
            not_before: Instant::now(),
            pauses: PAUSES,
        }
    }

    /// Returns when a container of a sandbox has ended, and after a connection was lost: then it may have been any.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub async fn next(&mut self) -> Option<SandboxId> {
        if self.ending.is_some() {
            return self.until_ended().await;
        }
        loop {
            if self.stream.is_none() {
                tokio::time::sleep_until(self.not_before).await;
                self.stream = Some(self.connect());
            }
            let stream = self.stream.as_mut()?;
            let Some(Ok(event)) = stream.next().await else {
                (self.stream, self.not_before) = (None, Instant::now() + self.pauses.pause());
                return None;
            };
            self.pauses.reset();
            let at = event.time_nano.and_then(|at| u128::try_from(at).ok());
            self.heard_until = at.unwrap_or(self.heard_until);
            let (id, labels) = event.actor.and_then(|actor| Some((actor.id?, actor.attributes?)))?;
            // Without a name it is no sandbox's.
            if let Some(sandbox) = labels::said(&labels, labels::SANDBOX_LABEL) {
                self.ending = Some((id, SandboxId::parse(sandbox)));
                return self.until_ended().await;
            }
        }
    }

    /// The engine tells of an end before it lists it. An inspection waits for it to be done with the container.
    async fn until_ended(&mut self) -> Option<SandboxId> {
        if let Some((id, _)) = &self.ending {
            let _ = self.docker.inspect_container(id, None).await;
        }
        self.ending.take().and_then(|(_, sandbox)| sandbox)
    }

    fn connect(&self) -> BoxStream<'static, Result<EventMessage, bollard::errors::Error>> {
        let filters = HashMap::from([
            ("type", vec!["container"]),
            ("event", vec!["die", "destroy", "oom"]),
            ("label", self.labels.iter().map(String::as_str).collect()),
        ]);
        let after = self.heard_until + 1;
        let since = format!("{}.{:09}", after / 1_000_000_000, after % 1_000_000_000);
        let options = EventsOptionsBuilder::default().since(&since).filters(&filters);
        self.docker.events(Some(options.build())).boxed()
    }
}

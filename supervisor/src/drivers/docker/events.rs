//! Ends of containers, as the engine tells of them. The engine repeats nothing by itself: after a lost
//! connection it is asked for what happened since.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::{CLUSTER_LABEL, SANDBOX_LABEL};

const RECONNECT: Duration = Duration::from_secs(1);

pub struct Events {
    docker: Docker,
    cluster: String,
    stream: Option<BoxStream<'static, Result<EventMessage, bollard::errors::Error>>>,
    /// Unix nanoseconds of the newest event.
    last: Option<i64>,
    /// The container of an event that nobody has heard of yet.
    ending: Option<String>,
}

impl Events {
    pub fn of(docker: Docker, cluster: &str) -> Self {
        Self { docker, cluster: cluster.to_owned(), stream: None, last: None, ending: None }
    }

    /// Returns when a container of the cluster has ended, and after a connection was lost.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub async fn next(&mut self) {
        if self.ending.is_some() {
            return self.until_ended().await;
        }
        if self.stream.is_none() {
            self.stream = Some(self.connect());
        }
        let Some(stream) = &mut self.stream else { return };
        let Some(Ok(event)) = stream.next().await else {
            self.stream = None;
            return tokio::time::sleep(RECONNECT).await;
        };
        self.last = event.time_nano.or(self.last);
        self.ending = event.actor.and_then(|actor| actor.id);
        self.until_ended().await;
    }

    /// The engine tells of an end before it lists it. An inspection waits for it to be done with the container.
    async fn until_ended(&mut self) {
        if let Some(id) = &self.ending {
            let _ = self.docker.inspect_container(id, None).await;
        }
        self.ending = None;
    }

    fn connect(&self) -> BoxStream<'static, Result<EventMessage, bollard::errors::Error>> {
        let labels = [format!("{CLUSTER_LABEL}={}", self.cluster), SANDBOX_LABEL.to_owned()];
        let filters = HashMap::from([
            ("type", vec!["container"]),
            ("event", vec!["die", "destroy", "oom"]),
            ("label", labels.iter().map(String::as_str).collect()),
        ]);
        let mut options = EventsOptionsBuilder::default().filters(&filters);
        if let Some(last) = self.last {
            let after = last + 1;
            options = options.since(&format!("{}.{:09}", after / 1_000_000_000, after % 1_000_000_000));
        }
        self.docker.events(Some(options.build())).boxed()
    }
}

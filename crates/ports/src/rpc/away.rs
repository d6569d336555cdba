//! For tests: a bus that is away until a moment, and from then on keeps what is published.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{Bus, Delivery, Error, Message, Parcel, Result, Subscription};

pub struct Away {
    until: Instant,
    published: Mutex<Vec<Parcel>>,
    calls: Mutex<Vec<Message>>,
}

impl Away {
    pub fn until(until: Instant) -> Arc<Self> {
        Arc::new(Self { until, published: Mutex::default(), calls: Mutex::default() })
    }

    /// With one call that is there for the first who subscribes.
    pub fn with(self: Arc<Self>, json: String) -> Arc<Self> {
        let (subject, reply) = ("x".to_owned(), Some("reply".to_owned()));
        self.calls.lock().push(Message { subject, parcel: Parcel::json(json), reply });
        self
    }

    pub fn published(&self) -> Vec<Parcel> {
        self.published.lock().clone()
    }
}

#[async_trait]
impl Bus for Away {
    async fn publish(&self, _subject: &str, parcel: Parcel) -> Result<()> {
        if Instant::now() < self.until {
            return Err(Error::Unavailable("away".to_owned()));
        }
        self.published.lock().push(parcel);
        Ok(())
    }

    async fn request(&self, _subject: &str, _parcel: Parcel, _deadline: Duration) -> Result<Parcel> {
        Err(Error::NotFound)
    }

    async fn subscribe(&self, _pattern: &str, _group: Option<&str>) -> Result<Subscription> {
        let calls: Vec<_> = self.calls.lock().drain(..).map(Delivery::Message).collect();
        Ok(stream::iter(calls).chain(stream::pending()).boxed())
    }
}

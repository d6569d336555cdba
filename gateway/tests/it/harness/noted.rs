//! A bus that notes what is listened to, and what was asked for and met nobody.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use ports::{Bus, Error, Parcel, Ports, Result, Subscription};

pub struct Noted {
    bus: Arc<dyn Bus>,
    listened: Mutex<Vec<String>>,
    missed: Mutex<Vec<String>>,
}

impl Noted {
    /// Puts itself in place of the bus of `ports`.
    pub fn within(ports: &mut Ports) -> Arc<Self> {
        let noted =
            Arc::new(Self { bus: ports.bus.clone(), listened: Mutex::default(), missed: Mutex::default() });
        ports.bus = noted.clone();
        noted
    }

    /// How often the pattern was listened to.
    pub fn listened(&self, pattern: &str) -> usize {
        self.listened.lock().unwrap().iter().filter(|noted| *noted == pattern).count()
    }

    /// Whether anybody asked on the subject while nobody was there to answer.
    pub fn missed(&self, subject: &str) -> bool {
        self.missed.lock().unwrap().iter().any(|noted| noted == subject)
    }
}

#[async_trait]
impl Bus for Noted {
    async fn publish(&self, subject: &str, parcel: Parcel) -> Result<()> {
        self.bus.publish(subject, parcel).await
    }

    async fn request(&self, subject: &str, parcel: Parcel, deadline: Duration) -> Result<Parcel> {
        let answer = self.bus.request(subject, parcel, deadline).await;
        if matches!(answer, Err(Error::NotFound)) {
            self.missed.lock().unwrap().push(subject.to_owned());
        }
        answer
    }

    async fn subscribe(&self, pattern: &str, group: Option<&str>) -> Result<Subscription> {
        self.listened.lock().unwrap().push(pattern.to_owned());
        self.bus.subscribe(pattern, group).await
    }
}

//! First messages that nobody delivers any more.
//!
//! In a cluster a conversation is there before its worker, and its first message waits in the record until somebody
//! delivers it: at first the gateway that made it. If that dies, or the worker does not start while it waits, all others
//! look after the message: each when it starts, and then from time to time, less often the longer the message waits.
//! Several may deliver it at the same moment, for it is stored once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, stream};
use readmodel::vital::contained;
use tokio::time::Instant;
use types::time::unix_of_utc;

use super::Conversations;

/// Between two looks.
const OFTEN: Duration = Duration::from_secs(60);
/// Messages that are delivered at once.
const AT_ONCE: usize = 16;

impl Conversations {
    /// Never returns.
    pub(crate) async fn keep_delivering(self) {
        self.deliver_those(|_| true).await;
        loop {
            let begun = Instant::now();
            tokio::time::sleep(OFTEN).await;
            self.deliver_those(|age| is_due(age, begun.elapsed())).await;
        }
    }

    async fn deliver_those(&self, is_due: impl Fn(Duration) -> bool) {
        let mut waiting = self.0.index.all();
        waiting.retain(|entry| entry.record().undelivered.is_some() && is_due(age_of(&entry.created_at())));
        let deliver = async |entry| {
            if self.has(&entry) {
                contained("delivering a first message", self.begin_now(&entry, || ())).await;
            }
        };
        stream::iter(waiting).for_each_concurrent(AT_ONCE, deliver).await;
    }
}

fn age_of(created_at: &str) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_millis(unix_of_utc(created_at).unwrap_or_default()))
}

/// Whether one, two, four, eight … minutes were over since the last look.
fn is_due(age: Duration, since_then: Duration) -> bool {
    let power = |age: Duration| (age.as_secs() / 60).checked_ilog2();
    power(age) != power(age.saturating_sub(since_then))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_looked_after_less_often_the_longer_it_waits() {
        let looks = (1..=10_000).map(|minute| Duration::from_secs(60 * minute + 30));
        let minutes: Vec<u64> =
            looks.filter(|age| is_due(*age, OFTEN)).map(|age| age.as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192]);
        assert!(is_due(Duration::from_secs(600), Duration::from_secs(480)), "a look that took long");
    }
}

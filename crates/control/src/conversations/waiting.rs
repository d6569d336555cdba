//! First messages that nobody delivers any more.
//!
//! In a cluster a conversation is there before its worker, and its first message waits in the record until somebody
//! delivers it: at first the gateway that made it. If that dies, or the worker does not start while it waits, all others
//! look after the message: each when it starts, if the message is young, and then from time to time, less often the longer
//! the message waits. Several may deliver it at the same moment: it is stored once, and its run starts once, for who finds it
//! stored starts a run only where nothing has happened since.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, stream};
use readmodel::vital::contained;
use tokio::time::Instant;
use types::time::unix_of_utc;

use super::Conversations;

/// Between two looks.
const OFTEN: Duration = Duration::from_secs(60);
/// An older message starts nothing because a gateway does.
const YOUNG: Duration = Duration::from_secs(3_600);
/// Messages that are delivered at once.
const AT_ONCE: usize = 16;

impl Conversations {
    /// Never returns.
    pub(crate) async fn keep_delivering(self) {
        keep_looking(|since| {
            let conversations = self.clone();
            async move { conversations.deliver_those(|age| is_due(age, since)).await }
        })
        .await;
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

/// Tells each look how long ago the one before it began. Never returns.
async fn keep_looking<L: Future<Output = ()>>(look: impl Fn(Option<Duration>) -> L) {
    let mut begun = Instant::now();
    look(None).await;
    loop {
        tokio::time::sleep(OFTEN).await;
        let since = begun.elapsed();
        begun = Instant::now();
        look(Some(since)).await;
    }
}

fn age_of(created_at: &str) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_millis(unix_of_utc(created_at).unwrap_or_default()))
}

/// Whether one, two, four, eight … minutes were over since the last look; at the first one, whether it is young.
fn is_due(age: Duration, since_then: Option<Duration>) -> bool {
    let Some(since_then) = since_then else { return age < YOUNG };
    let power = |age: Duration| (age.as_secs() / 60).checked_ilog2();
    power(age) != power(age.saturating_sub(since_then))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_message_is_looked_after_less_often_the_longer_it_waits() {
        let looks = (1..=10_000).map(|minute| Duration::from_secs(60 * minute + 30));
        let minutes: Vec<u64> =
            looks.filter(|age| is_due(*age, Some(OFTEN))).map(|age| age.as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192]);
        assert!(is_due(Duration::from_secs(600), Some(Duration::from_secs(480))), "a look that took long");
        let hours = |hours: u64| Duration::from_secs(3_600 * hours);
        assert!(is_due(hours(0), None) && !is_due(hours(1), None), "at the start");
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_due_while_a_look_took_long_is_looked_after_by_the_next() {
        let looks = Mutex::new(Vec::new());
        let look = |since: Option<Duration>| {
            looks.lock().unwrap().push(since.map(|since| since.as_secs()));
            tokio::time::sleep(Duration::from_secs(420))
        };
        let _ = tokio::time::timeout(Duration::from_secs(1_000), keep_looking(look)).await;
        assert_eq!(*looks.lock().unwrap(), [None, Some(480), Some(480)]);
    }
}

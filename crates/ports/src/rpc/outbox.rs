//! Answers on their way. One that is ready while the bus cannot be reached is kept until it can: what was done must not be
//! told to have failed because a connection was made anew. One that tells it once is sent again until it has certainly left: who
//! waits for it takes the first. An answerer of strangers keeps them within bounds of its own.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant, sleep};

use crate::retry::Backoff;
use crate::{Bus, Error, Parcel, Result};

/// How long one is kept, however long its caller says that it waits.
const LONGEST: Duration = Duration::from_secs(120);
/// Bytes of those that are kept at once.
const MOST_BYTES: usize = 64 << 20;
/// Between two looks whether the bus is back.
const AWAY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

#[derive(Clone)]
pub(super) struct Outbox {
    bus: Arc<dyn Bus>,
    room: Arc<Semaphore>,
}

impl Outbox {
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self { bus, room: Arc::new(Semaphore::new(MOST_BYTES)) }
    }

    /// Sends an answer once the bus can be reached, or until `give_up`; `surely`: until the bus has it.
    ///
    /// # Errors
    /// Those of the bus; `Unavailable` also where there is no room to keep it.
    pub async fn send(&self, reply: &str, answer: &Parcel, surely: bool, give_up: Instant) -> Result<()> {
        let give_up = give_up.min(Instant::now() + LONGEST);
        let (mut pauses, mut kept) = (AWAY, None);
        loop {
            let sent = match surely {
                true => self.bus.publish_surely(reply, answer.clone()).await,
                false => self.bus.publish(reply, answer.clone()).await,
            };
            let Err(Error::Unavailable(_)) = sent else { return sent };
            kept = kept.or_else(|| self.room_for(answer.bytes()));
            let pause = pauses.pause();
            if kept.is_none() || Instant::now() + pause >= give_up {
                return sent;
            }
            sleep(pause).await;
        }
    }

    fn room_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.room.clone().try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::LARGEST;
    use crate::rpc::away::Away;

    #[tokio::test(start_paused = true)]
    async fn no_answer_is_kept_for_longer_than_a_bus_is_waited_for_whatever_its_caller_says() {
        let outbox = Outbox::new(Away::until(Instant::now() + 10 * LONGEST));
        let never = Instant::now() + 100 * LONGEST;
        let began = Instant::now();
        assert!(outbox.send("x", &Parcel::json("{}"), true, never).await.is_err());
        assert!(began.elapsed() <= LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_bytes_of_answers_are_kept_and_the_others_come_when_the_bus_is_back() {
        let bus = Away::until(Instant::now() + LONGEST / 2);
        let outbox = Outbox::new(bus.clone());
        let (answer, most) = (Parcel::json(vec![b' '; LARGEST]), MOST_BYTES / LARGEST);
        let sending = (0..2 * most).map(|_| outbox.send("x", &answer, false, Instant::now() + LONGEST));
        let sent = join_all(sending).await;
        assert_eq!(sent.iter().filter(|sent| sent.is_ok()).count(), most);
        assert_eq!(bus.published().len(), most);
    }
}

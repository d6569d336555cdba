//! Waiting before something is tried again: longer each time, and never in step with others.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{Error, Result};

/// Pauses between tries. Each is twice as long as the one before it, up to a limit, and some part of its second half
/// is left out by chance, so that those who failed together do not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: usize,
}

impl Backoff {
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// How long to wait now.
    pub fn pause(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.after(self.failures)
    }

    /// How long to wait after so many failures in a row.
    #[must_use]
    pub fn after(&self, failures: usize) -> Duration {
        let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(31);
        let pause = self.first.saturating_mul(1 << doublings).min(self.longest);
        pause.mul_f64(fastrand::f64().mul_add(0.5, 0.5))
    }

    /// It went well: the next pause is a first one.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Makes `attempt` until it does not answer `Unavailable`, or `patience` is over. Only for what may be done twice.
///
/// # Errors
/// Those of the last attempt.
pub async fn while_unavailable<T, A: Future<Output = Result<T>>>(
    mut backoff: Backoff,
    patience: Duration,
    mut attempt: impl FnMut() -> A,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        let outcome = attempt().await;
        let pause = backoff.pause();
        if !matches!(outcome, Err(Error::Unavailable(_))) || Instant::now() + pause >= deadline {
            return outcome;
        }
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_double_up_to_the_longest_and_differ() {
        let pauses = || {
            let mut backoff = Backoff::new(100 * MS, 1_000 * MS);
            (0..8).map(|_| backoff.pause()).collect::<Vec<_>>()
        };
        for (pause, most) in pauses().iter().zip([100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000]) {
            assert!(*pause >= most / 2 * MS && *pause <= most * MS, "{pause:?} of {most} ms");
        }
        assert_ne!(pauses(), pauses());
        let backoff = Backoff::new(100 * MS, 1_000 * MS);
        for failures in [4, 100, usize::MAX] {
            assert!(backoff.after(failures) >= 400 * MS && backoff.after(failures) <= 1_000 * MS);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_unavailable_is_tried_again_and_not_for_ever() {
        let backoff = Backoff::new(100 * MS, 1_000 * MS);
        let away = || Err(Error::Unavailable("away".to_owned()));
        let tries = Cell::new(0);
        let outcome = while_unavailable(backoff.clone(), 10_000 * MS, || {
            tries.set(tries.get() + 1);
            ready(if tries.get() < 3 { away() } else { Ok(tries.get()) })
        });
        assert_eq!(outcome.await, Ok(3));

        let broken = Error::Internal("broken".to_owned());
        tries.set(0);
        let outcome: Result<()> = while_unavailable(backoff.clone(), 10_000 * MS, || {
            tries.set(tries.get() + 1);
            ready(Err(broken.clone()))
        })
        .await;
        assert_eq!((outcome, tries.get()), (Err(broken.clone()), 1));

        let begun = Instant::now();
        let outcome: Result<()> =
            while_unavailable(backoff, 10_000 * MS, || ready(away().map(|_: i32| ()))).await;
        assert!(outcome.is_err() && begun.elapsed() <= 10_000 * MS, "{:?}", begun.elapsed());
    }
}

//! Work on files of agents, aside from the threads that serve everybody.
//!
//! A path that an agent has chosen may lead to a file system that does not answer, and whoever looks at it then waits for
//! as long. So such work gets a thread of its own, of a bounded number: those that hang are not waited for, and once all
//! of them do, more work is refused.

use std::sync::Arc;

use ports::rpc::{Fault, Reason};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Aside(Arc<Semaphore>);

impl Aside {
    pub(super) fn new(threads: usize) -> Self {
        Self(Arc::new(Semaphore::new(threads)))
    }

    /// # Errors
    /// `Busy` where every thread has work; those of `work`.
    ///
    /// # Cancel safety
    /// The work ends at its next wait.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        let thread = Arc::clone(&self.0).try_acquire_owned().map_err(|_| Reason::Overloaded)?;
        let (runtime, stop) = (Handle::current(), CancellationToken::new());
        let _stops_with_caller = stop.clone().drop_guard();
        let working = move || {
            let done = runtime.block_on(stop.run_until_cancelled_owned(work));
            drop(thread);
            done
        };
        let done = tokio::task::spawn_blocking(working).await.map_err(Fault::internal)?;
        done.unwrap_or_else(|| Err(Fault::from(Reason::Unavailable).caused_by("nobody waits for the answer")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_hangs_stops_nobody_else_and_is_bounded() {
        let aside = Aside::new(2);
        let (release, hang) = std::sync::mpsc::channel::<()>();
        let hanging = tokio::spawn({
            let aside = aside.clone();
            async move {
                let hang = async move {
                    // As a look at a file system that does not answer.
                    let _ = hang.recv();
                    Ok(())
                };
                aside.run(hang).await
            }
        });
        while aside.0.available_permits() == 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(aside.run(async { Ok(1) }).await, Ok(1), "there is one runtime thread, and it is free");
        hanging.abort();
        let _ = hanging.await;
        let other = aside.0.clone().acquire_owned().await.unwrap();
        assert_eq!(aside.run(async { Ok(1) }).await.unwrap_err().reason, Some(Reason::Overloaded));
        drop((other, release));
    }
}

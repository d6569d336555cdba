//! What must not end unnoticed: a task that follows a log or a bucket and is gone leaves everything as it was, and nobody
//! is told that it grows old.
//!
//! A fault in the handling of one record or one conversation is [`contained`]: it is said, and the task goes on with the
//! next. Should a task end all the same, the server [ends with it](spawn), and is started again with everything read anew.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Does `work` in `tasks` until `drain` is cancelled. If it ends before that, by itself or by a panic, it cancels `drain`.
pub fn spawn(
    tasks: &TaskTracker,
    drain: &CancellationToken,
    what: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let (working, ending) =
        (drain.clone().run_until_cancelled_owned(work), Ending { what, drain: drain.clone() });
    tasks.spawn(async move {
        let _ending = ending;
        working.await;
    });
}

/// Does `work`; `None` if it panics, which is reported.
pub async fn contained<T>(what: &'static str, work: impl Future<Output = T>) -> Option<T> {
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    outcome.map_err(|panic| report(what, panic.as_ref())).ok()
}

/// As [`contained`], of work that waits for nothing.
pub fn contained_now<T>(what: &'static str, work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| report(what, panic.as_ref())).ok()
}

fn report(what: &'static str, panic: &(dyn Any + Send)) {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
    tracing::error!(what, text, "a part of the server has panicked, and goes on");
}

struct Ending {
    what: &'static str,
    drain: CancellationToken,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.drain.is_cancelled() {
            tracing::error!(what = self.what, "a part of the server has ended, and the server ends with it");
            self.drain.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ends_the_server(work: impl Future<Output = ()> + Send + 'static) -> bool {
        let (tasks, drain) = (TaskTracker::new(), CancellationToken::new());
        spawn(&tasks, &drain, "a part", work);
        tasks.close();
        tasks.wait().await;
        drain.is_cancelled()
    }

    #[tokio::test]
    async fn what_must_go_on_and_ends_ends_the_server() {
        assert!(ends_the_server(async {}).await);
        assert!(ends_the_server(async { panic!("a defect") }).await);
    }

    #[tokio::test]
    async fn what_is_contained_goes_on_after_a_panic() {
        assert_eq!(contained("one", async { panic!("a defect") }).await, None::<()>);
        assert_eq!(contained_now("one", || -> usize { panic!("a {}", "defect") }), None);
        assert_eq!((contained("other", async { 1 }).await, contained_now("other", || 2)), (Some(1), Some(2)));
    }
}

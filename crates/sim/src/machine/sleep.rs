//! Runs a simulated process until it would sleep, and tells for how long.

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::runtime::Runtime;

/// So often a process may look for news without sleeping. After that others have their turn.
const MOST_LOOKS: u32 = 500;

thread_local! {
    static LOOKS: Cell<u32> = const { Cell::new(0) };
    static STEP: RefCell<Option<Waker>> = const { RefCell::new(None) };
    static ASLEEP: Cell<Option<c_int>> = const { Cell::new(None) };
}

/// Does all that `runtime` has to do now; answers how long it would sleep, `None`: until somebody wakes it.
pub fn until_asleep(runtime: &Runtime) -> Option<Duration> {
    ASLEEP.set(None);
    LOOKS.set(0);
    let timeout = runtime.block_on(poll_fn(|context| match ASLEEP.get() {
        Some(timeout) => Poll::Ready(timeout),
        None => {
            STEP.set(Some(context.waker().clone()));
            Poll::Pending
        }
    }));
    STEP.set(None);
    u64::try_from(timeout).ok().map(Duration::from_millis)
}

pub(super) fn is_stepping() -> bool {
    STEP.with_borrow(Option::is_some)
}

/// To be called where the thread would sleep: ends the step.
pub(super) fn fall_asleep(timeout: c_int) {
    ASLEEP.set(Some(timeout));
    if let Some(step) = STEP.with_borrow(Clone::clone) {
        step.wake();
    }
}

/// To be called where the thread looks for news and has other things to do. One that only waits for what others do would do so
/// for ever.
pub(super) fn look_around() {
    LOOKS.set(LOOKS.get() + 1);
    if LOOKS.get() == MOST_LOOKS {
        fall_asleep(1);
    }
}

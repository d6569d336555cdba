//! The machine that a simulated world runs on. While it is taken over, the clocks of the world's thread and all chance are
//! functions of what the scheduler says, and instead of sleeping until a timer that thread says so and goes on.
//!
//! Production code is not changed for that: it asks the C library as always, and [`symbols`] answers in its place.

mod sleep;
mod symbols;
mod threads;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

pub use sleep::until_asleep;

/// When simulated worlds begin, in seconds since 1970, by a clock that is right.
const BEGINNING: i64 = 1_795_000_000;
/// How long the machine has been running by then.
const UPTIME: Duration = Duration::from_secs(100);

static IS_TAKEN_OVER: AtomicBool = AtomicBool::new(false);
static NOW: AtomicU64 = AtomicU64::new(0);
/// How far the wall clock of whoever runs now is ahead, in nanoseconds.
static AHEAD: AtomicI64 = AtomicI64::new(0);
static CHANCE: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this is the thread of the world. Others wait for real times.
    static IS_OF_WORLD: Cell<bool> = const { Cell::new(false) };
}

/// Takes the clocks and the chance of this process over, until the end of the process or [`hand_back`]. To be called by the
/// thread that the world is to run on, before it has asked for any chance.
pub fn take_over(seed: u64) {
    CHANCE.store(seed, Ordering::SeqCst);
    set(Duration::ZERO, 0);
    threads::note_others();
    IS_OF_WORLD.set(true);
    IS_TAKEN_OVER.store(true, Ordering::SeqCst);
    // The plan of the world is drawn from the seed itself: what happens in it is not to be the same numbers.
    fastrand::seed(!seed);
}

pub fn hand_back() {
    IS_OF_WORLD.set(false);
    IS_TAKEN_OVER.store(false, Ordering::SeqCst);
}

/// Sets the clocks: how long the world has been there, and how many milliseconds the wall clock is ahead.
pub fn set(now: Duration, ahead_ms: i64) {
    let now = UPTIME.saturating_add(now);
    NOW.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
    AHEAD.store(ahead_ms.saturating_mul(1_000_000), Ordering::SeqCst);
}

/// How long the world has been there.
#[must_use]
pub fn time() -> Duration {
    Duration::from_nanos(NOW.load(Ordering::SeqCst)).saturating_sub(UPTIME)
}

/// A runtime for one simulated process, to be run by [`until_asleep`].
///
/// # Errors
/// Where the system gives no more files.
pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(1)
        .thread_keep_alive(Duration::ZERO)
        .on_thread_start(threads::wait_for_turn)
        .on_thread_stop(threads::leave)
        .build()
}

fn is_taken_over() -> bool {
    IS_TAKEN_OVER.load(Ordering::SeqCst)
}

fn is_of_world() -> bool {
    is_taken_over() && IS_OF_WORLD.get()
}

/// Nanoseconds that this machine has been running.
fn monotonic() -> i64 {
    i64::try_from(NOW.load(Ordering::SeqCst)).unwrap_or(i64::MAX)
}

/// Nanoseconds since 1970.
fn wall() -> i64 {
    BEGINNING * 1_000_000_000 + monotonic() + AHEAD.load(Ordering::SeqCst)
}

/// The next eight bytes of chance (splitmix64).
fn chance() -> u64 {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut mixed = CHANCE.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

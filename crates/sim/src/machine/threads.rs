//! Threads for work that blocks. They run only while the process that they belong to would sleep, so what they do happens at
//! one place in the order of all that happens.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

static GATE: Mutex<bool> = Mutex::new(false);
static OPENED: Condvar = Condvar::new();
/// Those that are not of a simulated process.
static OTHERS: AtomicU64 = AtomicU64::new(0);

pub(super) fn note_others() {
    OTHERS.store(threads(), Ordering::SeqCst);
}

/// Where a thread begins.
pub(super) fn wait_for_turn() {
    let mut is_open = GATE.lock();
    while !*is_open {
        OPENED.wait(&mut is_open);
    }
}

/// Lets the threads that there are do all that they have to do; false where there are none.
pub(super) fn give_a_turn() -> bool {
    let are_there = || threads() > OTHERS.load(Ordering::SeqCst);
    if !are_there() {
        return false;
    }
    *GATE.lock() = true;
    OPENED.notify_all();
    while are_there() {
        std::thread::sleep(Duration::from_micros(20));
    }
    *GATE.lock() = false;
    true
}

/// Of this process, as the kernel counts them.
fn threads() -> u64 {
    std::fs::metadata("/proc/self/task").map_or(0, |folder| folder.nlink())
}

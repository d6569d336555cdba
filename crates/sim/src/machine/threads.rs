//! Threads for work that blocks. They run only while the process that they belong to would sleep, so what they do happens at
//! one place in the order of all that happens.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

static GATE: Mutex<Gate> = Mutex::new(Gate { is_open: false, inside: 0 });
static OPENED: Condvar = Condvar::new();
static LEFT: Condvar = Condvar::new();

struct Gate {
    is_open: bool,
    /// Threads that have something to do.
    inside: usize,
}

/// Those that are not of a simulated process.
static OTHERS: AtomicU64 = AtomicU64::new(0);
/// Whether a thread was begun since there was none.
static MAY_BE_THERE: AtomicBool = AtomicBool::new(false);
/// For a thread to come to its beginning, or to be over after its end.
const A_MOMENT: Duration = Duration::from_micros(20);

pub(super) fn note_others() {
    OTHERS.store(threads(), Ordering::SeqCst);
}

/// Where a thread begins.
pub(super) fn wait_for_turn() {
    let mut gate = GATE.lock();
    while !gate.is_open {
        OPENED.wait(&mut gate);
    }
    gate.inside += 1;
}

/// Where a thread ends.
pub(super) fn leave() {
    GATE.lock().inside -= 1;
    LEFT.notify_all();
}

/// Whoever begins a thread says so.
pub(super) fn note_new() {
    MAY_BE_THERE.store(true, Ordering::SeqCst);
}

/// Lets the threads that there are do all that they have to do; false where there are none.
pub(super) fn give_a_turn() -> bool {
    let are_there = || threads() > OTHERS.load(Ordering::SeqCst);
    if !MAY_BE_THERE.load(Ordering::SeqCst) || !are_there() {
        MAY_BE_THERE.store(false, Ordering::SeqCst);
        return false;
    }
    let mut gate = GATE.lock();
    gate.is_open = true;
    OPENED.notify_all();
    while are_there() {
        match gate.inside {
            0 => MutexGuard::unlocked(&mut gate, || std::thread::sleep(A_MOMENT)),
            _ => LEFT.wait(&mut gate),
        }
    }
    gate.is_open = false;
    true
}

/// Of this process, as the kernel counts them.
fn threads() -> u64 {
    std::fs::metadata("/proc/self/task").map_or(0, |folder| folder.nlink())
}

//! The bash logs that this gateway follows: one subscription each, however many search them, wait in them for a
//! command's end, or have a socket on them.
//!
//! A log is followed from the first use on, by one task that owns the subscription, and for as long as somebody holds
//! its [`Tail`] or used it a short while ago. The task alone drives the [`FollowedLog`]; the others look at it, and nudge
//! the task where they know of a record before it does.
//!
//! **Memory.** Of each log a [`Window`] of its newest events is kept, and what is older is read from the log. All windows
//! together have [`MOST`] events: beyond that those of the logs unused for longest shrink. Of logs that nobody uses
//! [`MOST_UNUSED`] are followed.
//!
//! **How it ends.** A follower whose log cannot be read tries again for as long as somebody uses it, also after a panic.
//! It ends once its tail is retired: unused for long, of too many unused ones the one that was so for longest, or when the
//! server stops.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use ports::retry::Backoff;
use ports::{Delivery, Error, Ports, Result, Subscription};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::{LogId, subjects};

use super::tail::Tail;
use super::window::Sum;
use crate::followed::Taken;
use crate::vital::contained;

/// Entries of a log kept in memory: about 12 MB.
const KEPT: usize = 100_000;

/// Entries of all logs: about 48 MB.
const MOST: usize = 400_000;

/// What a log keeps whose window is shrunk, unless there are very many.
const FEW: usize = 1_000;

/// Logs that are followed although nobody uses them.
const MOST_UNUSED: usize = 512;

/// After this long without use a log is no longer followed.
const IDLE: Duration = Duration::from_secs(600);

/// Before a log that cannot be followed is tried again.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));

/// All logs that are followed. Cheap to clone.
#[derive(Clone)]
pub struct Tails(Arc<Inner>);

struct Inner {
    ports: Ports,
    tasks: TaskTracker,
    drain: CancellationToken,
    followed: Mutex<HashMap<LogId, Arc<Tail>>>,
    sum: Arc<Sum>,
    most: usize,
}

impl Tails {
    /// Logs are followed in `tasks`, until `drain` is cancelled.
    #[must_use]
    pub fn new(ports: &Ports, tasks: &TaskTracker, drain: &CancellationToken) -> Self {
        Self::with_room_for(MOST, ports, tasks, drain)
    }

    /// As [`Tails::new`], with so many events of all logs in memory.
    #[must_use]
    pub fn with_room_for(most: usize, ports: &Ports, tasks: &TaskTracker, drain: &CancellationToken) -> Self {
        let (ports, tasks, drain) = (ports.clone(), tasks.clone(), drain.clone());
        Self(Arc::new(Inner { ports, tasks, drain, followed: Mutex::default(), sum: Arc::default(), most }))
    }

    /// The log, followed from now on if it was not.
    #[must_use]
    pub fn of(&self, log: LogId) -> Arc<Tail> {
        let mut followed = self.0.followed.lock();
        if let Some(tail) = followed.get(&log) {
            tail.touch();
            return tail.clone();
        }
        if followed.len() >= MOST_UNUSED {
            retire_one(&mut followed);
        }
        let tail = Arc::new(Tail::new(log.clone(), self.0.ports.clone(), KEPT, self.0.sum.clone()));
        followed.insert(log, tail.clone());
        self.0.tasks.spawn(follow(self.clone(), tail.clone()));
        tail
    }

    /// Events of all logs that are in memory.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.sum.entries()
    }

    /// Logs that are followed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.followed.lock().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets a log that nobody uses, nor has for long unless `now`; false if somebody does.
    fn retire(&self, tail: &Arc<Tail>, now: bool) -> bool {
        let mut followed = self.0.followed.lock();
        let unused = is_unused(tail) && (now || tail.unused_for() >= IDLE);
        if unused && followed.get(&tail.log).is_some_and(|known| Arc::ptr_eq(known, tail)) {
            followed.remove(&tail.log);
        }
        unused
    }

    /// Shrinks windows where all together have too much: first of logs that nobody uses, those unused for longest first.
    fn make_room(&self) {
        let most = self.0.most;
        if self.held() <= most {
            return;
        }
        let mut all: Vec<_> = {
            let followed = self.0.followed.lock();
            followed.values().map(|tail| (!is_unused(tail), tail.used(), tail.clone())).collect()
        };
        all.sort_by_key(|(is_used, used, _)| (*is_used, *used));
        let few = FEW.min(most / 2 / all.len().max(1));
        for (.., tail) in all {
            if self.held() <= most / 4 * 3 {
                return;
            }
            tail.followed.fold().shrink_to(few);
        }
    }
}

/// Makes room for one more: forgets the one that nobody has used for longest, if there is one.
fn retire_one(followed: &mut HashMap<LogId, Arc<Tail>>) {
    let unused = followed.values().filter(|tail| is_unused(tail));
    let Some(longest) = unused.max_by_key(|tail| tail.unused_for()).cloned() else { return };
    followed.remove(&longest.log);
    longest.retired.cancel();
}

/// Whether nobody holds it but the map and the task that follows it.
fn is_unused(tail: &Arc<Tail>) -> bool {
    Arc::strong_count(tail) <= 2
}

/// Keeps `tail` current until it is retired.
async fn follow(tails: Tails, tail: Arc<Tail>) {
    let mut pauses = PAUSES;
    loop {
        match contained("following a bash log", follow_once(&tails, &tail, &mut pauses)).await {
            Some(Ok(())) => return,
            Some(Err(error)) => {
                tracing::warn!(log = %tail.log, %error, "a bash log cannot be followed, trying again");
            }
            None => {}
        }
        let stops = tails.0.drain.is_cancelled();
        if tails.retire(&tail, stops) || stops {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pauses.pause()) => {}
            () = tail.retired.cancelled() => return,
        }
    }
}

/// Returns when `tail` has been retired.
async fn follow_once(tails: &Tails, tail: &Arc<Tail>, pauses: &mut Backoff) -> Result<()> {
    let mut news: Subscription = tails.0.ports.bus.subscribe(&subjects::stored(&tail.log), None).await?;
    catch_up(tails, tail).await?;
    pauses.reset();
    loop {
        tokio::select! {
            delivery = news.next() => match delivery {
                Some(Delivery::Message(message)) => {
                    match tail.followed.take_message(&message) {
                        Taken::New(()) => tails.make_room(),
                        Taken::Known => {}
                        Taken::First | Taken::Gap => catch_up(tails, tail).await?,
                    }
                }
                Some(Delivery::Lagged) => catch_up(tails, tail).await?,
                None => return Err(Error::Unavailable("the subscription ended".to_owned())),
            },
            () = tail.nudge.notified() => catch_up(tails, tail).await?,
            () = tail.retired.cancelled() => return Ok(()),
            () = pause(tails) => {
                if tails.retire(tail, tails.0.drain.is_cancelled()) {
                    return Ok(());
                }
            }
        }
    }
}

async fn catch_up(tails: &Tails, tail: &Tail) -> Result<()> {
    let end = tail.followed.end(tail.store()).await?.at;
    while !tail.followed.read_on(tail.store(), end).await? {
        tails.make_room();
    }
    tails.make_room();
    Ok(())
}

/// How long to wait before asking whether the log is still needed.
async fn pause(tails: &Tails) {
    const STOPPING: Duration = Duration::from_millis(20);
    // Requests in flight may still wait for a command's end.
    let stopping = async {
        tails.0.drain.cancelled().await;
        tokio::time::sleep(STOPPING).await;
    };
    let _ = timeout(IDLE, stopping).await;
}

//! The scheduler: who runs next, and what the time is then.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::{Exit, Here, NodeId, Order, World};
use crate::machine;

/// A world and the runtimes of its nodes.
pub struct Simulation {
    pub world: World,
    runtimes: BTreeMap<NodeId, Runtime>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was waited for is there.
    Done,
    /// Its time is over.
    Late,
    /// Nothing will happen any more.
    Still,
}

/// Runs a world in which nothing goes wrong.
///
/// # Panics
/// Where `work` does.
pub fn calm(work: impl FnOnce(&mut Simulation)) {
    // Of one process, one world at a time.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock();
    machine::take_over(0);
    work(&mut Simulation::new(World::new(Rng::with_seed(0))));
    machine::hand_back();
}

impl Drop for Simulation {
    fn drop(&mut self) {
        // Nobody waits for what they do.
        for (_, runtime) in std::mem::take(&mut self.runtimes) {
            runtime.shutdown_background();
        }
    }
}

impl Simulation {
    #[must_use]
    pub fn new(world: World) -> Self {
        Self { world, runtimes: BTreeMap::new() }
    }

    /// Goes on until `is_done`, for so long in the time of the world.
    ///
    /// # Panics
    /// Where the system gives no files for a runtime.
    pub fn run(&mut self, limit: Duration, mut is_done: impl FnMut(&World) -> bool) -> Outcome {
        let until = self.world.now() + limit;
        loop {
            self.obey();
            while let Some(node) = self.next_ready() {
                self.step(node);
                self.obey();
            }
            if is_done(&self.world) {
                return Outcome::Done;
            }
            let Some(next) = self.next_time() else { return Outcome::Still };
            if next > until {
                return Outcome::Late;
            }
            self.go_on_to(next);
        }
    }

    /// What all that has happened comes down to.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.world.lock().trace
    }

    fn obey(&mut self) {
        loop {
            let orders = std::mem::take(&mut self.world.lock().orders);
            if orders.is_empty() {
                return;
            }
            for order in orders {
                match order {
                    Order::Kill(node) => {
                        if let Some(runtime) = self.runtimes.remove(&node) {
                            runtime.shutdown_background();
                        }
                    }
                    Order::Start(node, _) if !self.world.is_there(node) => {}
                    Order::Start(node, start) => {
                        let runtime = machine::runtime().expect("a runtime");
                        let (adapter, world) = (self.world.adapter_of(node), self.world.clone());
                        let here = Here { ports: adapter.control(), adapter, node, world: world.clone() };
                        runtime.spawn(async move {
                            start(here).await;
                            world.end(node, Exit::ByItself);
                        });
                        self.runtimes.insert(node, runtime);
                        self.world.lock().ready.insert(node);
                    }
                }
            }
        }
    }

    /// Any of those who have something to do.
    fn next_ready(&self) -> Option<NodeId> {
        let mut state = self.world.lock();
        let ready: Vec<NodeId> = state.ready.iter().copied().filter(|node| state.may_run(*node)).collect();
        let node = match ready.as_slice() {
            [] => return None,
            [only] => *only,
            several => several[state.rng.usize(..several.len())],
        };
        state.ready.remove(&node);
        Some(node)
    }

    fn step(&self, id: NodeId) {
        let Some(runtime) = self.runtimes.get(&id) else { return };
        {
            let state = self.world.lock();
            machine::set(state.now, state.nodes.get(id.0).map_or(0, |node| node.ahead_ms));
        }
        let sleeps = machine::until_asleep(runtime);
        let mut state = self.world.lock();
        let timer = sleeps.map(|sleeps| state.now.saturating_add(sleeps));
        if let Some(node) = state.nodes.get_mut(id.0) {
            node.timer = timer;
        }
    }

    /// When the next thing happens.
    fn next_time(&self) -> Option<Duration> {
        let state = self.world.lock();
        let event = state.events.keys().next().map(|(time, _)| *time);
        let running = state.nodes.iter().filter(|node| node.exit.is_none() && node.stopped_until.is_none());
        let timer = running.filter_map(|node| node.timer).min();
        let next = match (event, timer) {
            (Some(event), Some(timer)) => event.min(timer),
            (event, timer) => event.or(timer)?,
        };
        Some(next.max(state.now))
    }

    /// One event of that time, and those whose timers are due by then.
    fn go_on_to(&self, time: Duration) {
        let event = {
            let mut state = self.world.lock();
            state.now = time;
            machine::set(time, 0);
            let state = &mut *state;
            for (id, node) in state.nodes.iter_mut().enumerate() {
                if node.stopped_until.is_none() && node.timer.is_some_and(|timer| timer <= time) {
                    node.timer = None;
                    state.ready.insert(NodeId(id));
                }
            }
            match state.events.first_entry() {
                Some(first) if first.key().0 <= time => Some(first.remove()),
                _ => None,
            }
        };
        if let Some(event) = event {
            event(&self.world);
        }
    }
}

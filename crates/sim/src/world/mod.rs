//! One world: its time, who is in it, what is on its way between them, and what is stored.
//!
//! All of it is one value behind a lock that is never held while a node runs. Whatever happens at a time is an *event*: a
//! request that arrives, an answer, a fault. [`Simulation`] takes one after the other and lets run whoever is concerned.

mod connection;
mod exchange;
mod network;
mod node;
mod run;
mod store;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use parking_lot::{Mutex, MutexGuard};

pub use connection::MAX_PAYLOAD;
pub use node::{Exit, Here, NodeId, Start};
pub use run::{Outcome, Simulation, calm};
pub use store::Store;

use exchange::Exchange;
use network::{Fate, Network};
use node::Node;

/// Cheap to clone.
#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

/// What happens at one time.
type Event = Box<dyn FnOnce(&World) + Send>;

/// What concerns the runtimes of nodes, which are not in the state.
enum Order {
    Start(NodeId, Start),
    Kill(NodeId),
}

struct State {
    now: Duration,
    /// Numbers events, so that of one time the first comes first.
    order: u64,
    events: BTreeMap<(Duration, u64), Event>,
    orders: Vec<Order>,
    nodes: Vec<Node>,
    ready: BTreeSet<NodeId>,
    rng: Rng,
    network: Network,
    exchange: Exchange,
    store: Store,
    /// What sandboxes are to be charged of what each node has stored, or perhaps has.
    costs: BTreeMap<NodeId, u64>,
    /// Until when something was wrong.
    troubled: Duration,
    /// Until when no gateway may come back.
    nobody_serves: Duration,
    /// Of all that has happened: two runs of a seed have the same.
    trace: u64,
}

impl World {
    /// An empty one in which all chance is that of `rng`.
    #[must_use]
    pub fn new(mut rng: Rng) -> Self {
        let network = Network::new(rng.fork());
        let state = State {
            now: Duration::ZERO,
            order: 0,
            events: BTreeMap::new(),
            orders: Vec::new(),
            nodes: Vec::new(),
            ready: BTreeSet::new(),
            network,
            exchange: Exchange::default(),
            store: Store::default(),
            costs: BTreeMap::new(),
            troubled: Duration::ZERO,
            nobody_serves: Duration::ZERO,
            rng,
            trace: 0xcbf2_9ce4_8422_2325,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    #[must_use]
    pub fn now(&self) -> Duration {
        self.lock().now
    }

    /// Has `event` happen after a while.
    pub fn after(&self, while_: Duration, event: impl FnOnce(&Self) + Send + 'static) {
        self.lock().after(while_, event);
    }

    /// What is stored now.
    pub fn stored<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        look(&self.lock().store)
    }

    /// What sandboxes are to be charged of what a node has stored, or perhaps has.
    #[must_use]
    pub fn costs(&self, node: NodeId) -> u64 {
        self.lock().costs.get(&node).copied().unwrap_or_default()
    }

    /// Until when something was wrong with anybody, of what has happened so far.
    #[must_use]
    pub fn last_trouble(&self) -> Duration {
        self.lock().troubled
    }

    /// How long no gateway may come back yet.
    #[must_use]
    pub fn nobody_serves_for(&self) -> Duration {
        let state = self.lock();
        state.nobody_serves.saturating_sub(state.now)
    }

    /// Dice of this world, for what nothing else depends on.
    #[must_use]
    pub fn dice(&self) -> Rng {
        self.lock().rng.fork()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    fn after(&mut self, while_: Duration, event: impl FnOnce(&World) + Send + 'static) {
        self.at(self.now.saturating_add(while_), event);
    }

    fn at(&mut self, time: Duration, event: impl FnOnce(&World) + Send + 'static) {
        self.order += 1;
        self.events.insert((time, self.order), Box::new(event));
    }

    /// Has `take` happen at a node once what is sent now has reached it; not at all if it is over by then.
    fn deliver(&mut self, to: NodeId, take: impl FnOnce() + Send + 'static) {
        let latency = self.network.latency(to, self.now);
        self.after(latency, move |world| world.at_node(to, take));
    }

    fn note(&mut self, what: &str) {
        for byte in what.bytes().chain(self.now.as_nanos().to_le_bytes()) {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        tracing::trace!(target: "sim", "{what}");
    }
}

impl World {
    /// Hands something to a node that is there, and lets it run.
    fn at_node(&self, node: NodeId, take: impl FnOnce()) {
        if self.lock().is_there(node) {
            // Not under the lock: what is not wanted any more is dropped by it.
            take();
            self.lock().ready.insert(node);
        }
    }
}

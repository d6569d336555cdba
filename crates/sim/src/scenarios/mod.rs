//! What happens in worlds: who is there, what they do, and what must be true afterwards.

mod cluster;
mod deputies;
mod index;
mod stores;
mod writers;

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use fastrand::Rng;
use parking_lot::Mutex;

use crate::faults::{Fault, Mix};
use crate::machine;
use crate::world::{Simulation, World};

/// One kind of world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Incarnations of a worker write one log, some of them beside each other.
    Writers,
    /// Keys and logs that several read and write, from replicas that lag behind.
    Stores,
    /// The indexes of gateways.
    Index,
    /// A whole cluster with its clients.
    Cluster,
}

/// What one seed has come to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub faults: Vec<Fault>,
    /// What was promised and is not so.
    pub broken: Vec<String>,
    /// The same for every run of a seed.
    pub trace: u64,
    /// How long it took in the time of the world.
    pub took: Duration,
}

impl Scenario {
    pub const ALL: [Self; 4] = [Self::Writers, Self::Stores, Self::Index, Self::Cluster];

    fn mix(self) -> &'static Mix {
        match self {
            Self::Writers => &writers::MIX,
            Self::Stores => &stores::MIX,
            Self::Index => &index::MIX,
            Self::Cluster => &cluster::MIX,
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What goes wrong in the world of a seed.
    #[must_use]
    pub fn faults(self, seed: u64) -> Vec<Fault> {
        self.mix().draw(&mut Rng::with_seed(!seed))
    }

    /// Runs the world of a seed, without some of its faults. To be called once in a process, by a thread that does nothing else.
    #[must_use]
    pub fn run(self, seed: u64, without: &[usize]) -> Report {
        machine::take_over(seed);
        let panics = panics();
        let mut faults = self.faults(seed);
        faults.retain(|fault| !without.contains(&fault.number));
        let mut rng = Rng::with_seed(seed);
        let world = World::new(rng.fork());
        world.expect(&faults);
        let mut simulation = Simulation::new(world);
        let mut broken = match self {
            Self::Writers => writers::run(&mut simulation, &mut rng),
            Self::Stores => stores::run(&mut simulation, &mut rng, faults.is_empty()),
            Self::Index => index::run(&mut simulation, &mut rng),
            Self::Cluster => cluster::run(&mut simulation, &mut rng, faults.is_empty()),
        };
        broken.append(&mut panics.lock());
        let (trace, took) = (simulation.trace(), simulation.world.now());
        machine::hand_back();
        Report { faults, broken, trace, took }
    }
}

/// What panics from now on, which is always a fault.
fn panics() -> Arc<Mutex<Vec<String>>> {
    let panics = Arc::<Mutex<Vec<String>>>::default();
    let noted = panics.clone();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!("{panic}");
        noted.lock().push(panic.to_string());
    }));
    panics
}

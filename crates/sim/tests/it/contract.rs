//! The ports of a world in which nothing goes wrong keep the promises of the ports.

use std::time::Duration;

use manyhands_sim::world::{Outcome, calm};
use ports::Ports;

fn run<F: Future<Output = ()> + Send + 'static>(promise: impl FnOnce(Ports) -> F + Send + 'static) {
    calm(|simulation| {
        let node = simulation.world.start("a test", |here| promise(here.ports), |_, _| {});
        let outcome = simulation.run(Duration::from_secs(600), |world| !world.is_there(node));
        assert_eq!(outcome, Outcome::Done, "at {:?}", simulation.world.now());
    });
}

ports::contract_tests!(in run);

//! Workers as containers, on a real engine. The worker is played by a small shell script.
//!
//! Needs Docker (`DOCKER_HOST`, or the usual socket) and the image `debian:bookworm-slim`, or another with a
//! shell by the name in `MANYHANDS_TEST_IMAGE`.
#![cfg(test)]

#[macro_use]
#[path = "../suite/mod.rs"]
mod suite;

mod confinement;
mod lifecycle;
mod lost_connection;
mod reconciled;
mod trying;
mod world;

mod driver {
    driver_suite!(crate::world::World);
}

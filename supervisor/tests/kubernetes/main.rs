//! Workers as pods, on an API server that is as strict as the real one and whose pods are processes. The worker is played by a
//! small shell script.
#![cfg(test)]

#[macro_use]
#[path = "../suite/mod.rs"]
mod suite;

mod ends;
mod faults;
mod machine;
mod made;
mod pending;
mod real;
mod refusals;
mod secrets;
mod world;

mod driver {
    driver_suite!(crate::world::World);
}

/// See `real.rs`.
mod driver_on_a_real_cluster {
    driver_suite!(crate::real::Real, #[ignore = "it takes a cluster"]);
}

/// The same where nobody may attach to pods.
mod driver_by_secret {
    driver_suite!(crate::world::BySecret);
}

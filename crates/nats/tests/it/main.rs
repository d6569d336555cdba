//! The NATS adapters' promises, on a real server.
#![cfg(test)]

mod buckets;
mod common;
mod contract;
mod deleting;
mod faults;
mod hostile;
mod lagging;
mod limits;
mod quota;
mod replicas;
mod set_up;
mod worker;

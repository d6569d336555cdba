//! A strict stand-in for the API server of Kubernetes, for tests: HTTP on loopback, with the refusals, races and delays of the real one.
//!
//! What clients may rely on is as the real server does it; `tests/it` compares words and codes. Pods run as a test says
//! ([`Server::on_pod`]); nodes, volumes and the collection of garbage are played by the server itself.

mod admission;
mod api;
mod cluster;
mod controllers;
mod discovery;
pub mod faults;
mod fields;
mod http;
pub mod kinds;
mod patch;
mod pods;
mod rbac;
mod reply;
pub mod security;
mod server;
pub mod settings;
pub mod status;
mod value;
mod workloads;

pub use faults::{Away, Fault};
pub use pods::Pod;
pub use server::Server;
pub use settings::{Node, Settings};
pub use status::Status;
pub use value::Look;

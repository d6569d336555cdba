//! The harness of the gateway's tests: a real gateway on a loopback port, real stores in a folder of its own, and
//! stand-ins for what is on the other side of the bus.
//!
//! | to get | write |
//! | --- | --- |
//! | one server, its store and a worker for it | `start()`; with another configuration `start_with(\|config\| …)`; with [`KEY`] as its only key `start_keyed()` |
//! | answers | [`Client`]: `get`, `post`, `delete`, `send` give status and JSON, `fetch` the whole response, and `request` is what a test adds headers to; a server, a gateway and a replica are clients, too |
//! | a conversation | `create()`, `create_from(body)`, then `say`, `run`, `info`, `until_status`; `server.conversation("w")` is one whose workspace is a folder |
//! | another gateway on the same stores | `server.replica()`; on changed stores or another bus `Gateway::start(ports, config())` |
//! | an end, and a new start on what is stored | `begin_stop()`, `stop()`, `restart()` |
//! | what the worker does | `server.worker.script(\|script\| …)`, see [`worker::Script`]; `worker.serve_files()` lets it have files, too |
//! | what the worker was told, or asks for itself | `worker.seen()`, `worker.working_copy(id)`, `worker.append_events(…)` and others in [`worker`] |
//! | a cluster: gateways, sandboxes, and a supervisor that can be told what to do | [`cluster::start`], `start_idle`, `start_on` |
//! | events as workers write them | [`events`] |
//! | bearer tokens, and all operations of the API document | [`tokens`] |
//! | a model provider | [`provider`] |
//! | the answers of the peer to calls that were recorded | [`replay::replay`] |
//! | a bus that notes, a store that stops before a write | [`noted`], [`stepped`] |
//!
//! The worker is as much of one as a gateway can tell: conversations follow a script, commands are run by `/bin/sh`, and
//! files are those of the machine. It has none of a real worker's care; whoever needs that tests the binary (`tests/it`).
//! Nothing here waits for a time: `testing::until` and `testing::eventually` ask until something holds.

pub mod client;
pub mod cluster;
pub mod config;
pub mod events;
pub mod gateway;
pub mod noted;
pub mod provider;
pub mod replay;
pub mod server;
pub mod stepped;
pub mod supervisor;
pub mod tokens;
pub mod worker;

pub use client::{Client, status_and_json};
pub use config::{Config, app, config, start_failure};
pub use events::{is_resting_snapshot, is_snapshot};
pub use gateway::Gateway;
pub use server::{KEY, Server, create_body, start, start_keyed, start_with, start_with_files};
pub use testing::{eventually, until};

//! The edge: HTTP and WebSocket in, calls over the bus out.
//!
//! Every handler extracts, makes one call and wraps the answer. Work is done by workers, which `control` finds and wakes; history is read
//! from the log; the list of conversations is held by `readmodel`. Nothing here runs a command or touches a
//! file of a workspace.

mod activity;
mod admission;
mod answer;
mod app;
mod auth;
mod bash;
pub mod config;
mod conversations;
mod cors;
mod docs;
pub mod edge;
mod error;
mod events;
mod extract;
mod feeds;
mod files;
mod git;
pub mod idempotency;
mod linger;
mod measure;
mod pings;
mod public;
mod readiness;
mod router;
mod routes;
mod schema;
mod scope;
pub mod server;
mod session;
mod sockets;
mod tokens;
mod workspace;

pub use app::App;
pub use config::Config;
pub use control::watched;
pub use error::{ApiError, ApiResult};
pub use server::{Error, run};

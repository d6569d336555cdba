//! The edge: HTTP and WebSocket in, calls over the bus out.
//!
//! Every handler extracts, makes one call and wraps the answer. Work is done by workers; history is read
//! from the log; the list of conversations is held by `readmodel`. Nothing here runs a command or touches a
//! file of a workspace.

mod activity;
mod app;
mod auth;
mod bash;
mod broker;
mod calls;
pub mod config;
mod conversations;
mod cors;
mod docs;
pub mod edge;
mod error;
mod events;
mod extract;
mod files;
mod git;
pub mod idempotency;
mod linger;
mod measure;
mod public;
mod router;
mod routes;
mod sandboxes;
mod schema;
mod scope;
pub mod server;
mod session;
mod sockets;
mod tokens;
mod workspace;

pub use app::App;
pub use config::Config;
pub use error::{ApiError, ApiResult};
pub use server::{Error, run};

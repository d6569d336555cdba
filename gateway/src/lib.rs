//! The edge: HTTP and WebSocket in, calls over the bus out.
//!
//! Every handler extracts, makes one call and wraps the answer. What is done to conversations and sandboxes is decided in
//! `control`, which finds and wakes their workers; what is known of them is kept in `readmodel`. Nothing here runs a
//! command or touches a file of a workspace.

mod about;
mod admission;
mod answer;
mod app;
mod auth;
mod bash;
pub mod config;
mod conversations;
mod cors;
mod described;
mod docs;
mod error;
mod events;
mod extract;
mod feeds;
mod files;
mod front;
mod gate;
mod git;
mod handles;
pub mod idempotency;
mod linger;
mod measure;
mod offer;
mod pings;

pub mod edge;
mod readiness;
mod reading;
mod router;
mod schema;
mod scope;
pub mod server;
mod session;
mod sockets;
mod tokens;
mod words;
mod workspace;

pub use app::App;
pub use config::Config;
pub use error::{ApiError, ApiResult};
pub use server::{Checked, Error, check, run};

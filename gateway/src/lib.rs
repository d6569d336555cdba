//! The edge: HTTP and WebSocket in, calls over the bus out.
//!
//! Every handler extracts, makes one call and wraps the answer. Work is done by workers; history is read
//! from the log; the list of conversations is held by [`index`]. Nothing here runs a command or touches a
//! file of a workspace.

pub mod activity;
pub mod app;
pub mod auth;
pub mod bash;
mod calls;
pub mod config;
pub mod conversations;
pub mod cors;
pub mod docs;
pub mod edge;
pub mod error;
pub mod events;
pub mod extract;
pub mod files;
pub mod git;
pub mod history;
pub mod index;
mod linger;
pub mod public;
pub mod router;
pub mod routes;
pub mod schema;
pub mod scope;
pub mod server;
pub mod session;
pub mod sockets;
pub mod workspace;

pub use app::App;
pub use config::Config;
pub use error::{ApiError, ApiResult};
pub use server::{Error, run};

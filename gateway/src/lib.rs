//! The edge: HTTP and WebSocket in, calls over the bus out.
//!
//! Every handler extracts, makes one call and wraps the answer. What is done to conversations and sandboxes is decided in
//! `control`, which finds and wakes their workers; what is known of them is kept in `readmodel`. Nothing here runs a
//! command or touches a file of a workspace.

mod about;
mod acp;
mod admission;
mod agent_profiles;
mod answer;
mod app;
mod apps;
mod auth;
mod bash;
mod canvas;
pub mod config;
mod connections;
mod console;
mod conversations;
mod cors;
mod described;
mod docs;
pub mod dormant;
pub mod edge;
mod editor;
mod error;
mod etag;
mod events;
mod expose;
mod extract;
mod facade;
mod feeds;
mod files;
mod front;
mod gate;
mod git;
mod handles;
mod hooks;
pub mod idempotency;
mod ingress;
mod init_key;
mod installing;
mod linger;
mod llm;
mod mcp;
mod measure;
mod media_type;
mod meta_profiles;
mod offer;
mod pings;
mod plugins;
mod profiles;
mod rates;
mod readiness;
mod reading;
mod repositories;
mod rooms;
mod router;
mod schema;
mod scope;
mod secrets;
pub mod server;
mod session;
mod settings;
mod skills;
mod sockets;
mod sub_agents;
mod tokens;
mod trickle;
mod ui;
mod words;
mod workspace;
mod workspaces;

pub use app::App;
pub use config::Config;
pub use error::{ApiError, ApiResult};
pub use server::{Checked, Error, check, run};

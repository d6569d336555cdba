//! The words every part of Manyhands speaks: ids, events, the conversation record and its projection,
//! and the calls between gateway and worker. Pure data and pure functions; no I/O, no clock of its own
//! except [`time`].

pub mod acp;
pub mod agent;
pub mod announced;
pub mod app;
pub mod bash;
pub mod branch;
pub mod brokering;
pub mod brought;
pub mod buckets;
pub mod calls;
pub mod classify;
pub mod content;
pub mod conversation;
mod depth;
pub mod event;
pub mod extensions;
pub mod files;
#[cfg(test)]
mod fuzz;
pub mod git;
pub mod goal;
mod hex;
pub mod ids;
pub mod known_values;
pub mod log;
mod log_id;
pub mod mcp;
pub mod model;
pub mod peer;
mod percent;
pub mod placement;
pub mod policy;
pub mod resources;
pub mod secrets;
pub mod service;
pub mod stats;
mod status;
pub mod subjects;
pub mod time;
pub mod tool;
pub mod worktree;

pub use content::{Content, Message, Role};
pub use depth::depth;
pub use event::{Event, EventBody, Source};
pub use hex::hex;
pub use ids::{ConversationId, Epoch, EventId, Life, SandboxId, Seq, TenantId};
pub use log_id::{BashScope, LogId};
pub use percent::percent_decoded;

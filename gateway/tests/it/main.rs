//! The gateway's promises: real HTTP on loopback, real stores, workers that are as much of one as a test needs.
#![cfg(test)]

mod agent_profiles;
mod auth;
mod bash;
mod broker;
mod conversations;
mod deleting;
mod described;
mod edge;
mod editor;
mod events;
mod facade;
mod files;
mod first_messages;
mod harness;
mod hostile;
mod idempotency;
mod idempotency_commands;
mod inside;
mod jwt;
mod kept_secrets;
mod launch;
mod metrics;
mod placing;
mod repositories;
mod sandboxes;
mod secrets;
mod settings;
mod sockets;
mod sockets_bash;
mod sockets_closing;
mod sweep;
mod tenants;
mod unheard;
mod workspaces;

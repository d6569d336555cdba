//! The gateway's promises: real HTTP on loopback, real stores, workers that are as much of one as a test needs.
#![cfg(test)]

mod auth;
mod bash;
mod broker;
mod cluster;
mod common;
mod conversations;
mod deleting;
mod described;
mod edge;
mod events;
mod files;
mod first_messages;
mod hostile;
mod idempotency;
mod idempotency_commands;
mod inside;
mod jwt;
mod kit;
mod metrics;
mod placing;
mod provider;
mod running;
mod sandboxes;
mod secrets;
mod sockets;
mod sockets_bash;
mod sockets_closing;
mod sweep;
mod tenants;
mod tokens;

//! Who may sign in to NATS and what they may do there, tried on a real server.
#![cfg(test)]

mod cluster;
mod permissions;
mod revocation;
mod roles;
mod sign_in;

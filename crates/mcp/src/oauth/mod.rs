//! The login that servers on the network ask for: OAuth 2.1 with proof keys, in two halves.
//!
//! ```text
//!   begin   the server refuses (Challenge) ─▶ who gives out tokens for it (Provider) ─▶ who we are there (Client)
//!           ─▶ a URL for the user's browser, and Pending, which is kept sealed
//!   finish  the browser comes back with a code ─▶ tokens (State)
//! ```
//!
//! What is discovered is what the server says, so everything is called through `outbound`, at private addresses only where the
//! server is at one itself, and only an `http` or `https` address is given to a browser. The provider must be the one that the
//! server names, and the server the one whose tokens it gives out: otherwise a server could have a user log in for it somewhere
//! else. A server that names no provider is its own.
//!
//! Tokens are renewed where they came from. Nobody is asked where that is: what a login has left says it.

mod call;
mod client;
mod login;
mod provider;
mod state;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use login::{Pending, Wish, begin, finish, refresh};
pub use provider::Provider;
pub use state::State;

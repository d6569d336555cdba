//! A client of the Model Context Protocol: tools of servers, listed and called, and the login that servers on the network ask
//! for.
//!
//! ```text
//!   Session ── initialize, tools/list, tools/call ──▶ Speaker
//!                 many questions at once               ├─ jsonrpc::Handle   a program, for as long as it lives
//!                 one at a time, to try a server out   └─ jsonrpc::Peer, over a Transport
//!                                                           ├─ Lines   standard input and output of a program
//!                                                           ├─ Http    streamable HTTP: each message a POST
//!                                                           └─ Sse     its predecessor: one stream for all answers
//!   oauth::begin ─▶ a URL for the user's browser, and what is to be kept until it comes back ─▶ oauth::finish ─▶ tokens
//! ```
//!
//! Servers are named by users, so everything on the network goes through `outbound`, and headers, which hold credentials,
//! are sent to the origin that the user has named and to no other, whatever a server answers. Nothing that a client is told
//! holds a URL, for its query may be a credential. Programs are started by whoever has the rights for it, and handed in as
//! their input and output.
//!
//! A login is a value that can be stored between its two halves ([`oauth::Pending`]): any gateway can finish what another
//! one has begun.

mod challenge;
mod contents;
mod error;
mod events;
mod http;
mod listed;
pub mod oauth;
mod probe;
mod remote;
mod session;
mod speaker;
mod sse;
mod transport;

pub use challenge::Challenge;
pub use error::Error;
pub use http::Http;
pub use listed::Listed;
pub use probe::probe;
pub use remote::{Remote, probe_remote};
pub use session::{Answer, Session};
pub use speaker::Speaker;
pub use sse::Sse;
pub use transport::Transport;

//! Request and answer over the bus: `call` asks, `serve` answers, an envelope of JSON with a blob beside it travels.

mod address;
mod ages;
#[cfg(test)]
mod away;
mod call;
mod envelope;
mod fault;
mod outbox;
mod room;
mod serve;
mod traces;
mod watch;

pub use address::Address;
pub use call::{call, call_patiently};
pub use envelope::{VERSION, departed, overloaded};
pub use fault::{Code, Fault, Reason};
pub use room::{Limits, Permit, Room};
pub use serve::{Call, Server};
pub use traces::{Traces, carry_traces};
pub use watch::{Event, Watch, unwatched};

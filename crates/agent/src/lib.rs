//! The agent loop as a state machine: inputs go in, effects come out, in order. It does no I/O and has no
//! clock and no randomness of its own ([`Env`] gives them), so that every run can be replayed in a test.
//!
//! The caller performs the effects of one [`Agent::handle`] call in order before it gives the next input
//! that depends on them. What is appended is all there is to know: an agent built anew from the log goes
//! on where the old one stood.
//!
//! Not here: talking to models, running tools, storing events.

mod act;
mod agent;
mod answer;
mod bounds;
mod branch;
mod calls;
mod condense;
mod confirm;
mod convert;
mod ending;
mod failure;
mod goal;
mod journal;
mod message;
mod observation;
mod past;
mod pause;
mod prompt;
mod protocol;
mod pyjson;
mod recover;
mod run;
mod said;
mod schema;
mod settings;
mod stuck;
#[cfg(test)]
mod tests;
pub mod title;
mod trial;
mod view;

pub use agent::Agent;
pub use past::Past;
pub use protocol::{Effect, Env, Input, LogItem, Refusal, Setup, ToolOutcome};
pub use recover::GivenUp;

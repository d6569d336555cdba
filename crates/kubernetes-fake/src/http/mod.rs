//! The server's door: HTTP on loopback, with tokens, faults and upgrades.

mod answer;
mod listen;

pub use answer::Door;
pub use listen::listen;

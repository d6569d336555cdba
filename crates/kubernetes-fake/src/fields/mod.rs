//! What the server does with fields of objects: fills in what is not said, and refuses what cannot be.

pub mod defaults;
pub mod immutable;
pub mod names;
mod networks;
pub mod pods;
pub mod quantity;
pub mod selectors;
pub mod validation;

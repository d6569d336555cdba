//! What readers see of a store that is slow, and of a bus that loses what it carries.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod doubles;
mod faults;
mod keeping_up;
mod pages;
mod sharing;
mod tails;

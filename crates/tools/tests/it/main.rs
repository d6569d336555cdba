//! The tools' promises, with real shells and files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

mod catalogue;
mod cost;
mod file_editor;
mod healing;
mod interrupt;
mod offspring;
mod set;
mod terminal;
mod unfit;

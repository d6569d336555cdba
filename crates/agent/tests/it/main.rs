//! The loop with the real client of models, and a provider that refuses what any provider would.
#![cfg(test)]

mod draw;
mod moves;
mod provider;
mod sequences;
mod tools;
mod world;

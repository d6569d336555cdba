//! The simulator's own promises: its ports are as good as those of the adapters, and a seed is a world.
#![cfg(test)]

mod command;
mod contract;
mod leaving;
mod mutants;
mod repeating;
mod seeds;
mod shrinking;

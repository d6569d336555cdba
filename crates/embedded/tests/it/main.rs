//! The embedded store's promises, on real folders and through real crashes.
#![cfg(test)]

mod common;
mod contract;
mod crash;
mod damage;
mod directory;
mod full_disk;
mod log_writer;
mod model;
mod scan;

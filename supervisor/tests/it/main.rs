//! The supervisor's promises that need real processes.
#![cfg(test)]

mod process;

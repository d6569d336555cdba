//! What readers see of a store that is slow, and of a bus that loses what it carries.
#![cfg(test)]

mod doubles;
mod faults;
mod keeping_up;
mod lagging;
mod news;
mod pages;
mod sharing;
mod tails;

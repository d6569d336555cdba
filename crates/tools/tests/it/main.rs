//! The tools' promises, with real shells and files.
#![cfg(test)]

mod catalogue;
mod cost;
mod extensions;
mod file_editor;
mod folder;
mod healing;
mod interrupt;
mod kept;
mod leftover;
mod offspring;
mod rough;
mod set;
mod terminal;
mod unfit;

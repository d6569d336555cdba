//! The tools' promises, with real shells and files.
#![cfg(test)]

mod bench;
mod bounds;
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
mod parity;
mod patch;
mod places;
mod plain_files;
mod planning;
mod rough;
mod search;
mod set;
mod terminal;
mod unfit;

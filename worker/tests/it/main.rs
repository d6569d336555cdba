//! The worker's promises: real actors, shells and files on the embedded store, a scripted model.
#![cfg(test)]

mod asides;
mod branches;
mod commands;
mod deleted;
mod faults;
mod goals;
mod lease;
mod long;
mod recovery;
mod remembering;
mod rest;
mod secrets;
mod services;
mod services_acp;
mod services_app;
mod services_app_kept;
mod services_app_places;
mod services_archive;
mod services_bash;
mod services_bash_ends;
mod services_editor;
mod services_extensions;
mod services_files;
mod services_git;
mod services_git_hostile;
mod services_git_links;
mod services_git_makings;
mod services_git_worktrees;
mod services_mcp;
mod snapshots;
mod support;

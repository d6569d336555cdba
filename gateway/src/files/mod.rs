//! Files of the sandbox: up, down, folders, archives. The worker reads and writes; here is the HTTP of it.

mod archive;
mod cage;
mod download;
mod folders;
mod multipart;
mod range;
mod serve;
mod trajectory;
mod transfer;
mod upload;
mod zip;

use crate::described::{Routes, routes};

use cage::cage;
pub(crate) use serve::serve;
pub(crate) use transfer::stat;

/// Below `/api/file` and below a conversation's `/file`.
pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(upload::upload_file_query))
        .routes(routes!(download::download_file_query))
        .routes(routes!(folders::create_directory))
        .routes(routes!(archive::archive_directory))
        .routes(routes!(trajectory::download_trajectory))
}

/// Below `/api/file` only.
pub fn global_routes() -> Routes {
    Routes::new().routes(routes!(folders::get_home_directory)).routes(routes!(folders::search_subdirs))
}

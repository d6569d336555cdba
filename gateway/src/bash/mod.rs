//! Commands run over the API. The worker runs them and stores what they print; the gateway reads the log.

mod joined;
mod page;
mod run;
mod search;

use crate::described::{Routes, routes};

/// Below `/api/bash` and below a conversation's `/bash`.
pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(run::start_bash_command))
        .routes(routes!(run::execute_bash_command))
        .routes(routes!(run::stop_bash_command))
        .routes(routes!(run::clear_all_bash_events))
        .routes(routes!(search::search_bash_events))
        .routes(routes!(search::get_bash_event))
        .routes(routes!(search::batch_get_bash_events))
}

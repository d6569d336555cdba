//! The conversations over REST: creating, listing, driving and deleting them.

mod agent_source;
mod branches;
mod children;
mod control;
mod create;
mod create_body;
mod goal;
mod make;
mod models;
mod other_agents;
mod read;
mod runtime;
mod secrets;
mod stream;
mod trace_headers;
mod update;
mod why;
mod worktree_options;

use crate::described::{Routes, routes};

pub(crate) use self::control::run_fault;
pub(crate) use self::make::make;
pub(crate) use self::read::last_word;
pub(crate) use self::trace_headers::check as check_trace_headers;

pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(create::start_conversation, read::batch_get_conversations))
        .routes(routes!(read::search_conversations))
        .routes(routes!(read::count_conversations))
        .routes(routes!(stream::stream_conversations))
        .routes(routes!(read::get_conversation, update::update_conversation, update::delete_conversation))
        .routes(routes!(read::get_agent_final_response))
        .routes(routes!(runtime::get_runtime))
        .routes(routes!(runtime::reprovision_runtime))
        .routes(routes!(why::get_why))
        .routes(routes!(control::run_conversation))
        .routes(routes!(control::pause_conversation))
        .routes(routes!(control::interrupt_conversation))
        .routes(routes!(control::set_confirmation_policy))
        .routes(routes!(control::set_security_analyzer))
        .routes(routes!(secrets::update_secrets))
        .routes(routes!(models::ask_agent))
        .routes(routes!(models::condense_conversation))
        .routes(routes!(models::switch_llm))
        .routes(routes!(models::switch_profile))
        .routes(routes!(branches::navigate_conversation))
        .routes(routes!(branches::fork_conversation))
        .routes(routes!(children::start_child_conversation))
        .routes(routes!(goal::start_goal))
        .routes(routes!(goal::stop_goal))
        .routes(routes!(goal::resume_goal))
        .routes(routes!(other_agents::load_plugin))
        .routes(routes!(other_agents::switch_acp_model))
}

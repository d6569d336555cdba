//! The list of rooms: one for each kind of thing beside conversations, commands and files. Each has its own routes, and says
//! what clients may be told that it can do.

use axum::Extension;

use crate::described::Routes;
use crate::extract::JsonLimit;
use crate::{
    App, acp, agent_profiles, apps, canvas, connections, editor, facade, hooks, llm, mcp, meta_profiles,
    plugins, profiles, repositories, secrets, settings, skills, sub_agents, workspaces,
};

/// What is kept has 4 MiB at most. A body of many small values takes a hundred times its length of memory.
const MOST_BODY: JsonLimit = JsonLimit((4 << 20) + (64 << 10));

/// Guarded as everything below `/api`.
pub fn routes() -> Routes {
    Routes::new()
        .merge(acp::routes())
        .merge(agent_profiles::routes())
        .merge(apps::routes())
        .merge(canvas::routes())
        .merge(connections::routes())
        .merge(editor::routes())
        .merge(hooks::routes())
        .merge(llm::routes())
        .merge(meta_profiles::routes())
        .merge(plugins::routes())
        .merge(profiles::routes())
        .merge(repositories::routes())
        .merge(secrets::routes())
        .merge(settings::routes())
        .merge(skills::routes())
        .merge(sub_agents::routes())
        .merge(workspaces::routes())
        .map(|router| router.route_layer(Extension(MOST_BODY)))
}

/// The same of those whose answers hold what a login has come to: they are not kept, also for who would send a call again.
pub fn unkept_routes() -> Routes {
    mcp::routes().merge(llm::unkept_routes()).map(|router| router.route_layer(Extension(MOST_BODY)))
}

/// Those with guards of their own.
pub fn own_routes(app: Option<&App>) -> Routes {
    apps::own_routes(app).merge(facade::own_routes(app))
}

/// What `/server_info` says of all of them.
pub fn capabilities() -> impl Iterator<Item = &'static str> {
    let all = [
        acp::CAPABILITIES,
        agent_profiles::CAPABILITIES,
        apps::CAPABILITIES,
        canvas::CAPABILITIES,
        connections::CAPABILITIES,
        editor::CAPABILITIES,
        facade::CAPABILITIES,
        hooks::CAPABILITIES,
        llm::CAPABILITIES,
        mcp::CAPABILITIES,
        meta_profiles::CAPABILITIES,
        plugins::CAPABILITIES,
        profiles::CAPABILITIES,
        repositories::CAPABILITIES,
        secrets::CAPABILITIES,
        settings::CAPABILITIES,
        skills::CAPABILITIES,
        sub_agents::CAPABILITIES,
        workspaces::CAPABILITIES,
    ];
    all.into_iter().flatten().copied()
}

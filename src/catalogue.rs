//! The tools a user may give to an agent, as the API shows them.

use gateway::config::ToolEntry;
use tools::Catalogue;

pub fn tools() -> Vec<ToolEntry> {
    Catalogue::standard().entries().iter().filter_map(entry).collect()
}

fn entry(tool: &tools::Entry) -> Option<ToolEntry> {
    Some(ToolEntry {
        name: tool.name.to_owned(),
        user_selectable: tool.user_selectable,
        usable: Some(true),
        description: Some(tool.summary?.to_owned()),
        in_default_set: tool.in_default_set,
    })
}

//! The tools a user may give to an agent, as the catalogue of the API lists them.

use gateway::config::ToolEntry;

const TOOLS: [(&str, &str); 3] = [
    ("terminal", "Runs commands in a shell that stays"),
    ("file_editor", "Views, creates and edits files"),
    ("task_tracker", "Keeps a list of tasks"),
];

pub fn tools() -> Vec<ToolEntry> {
    TOOLS.into_iter().map(|(name, description)| entry(name, description)).collect()
}

fn entry(name: &str, description: &str) -> ToolEntry {
    ToolEntry {
        name: name.to_owned(),
        user_selectable: true,
        usable: Some(true),
        description: Some(description.to_owned()),
        in_default_set: true,
    }
}

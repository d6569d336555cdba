//! Skills, plugins and sub-agents: what is written in files for agents to know and to use.
//!
//! All of it is made by people or by agents and belongs to whoever works in the folder: it is read with bounds, and nothing of it
//! is ever run here. What cannot be read is left out and logged, so that one bad file takes nothing from the others. What a
//! caller gets are plain values (`types::extensions`); where they come from (a project, a home, a fetched folder) is the
//! caller's to say.

pub mod folder;
pub mod front_matter;
pub mod marketplace;
pub mod plugin;
pub mod project;
pub mod skill;
pub mod source;
pub mod sub_agent;
mod yaml;

/// Why something is left out.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("it is no text")]
    NoText,
    #[error("its front matter is no YAML, or is too much of it")]
    FrontMatter,
    #[error("`{0}` is not of the right type")]
    Field(&'static str),
    #[error("its name must be of small letters, digits and single hyphens, and that of its folder")]
    Name,
    #[error("it is not there")]
    Missing,
    #[error("it leads out of its folder")]
    Outside,
}

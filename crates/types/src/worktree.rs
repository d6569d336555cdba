//! Working trees that conversations have of a repository, each for itself.
//!
//! Each making of one has a [`Place`], a folder of its own that nothing else ever has: not another making for the same
//! conversation, nor one for a later conversation with its id. So whoever makes or removes a working tree, however late,
//! touches no other.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::ConversationId;

/// A working tree that was made for a conversation. Others may work in it, too: copies of it, say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worktree {
    pub conversation: ConversationId,
    /// The top of it, in the folder that is its place.
    pub root: String,
    /// Where the conversation works.
    pub folder: String,
    pub branch: String,
}

impl Worktree {
    /// `None` where its top is in none.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        let folder = Path::new(&self.root).parent()?.file_name()?;
        folder.to_str()?.parse().ok().filter(|place: &Place| place.conversation == self.conversation)
    }
}

/// Where one making of a working tree is, by the name of the folder: `<id>-<8 hexadecimal digits>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Place {
    pub conversation: ConversationId,
    making: u32,
}

impl Place {
    /// One that nothing has yet.
    #[must_use]
    pub fn fresh(conversation: ConversationId) -> Self {
        Self { conversation, making: Uuid::new_v4().as_fields().0 }
    }

    /// The name of the branch, for where there is one by the name that was wished for.
    #[must_use]
    pub fn other_branch(&self, wished: &str) -> String {
        format!("{wished}-{:08x}", self.making)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08x}", self.conversation, self.making)
    }
}

#[derive(Debug)]
pub struct NoPlace;

impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the place of a working tree")
    }
}

impl std::error::Error for NoPlace {}

impl FromStr for Place {
    type Err = NoPlace;

    /// Only as it is written.
    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (conversation, making) = text.rsplit_once('-').ok_or(NoPlace)?;
        let conversation = conversation.parse().map_err(|_| NoPlace)?;
        let place = Self { conversation, making: u32::from_str_radix(making, 16).map_err(|_| NoPlace)? };
        if place.to_string() == text { Ok(place) } else { Err(NoPlace) }
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

impl TryFrom<String> for Place {
    type Error = NoPlace;

    fn try_from(text: String) -> Result<Self, NoPlace> {
        text.parse()
    }
}

/// The commit that a working tree begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorktreeBase {
    /// Of the branch that is the remote's first, as it was fetched last; else of `main` or `master`; else as `Head`.
    #[default]
    DefaultBranch,
    /// The one that is checked out.
    Head,
    /// Of a branch or a tag, or itself.
    Ref(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_only_as_it_is_written() {
        let place = Place::fresh(ConversationId::random());
        let text = place.to_string();
        assert_eq!(text.parse::<Place>().unwrap(), place);
        for other in
            [text.to_uppercase(), place.conversation.to_string(), format!("{text}/.."), format!("{text}0")]
        {
            assert!(other == text || other.parse::<Place>().is_err(), "{other}");
        }
    }

    #[test]
    fn a_working_tree_has_no_place_of_another_conversation() {
        let (id, other) = (ConversationId::random(), Place::fresh(ConversationId::random()));
        let own = Place::fresh(id);
        let tree = |place: String| Worktree {
            conversation: id,
            root: format!("/trees/{place}/repo"),
            folder: String::new(),
            branch: String::new(),
        };
        assert_eq!(tree(own.to_string()).place(), Some(own));
        assert_eq!(tree(other.to_string()).place(), None);
        assert_eq!(tree(id.to_string()).place(), None);
    }
}

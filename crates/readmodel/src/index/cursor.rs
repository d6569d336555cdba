//! Where a page of conversations begins: the conversation, and its place in the order at that time. So who pages on does
//! not begin again where that one has been deleted or has moved meanwhile.

use std::fmt;
use std::sync::Arc;

use types::ConversationId;
use uuid::Uuid;

/// As long as times are.
const LONGEST: usize = 40;

/// Its text is the id in hex, a point, and the time by which the order has it. The id alone means wherever the
/// conversation is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(super) id: ConversationId,
    pub(super) at: Option<Arc<str>>,
}

impl Cursor {
    /// `None`: no text of a cursor.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, at) = text.split_once('.').map_or((text, None), |(id, at)| (id, Some(at)));
        let id = ConversationId(Uuid::parse_str(id).ok()?);
        match at {
            None => Some(Self { id, at: None }),
            Some(at) => (at.len() <= LONGEST).then(|| Self { id, at: Some(at.into()) }),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id.hex())?;
        self.at.iter().try_for_each(|at| write!(f, ".{at}"))
    }
}

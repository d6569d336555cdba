//! Which secret key the server has: who writes beside one has to have the same, and can find that out where nothing is sealed.
//!
//! A server notes at its start a text that nobody knows anything by, sealed with its key. What opens that with a previous key,
//! or not at all, is not the server of this store.

use ports::Expect;
use types::buckets::{KEY_NOTE, PROBE};

use super::Shelves;

const TEXT: &str = "manyhands";
const CONTEXT: &str = "the key of the server";

impl Shelves {
    /// Notes the key that is set, in the place of another.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn note_key(&self) -> ports::Result<()> {
        if self.has_noted_key().await? == Some(true) {
            return Ok(());
        }
        let sealed = self.vault.seal(TEXT, CONTEXT);
        self.kv.put(PROBE, KEY_NOTE, sealed.into(), Expect::Anything).await.map(drop)
    }

    /// Whether the key that is set is the one that was noted; `None` where none was.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn has_noted_key(&self) -> ports::Result<Option<bool>> {
        let noted = self.kv.get(PROBE, KEY_NOTE).await?;
        let is_current = |sealed: &str| matches!(self.vault.renewed(sealed, CONTEXT), Ok(None));
        Ok(noted.map(|noted| std::str::from_utf8(&noted.value).is_ok_and(is_current)))
    }
}

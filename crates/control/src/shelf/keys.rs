//! Which keys open what is stored, and which one the server has noted.
//!
//! A server notes a text that nobody knows anything by, sealed with its key: what does not open that with its current key is not
//! the server of this store. Below that stand the notes which it has followed as ones of its previous keys.

use std::ops::AddAssign;

use futures_util::TryStreamExt;
use ports::Expect;
use types::buckets::{KEY_NOTE, PROBE};
use vault::Vault;

use super::{Kept, Shelves};

const TEXT: &str = "manyhands";
const CONTEXT: &str = "the key of the server";
/// Notes that are kept.
const NOTES: usize = 16;

/// How many sealed texts there are, by what opens them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SealedWith {
    pub current: u64,
    pub previous: u64,
    pub unknown: u64,
}

impl SealedWith {
    /// Counts one. What is no sealed text is none.
    pub fn count(&mut self, vault: &Vault, sealed: &str, context: &str) {
        match vault.renewed(sealed, context) {
            Ok(None) => self.current += 1,
            Ok(Some(_)) => self.previous += 1,
            Err(vault::Error::WrongKey) => self.unknown += 1,
            Err(vault::Error::Malformed) => {}
        }
    }
}

impl AddAssign for SealedWith {
    fn add_assign(&mut self, other: Self) {
        self.current += other.current;
        self.previous += other.previous;
        self.unknown += other.unknown;
    }
}

/// The key that a server has noted, as far as it is known here.
pub(crate) struct Noted {
    pub by: NotedBy,
    /// Whether the key that is set was noted before, and a server that knew it as a previous one has noted another.
    pub is_followed: bool,
    /// The notes, the latest one first.
    notes: Vec<String>,
    expect: Expect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotedBy {
    Nobody,
    Current,
    Previous,
    Unknown,
}

impl Shelves {
    /// # Errors
    /// Those of the store.
    pub(crate) async fn noted_key(&self) -> ports::Result<Noted> {
        let Some(stored) = self.kv.get(PROBE, KEY_NOTE).await? else {
            let (by, notes) = (NotedBy::Nobody, Vec::new());
            return Ok(Noted { by, is_followed: false, notes, expect: Expect::Absent });
        };
        let notes: Vec<String> =
            String::from_utf8_lossy(&stored.value).lines().take(NOTES).map(str::to_owned).collect();
        let by = notes.first().map_or(NotedBy::Unknown, |latest| self.noted_by(latest));
        let is_followed = notes.iter().skip(1).any(|note| self.noted_by(note) == NotedBy::Current);
        Ok(Noted { by, is_followed, notes, expect: Expect::Revision(stored.revision) })
    }

    /// Notes the key that is set in the place of what was found. False where another one was noted meanwhile.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn note_key(&self, found: &Noted) -> ports::Result<bool> {
        // A key that was noted and is not known here has not been followed: it is replaced.
        let followed = found.notes.iter().skip(usize::from(found.by != NotedBy::Previous));
        let followed = followed.filter(|note| self.noted_by(note) != NotedBy::Current).cloned();
        let mut notes = vec![self.vault.seal(TEXT, CONTEXT)];
        notes.extend(followed.take(NOTES - 1));
        match self.kv.put(PROBE, KEY_NOTE, notes.join("\n").into(), found.expect).await {
            Ok(_) => Ok(true),
            Err(ports::Error::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn noted_by(&self, note: &str) -> NotedBy {
        match self.vault.renewed(note, CONTEXT) {
            Ok(None) => NotedBy::Current,
            Ok(Some(_)) => NotedBy::Previous,
            Err(_) => NotedBy::Unknown,
        }
    }

    /// What all tenants keep of one kind. Writes nothing.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn sealed_with<T: Kept>(&self) -> ports::Result<SealedWith> {
        let (mut each, mut with) = (self.each::<T>(), SealedWith::default());
        while let Some((tenant, kept)) = each.try_next().await? {
            let Some(mut kept) = kept else { continue };
            let sealing = self.sealing::<T>(&tenant);
            kept.each_sealed(&mut |sealed| sealing.count(sealed, &mut with));
        }
        Ok(with)
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.vault
    }
}

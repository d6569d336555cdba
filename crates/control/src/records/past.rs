//! Values that secrets of a conversation had, or that were looked up for them. They may stand in its files and in the
//! memory of its programs, so every worker to come hides them still.

use std::collections::HashSet;

use ports::rpc::{Code, Fault};
use types::conversation::ConversationRecord;
use types::known_values::KnownValues;
use types::secrets::{MAX_SOURCE_BYTES, MAX_SOURCES, SecretSource};
use types::{ConversationId, SandboxId};

use super::{Records, Sealer};

impl Records {
    /// Keeps what a worker has looked up. Only what it can have looked up is taken.
    pub(super) async fn keep_hidden(
        &self,
        sandbox: &SandboxId,
        conversation: ConversationId,
        values: &KnownValues,
    ) -> Result<(), Fault> {
        if values.iter().any(|(_, value)| value.len() > MAX_SOURCE_BYTES) {
            return Err(Fault::new(Code::Invalid, "The value of a secret is too long."));
        }
        if values.len() > MAX_SOURCES {
            return Err(Fault::new(Code::Invalid, "No conversation has so many secrets."));
        }
        let sealer = Sealer::new(&self.0.vault, conversation);
        let keep = |record: &mut ConversationRecord| {
            let is_looked_up =
                |name: &str| matches!(record.secrets.get(name), Some(SecretSource::LookupSecret { .. }));
            let looked_up: Vec<_> = values.iter().filter(|(name, _)| is_looked_up(name)).collect();
            if record.sandbox != *sandbox || looked_up.is_empty() {
                return false;
            }
            sealer.keep_past(&mut record.past_secrets, &looked_up);
            true
        };
        Ok(self.0.index.update_any(conversation, keep).await?)
    }
}

impl Sealer<'_> {
    /// Replaces the secret of this name, and keeps the value it had. `plain` is what is `sealed`.
    pub(crate) fn replace(
        &self,
        record: &mut ConversationRecord,
        name: &str,
        plain: &SecretSource,
        sealed: SecretSource,
    ) {
        let Some(SecretSource::StaticSecret { value: Some(old), .. }) =
            record.secrets.insert(name.to_owned(), sealed)
        else {
            return;
        };
        let is_new = |old: &String| !matches!(plain, SecretSource::StaticSecret { value: Some(new), .. } if new == old);
        if let Some(old) = self.open(&old).filter(is_new) {
            self.keep_past(&mut record.past_secrets, &[(name, &old)]);
        }
    }

    /// What is kept, in plain text; without what does not open.
    pub(super) fn open_past(&self, past: &KnownValues) -> KnownValues {
        let mut opened = KnownValues::default();
        opened.extend(past.iter().filter_map(|(name, sealed)| Some((name.to_owned(), self.open(sealed)?))));
        opened
    }

    /// What is kept, as the conversation of `other` keeps it; without what does not open.
    pub(crate) fn past_for(&self, other: &Sealer<'_>, past: &KnownValues) -> KnownValues {
        let mut moved = KnownValues::default();
        let opened = self.open_past(past);
        moved.extend(opened.iter().map(|(name, value)| (name.to_owned(), other.seal(value))));
        moved
    }

    /// Each of those that are kept is opened once, however many come.
    fn keep_past(&self, past: &mut KnownValues, values: &[(&str, &str)]) {
        let names: HashSet<&str> = values.iter().map(|(name, _)| *name).collect();
        let come_again: HashSet<(&str, &str)> = values.iter().copied().collect();
        past.retain(|name, sealed| {
            let value = names.contains(name).then(|| self.open(sealed)).flatten();
            value.is_none_or(|value| !come_again.contains(&(name, value.as_str())))
        });
        past.extend(values.iter().map(|(name, value)| ((*name).to_owned(), self.seal(value))));
    }
}

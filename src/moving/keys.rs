//! Whether the key that is set is the one of whoever has written what is stored. With another key that server could open nothing
//! of what would be brought.

use std::iter::once;

use anyhow::{bail, ensure};
use control::Rooms;
use control::records::Sealer;
use futures_util::TryStreamExt;
use ports::{Bucket, Update};
use secrecy::ExposeSecret;
use serde_json::Value;
use types::agent::document::map_secrets;
use types::buckets::CONVERSATIONS;
use types::conversation::ConversationRecord;
use types::secrets::SecretSource;

use super::report::over;
use super::store::Store;
use crate::serving;

const STRANGE: &str = "what is stored here was not sealed with this secret key: set the key of the server here as \
                       OH_SECRET_KEY, and that of the other server as OH_PREVIOUS_SECRET_KEYS_0. After a change of the key \
                       start the server here once before";

/// # Errors
/// It is another one, by what is stored or by the key that the server here has made for itself; those of the store.
pub async fn check(store: &Store) -> anyhow::Result<()> {
    let kept = Rooms::sealed_with(&store.shelves).await.map_err(|refusal| over(&refusal))?;
    ensure!(!kept.is_strange(), STRANGE);
    if kept.current > 0 {
        return Ok(());
    }
    match opens_conversations(store).await? {
        Some(true) => Ok(()),
        Some(false) => bail!(STRANGE),
        None => is_not_beside_another(store),
    }
}

/// Whether it opens one of those that have secrets; `None` where there is none.
async fn opens_conversations(store: &Store) -> anyhow::Result<Option<bool>> {
    let records = Bucket::<ConversationRecord>::new(&*store.ports.kv, CONVERSATIONS);
    let mut scan = records.scan();
    let mut opens = None;
    while let Some(update) = scan.try_next().await? {
        let Update::Put { stored, .. } = update else { continue };
        let mut record = stored.value;
        if !has_secrets(&mut record) {
            continue;
        }
        let sealer = Sealer::new(&store.vault, record.id);
        if sealer.open_object(&mut record.agent) && sealer.open_sources(&mut record.secrets) {
            return Ok(Some(true));
        }
        opens = Some(false);
    }
    Ok(opens)
}

fn has_secrets(record: &mut ConversationRecord) -> bool {
    let mut has_some = record.secrets.values().any(|source| match source {
        SecretSource::StaticSecret { value, .. } => value.is_some(),
        SecretSource::LookupSecret { headers, .. } => !headers.is_empty(),
    });
    map_secrets(&mut record.agent, &mut |sealed| {
        has_some = true;
        Value::from(sealed)
    });
    has_some
}

/// A server that was started without a key has one of its own.
fn is_not_beside_another(store: &Store) -> anyhow::Result<()> {
    let (Some(key), Some(_)) = (&store.settings.secret_key, store.files_of_conversations()) else {
        return Ok(());
    };
    let file = serving::key_file(&store.settings);
    let Ok(made) = std::fs::read_to_string(&file) else { return Ok(()) };
    let mut known = once(key).chain(&store.settings.site.previous_secret_keys);
    ensure!(
        known.any(|key| key.expose_secret() == made.trim()),
        "the server here has a key of its own in {}: unset OH_SECRET_KEY, and set the key of the other server as \
         OH_PREVIOUS_SECRET_KEYS_0; or remove that file, if the server is to have OH_SECRET_KEY from now on",
        file.display()
    );
    Ok(())
}

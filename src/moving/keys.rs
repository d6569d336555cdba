//! Whether the key that is set is the one of the server here. With another key that server could open nothing of what would be
//! brought.

use anyhow::ensure;
use secrecy::ExposeSecret;

use super::store::Store;
use crate::serving;

const STRANGE: &str = "the server here has another secret key: set its own as OH_SECRET_KEY, and that of the other server as \
                       OH_PREVIOUS_SECRET_KEYS_0. After a change of the key start the server here once before";

/// Of a store that no server has used the key is noted, for the next time.
///
/// # Errors
/// It is another one, by what the server has noted or by the key that it has made for itself; those of the store.
pub async fn check(store: &Store) -> anyhow::Result<()> {
    if let Some(is_noted) = store.shelves.has_noted_key().await? {
        ensure!(is_noted, STRANGE);
        return Ok(());
    }
    is_not_beside_another(store)?;
    Ok(store.shelves.note_key().await?)
}

/// A server that was started without a key has one of its own.
fn is_not_beside_another(store: &Store) -> anyhow::Result<()> {
    let (Some(key), Some(_)) = (&store.settings.secret_key, store.files_of_conversations()) else {
        return Ok(());
    };
    let file = serving::key_file(&store.settings);
    let Ok(made) = std::fs::read_to_string(&file) else { return Ok(()) };
    ensure!(
        key.expose_secret() == made.trim(),
        "the server here has a key of its own in {}: unset OH_SECRET_KEY, and set the key of the other server as \
         OH_PREVIOUS_SECRET_KEYS_0; or remove that file, if the server is to have OH_SECRET_KEY from now on",
        file.display()
    );
    Ok(())
}

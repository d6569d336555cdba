//! Whether the key that is set is the one of the server here. With another key that server could open nothing of what would be
//! brought.

use anyhow::ensure;
use control::{is_the_servers_key, note_first_key, note_this_key};
use secrecy::ExposeSecret;

use super::store::Store;
use crate::serving;

const STRANGE: &str = "the server here has another secret key: set its own as OH_SECRET_KEY, and that of the other server as \
                       OH_PREVIOUS_SECRET_KEYS_0. After a change of the key start the server here once before. Where its own \
                       is lost, say with --note-this-key that the one that is set is its own from now on";

/// Of a store that no server has used the key is noted, for the next time; also where the operator says that it `is_own`.
///
/// # Errors
/// It is another one, by what the server has noted or sealed, or by the key that it has made for itself; those of the store.
pub async fn check(store: &Store, is_own: bool) -> anyhow::Result<()> {
    if is_own {
        return Ok(note_this_key(&store.shelves).await?);
    }
    match is_the_servers_key(&store.shelves).await? {
        Some(is_its_own) => ensure!(is_its_own, STRANGE),
        None => is_not_beside_another(store)?,
    }
    // A server may have started meanwhile.
    ensure!(note_first_key(&store.shelves).await?, STRANGE);
    Ok(())
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
         OH_PREVIOUS_SECRET_KEYS_0; or, if the server is to have OH_SECRET_KEY from now on, start it once with that before, \
         and with the key in that file as OH_PREVIOUS_SECRET_KEYS_0",
        file.display()
    );
    Ok(())
}

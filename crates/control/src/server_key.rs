//! Whose secret key it is that is set: who writes beside a server has to have the same one.
//!
//! ```text
//!   noted      with the current key ─▶ the server's
//!              with a previous one ──▶ noted anew by a server that starts: its key was changed
//!              with neither ─────────▶ by a server that starts, where all that is sealed opens with its keys (or nothing is
//!                                      sealed), and no other one has followed its key on purpose
//!   not noted  all by what is sealed: noted where that is nothing, or something of it opens
//! ```
//!
//! Who brings things in notes a key only where none is noted, or where the operator says that it is the one of the server.
//! What is noted is written by compare-and-set, so of two servers with different keys one notes its own, and the other says so.

use std::time::Duration;

use futures_util::TryStreamExt;
use ports::retry::Backoff;
use ports::{Bucket, Update};
use types::buckets::CONVERSATIONS;
use types::conversation::ConversationRecord;

use crate::Rooms;
use crate::records::Sealer;
use crate::shelf::{NotedBy, SealedWith, Shelves};

const PAUSES: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

/// Whether the key that is set is the one of the server here; `None` where none has noted or sealed anything.
///
/// # Errors
/// Those of the store.
pub async fn is_the_servers_key(shelves: &Shelves) -> ports::Result<Option<bool>> {
    match shelves.noted_key().await?.by {
        NotedBy::Current => Ok(Some(true)),
        NotedBy::Previous | NotedBy::Unknown => Ok(Some(false)),
        NotedBy::Nobody => {
            let with = sealed_with(shelves).await?;
            Ok((with != SealedWith::default()).then_some(with.current > 0))
        }
    }
}

/// Notes that it is, where none is noted. Whether it is noted now.
///
/// # Errors
/// Those of the store.
pub async fn note_first_key(shelves: &Shelves) -> ports::Result<bool> {
    note(shelves, By::Import).await
}

/// Notes that it is, whatever was noted: the operator says so.
///
/// # Errors
/// Those of the store.
pub async fn note_this_key(shelves: &Shelves) -> ports::Result<()> {
    note(shelves, By::Operator).await.map(drop)
}

/// Who says that the key that is set is the one of the server.
#[derive(Clone, Copy)]
enum By {
    Start,
    Import,
    Operator,
}

/// Whether it is noted now.
async fn note(shelves: &Shelves, by: By) -> ports::Result<bool> {
    loop {
        let noted = shelves.noted_key().await?;
        let may_be = match (noted.by, by) {
            (NotedBy::Current, _) => return Ok(true),
            (_, By::Operator) | (NotedBy::Previous, By::Start) => true,
            (NotedBy::Nobody, By::Start | By::Import) => {
                let with = sealed_with(shelves).await?;
                with.current + with.previous > 0 || with.unknown == 0
            }
            // A server that was not given the new key yet takes nothing back.
            (NotedBy::Unknown, By::Start) => !noted.is_followed && sealed_with(shelves).await?.unknown == 0,
            (NotedBy::Previous | NotedBy::Unknown, By::Import) => false,
        };
        if !may_be {
            return Ok(false);
        }
        if shelves.note_key(&noted).await? {
            if noted.by == NotedBy::Unknown {
                tracing::warn!(
                    "this store was used with another secret key, it belongs to the one that is set from now on"
                );
            }
            return Ok(true);
        }
    }
}

/// What a server does at its start. False: the store cannot be used now.
pub(crate) async fn note_at_start(shelves: &Shelves) -> bool {
    match note(shelves, By::Start).await {
        Ok(true) => true,
        Ok(false) => {
            tracing::error!(
                "the secret key that is set is not the one that this store was used with, which is not among the previous \
                 ones either: what was sealed with that one cannot be used, and `import` is refused. Set it as \
                 OH_SECRET_KEY, or add it to OH_PREVIOUS_SECRET_KEYS; where it is lost, `import --note-this-key` says so"
            );
            true
        }
        Err(error) => {
            tracing::warn!(%error, "which secret key is set could not be noted yet");
            false
        }
    }
}

pub(crate) async fn keep_noting(shelves: Shelves) {
    let mut pauses = PAUSES;
    loop {
        tokio::time::sleep(pauses.pause()).await;
        if note_at_start(&shelves).await {
            return;
        }
    }
}

/// What tenants keep, and what conversations hold.
async fn sealed_with(shelves: &Shelves) -> ports::Result<SealedWith> {
    let mut with = Rooms::sealed_with(shelves).await?;
    let mut scan = Bucket::<ConversationRecord>::new(shelves.kv(), CONVERSATIONS).scan();
    while let Some(update) = scan.try_next().await? {
        let Update::Put { stored, .. } = update else { continue };
        Sealer::new(shelves.vault(), stored.value.id).count(stored.value, &mut with);
    }
    Ok(with)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ports::{Expect, Ports};
    use secrecy::SecretString;
    use serde_json::json;
    use telemetry::metrics::Metrics;
    use types::TenantId;
    use types::buckets::{KEY_NOTE, PROBE};
    use vault::Vault;

    use super::*;
    use crate::tenant_secrets::TenantSecrets;

    async fn store() -> (Ports, embedded::Guard, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(folder.path(), embedded::Fsync::Always);
        let (ports, guard) = embedded::open(options).await.unwrap();
        (ports, guard, folder)
    }

    fn shelves(ports: &Ports, current: &str, previous: &[&str]) -> Shelves {
        let previous: Vec<SecretString> = previous.iter().map(|&key| key.into()).collect();
        let vault = Arc::new(Vault::new(&current.into(), &previous));
        Shelves::new(ports.kv.clone(), vault, Metrics::default().work)
    }

    async fn note_own_key(shelves: &Shelves) -> ports::Result<bool> {
        note(shelves, By::Start).await
    }

    async fn keep(shelves: &Shelves) {
        let secrets = TenantSecrets::on(shelves.clone());
        secrets.put(&TenantId::default(), "A", &"marked".into(), None).await.unwrap();
    }

    /// One whose model has a key.
    async fn make_conversation(ports: &Ports, own: &Shelves) {
        let id = types::ConversationId::random();
        let mut agent = json!({"llm": {"model": "m", "api_key": "sk-marked"}});
        Sealer::new(own.vault(), id).seal_object(&mut agent);
        let record = json!({"id": id, "sandbox": "default", "created_at": "2026-11-23T00:00:00.000000Z", "title": null,
            "workspace": {"working_dir": "/w", "kind": "LocalWorkspace"}, "agent": agent, "max_iterations": 1,
            "stuck_detection": true, "confirmation_policy": {"kind": "NeverConfirm"}, "security_analyzer": null});
        let record: ConversationRecord = serde_json::from_value(record).unwrap();
        Bucket::new(&*ports.kv, CONVERSATIONS).make(&id.hex(), &record).await.unwrap();
    }

    #[tokio::test]
    async fn whether_a_key_is_that_of_the_server_is_known_where_nothing_is_sealed() {
        let (ports, _guard, _folder) = store().await;
        let own = shelves(&ports, "own", &[]);
        assert_eq!(is_the_servers_key(&own).await, Ok(None));
        assert_eq!(note_own_key(&own).await, Ok(true));
        let round = shelves(&ports, "source", &["own"]);
        assert_eq!(is_the_servers_key(&round).await, Ok(Some(false)), "the keys the wrong way round");
        assert_eq!(is_the_servers_key(&shelves(&ports, "own", &["source"])).await, Ok(Some(true)));
        // A server whose key was changed has the new one from then on.
        assert_eq!(note_own_key(&round).await, Ok(true));
        assert_eq!(is_the_servers_key(&round).await, Ok(Some(true)));
        // One that still has the old one, and starts again, does not take that back.
        assert_eq!(note_own_key(&own).await, Ok(false));
        assert_eq!(is_the_servers_key(&round).await, Ok(Some(true)));
    }

    #[tokio::test]
    async fn where_no_key_is_noted_it_is_known_by_what_is_sealed() {
        let (ports, _guard, _folder) = store().await;
        let own = shelves(&ports, "own", &[]);
        keep(&own).await;
        for (current, previous, is_ours, is_noted) in [
            ("source", vec!["own"], false, true),
            ("mistyped", vec![], false, false),
            ("own", vec!["source"], true, true),
        ] {
            let other = shelves(&ports, current, &previous);
            assert_eq!(is_the_servers_key(&other).await, Ok(Some(is_ours)), "{current}");
            assert_eq!(note_own_key(&other).await, Ok(is_noted), "{current}");
            ports.kv.delete(PROBE, KEY_NOTE, Expect::Anything).await.unwrap();
        }
    }

    #[tokio::test]
    async fn where_no_key_is_noted_it_is_known_by_what_conversations_hold() {
        let (ports, _guard, _folder) = store().await;
        let own = shelves(&ports, "own", &[]);
        make_conversation(&ports, &own).await;
        assert_eq!(is_the_servers_key(&own).await, Ok(Some(true)));
        assert_eq!(is_the_servers_key(&shelves(&ports, "source", &["own"])).await, Ok(Some(false)));
        assert_eq!(note_own_key(&shelves(&ports, "mistyped", &[])).await, Ok(false));
    }

    #[tokio::test]
    async fn a_mistyped_key_is_corrected_at_the_next_start_where_nothing_is_sealed() {
        let (ports, _guard, _folder) = store().await;
        let (own, mistyped) = (shelves(&ports, "own", &[]), shelves(&ports, "mistyped", &[]));
        assert_eq!(note_own_key(&mistyped).await, Ok(true));
        assert_eq!(note_first_key(&own).await, Ok(false), "an import is no start");
        assert_eq!(note_own_key(&own).await, Ok(true));
        assert_eq!(is_the_servers_key(&own).await, Ok(Some(true)));
        // The other way round, and again.
        assert_eq!(note_own_key(&mistyped).await, Ok(true));
        assert_eq!(note_own_key(&own).await, Ok(true));
        keep(&own).await;
        assert_eq!(note_own_key(&mistyped).await, Ok(false), "what is sealed says whose store it is");
        assert_eq!(is_the_servers_key(&own).await, Ok(Some(true)));
    }

    #[tokio::test]
    async fn a_key_is_lost_when_the_operator_says_so() {
        let (ports, _guard, _folder) = store().await;
        let (own, new) = (shelves(&ports, "own", &[]), shelves(&ports, "new", &[]));
        assert_eq!(note_own_key(&own).await, Ok(true));
        make_conversation(&ports, &own).await;
        assert_eq!(note_own_key(&new).await, Ok(false));
        assert_eq!(note_first_key(&new).await, Ok(false));
        assert_eq!(note_this_key(&new).await, Ok(()));
        assert_eq!(is_the_servers_key(&new).await, Ok(Some(true)));
        assert_eq!(note_own_key(&new).await, Ok(true), "and what was sealed before does not ask again");
        assert_eq!(note_first_key(&new).await, Ok(true));
    }

    #[tokio::test]
    async fn a_gateway_that_still_has_the_old_key_does_not_take_the_note_back() {
        let (ports, _guard, _folder) = store().await;
        let (old, new) = (shelves(&ports, "old", &[]), shelves(&ports, "new", &["old"]));
        assert_eq!(note_own_key(&old).await, Ok(true));
        make_conversation(&ports, &old).await;
        assert_eq!(note_own_key(&new).await, Ok(true));
        // All that is sealed opens with the old key alone.
        assert_eq!(note_own_key(&old).await, Ok(false));
        assert_eq!(is_the_servers_key(&new).await, Ok(Some(true)));
        let newest = shelves(&ports, "newest", &["new", "old"]);
        assert_eq!(note_own_key(&newest).await, Ok(true));
        assert_eq!((note_own_key(&old).await, note_own_key(&new).await), (Ok(false), Ok(false)));
        assert_eq!(is_the_servers_key(&newest).await, Ok(Some(true)));
        // The operator goes back.
        assert_eq!(note_this_key(&old).await, Ok(()));
        assert_eq!(note_own_key(&old).await, Ok(true));
    }
}

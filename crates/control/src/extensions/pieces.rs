//! What was installed, in pieces that fit into the store: `<tenant>.<id>.<part>.<n>`.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use ports::{Expect, Kv};
use types::TenantId;
use types::buckets::EXTENSION_PARTS;
use uuid::Uuid;

use super::document::Installed;
use crate::Refusal;

const LONGEST: usize = 512 * 1024;

/// Digits of the moment with which an id begins.
const OF_A_MOMENT: usize = 11;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it, packed.
    Pack,
    /// What was read in it.
    Contents,
    /// Of an extension of the user interface: its program.
    Bundle,
    Icon,
}

impl Part {
    const ALL: [Self; 4] = [Self::Pack, Self::Contents, Self::Bundle, Self::Icon];

    fn name(self) -> &'static str {
        match self {
            Self::Pack => "pack",
            Self::Contents => "contents",
            Self::Bundle => "bundle",
            Self::Icon => "icon",
        }
    }
}

/// A name for what is about to be installed. It tells when that was.
pub(super) fn fresh_id() -> String {
    let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{moment:0width$x}-{}", Uuid::new_v4().simple(), width = OF_A_MOMENT)
}

/// Milliseconds since 1970 at which an id was made.
fn moment_of(id: &str) -> Option<u128> {
    u128::from_str_radix(id.get(..OF_A_MOMENT)?, 16).ok()
}

fn key(tenant: &TenantId, id: &str, part: Part, number: u64) -> String {
    format!("{tenant}.{id}.{}.{number}", part.name())
}

/// The tenant and the id of a piece.
pub(super) fn owner_of(key: &str) -> Option<(TenantId, &str)> {
    let (tenant, rest) = key.split_once('.')?;
    Some((TenantId::parse(tenant)?, rest.split('.').next()?))
}

/// Whether what an id stands for may still be on its way into the list.
pub(super) fn is_recent(id: &str, within_millis: u128) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    moment_of(id).is_some_and(|moment| moment + within_millis > now)
}

/// Writes the next piece of a part.
pub(super) async fn add(
    kv: &dyn Kv,
    tenant: &TenantId,
    one: &mut Installed,
    part: Part,
    content: Bytes,
) -> Result<(), Refusal> {
    for piece in content.chunks(LONGEST) {
        let number = count(one, part);
        kv.put(
            EXTENSION_PARTS,
            &key(tenant, &one.id, part, number),
            Bytes::copy_from_slice(piece),
            Expect::Anything,
        )
        .await?;
        one.pieces.insert(part.name().to_owned(), (number + 1).into());
    }
    Ok(())
}

/// A whole part; `None` where it has none, or not all of it is there.
pub(super) async fn get(
    kv: &dyn Kv,
    tenant: &TenantId,
    one: &Installed,
    part: Part,
) -> Result<Option<Bytes>, Refusal> {
    let pieces = count(one, part);
    if pieces == 0 {
        return Ok(None);
    }
    let mut whole = BytesMut::new();
    for number in 0..pieces {
        match kv.get(EXTENSION_PARTS, &key(tenant, &one.id, part, number)).await? {
            Some(entry) => whole.extend_from_slice(&entry.value),
            None => return Ok(None),
        }
    }
    Ok(Some(whole.freeze()))
}

/// What is left is found at the next start.
pub(super) async fn remove(kv: &dyn Kv, tenant: &TenantId, one: &Installed) {
    for part in Part::ALL {
        for number in 0..count(one, part) {
            let key = key(tenant, &one.id, part, number);
            if let Err(error) = kv.delete(EXTENSION_PARTS, &key, Expect::Anything).await {
                tracing::debug!(%error, "a piece of what was installed is left");
                return;
            }
        }
    }
}

fn count(one: &Installed, part: Part) -> u64 {
    one.pieces.get(part.name()).and_then(serde_json::Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_tells_whose_it_is_and_since_when() {
        let (tenant, id) = (TenantId::default(), fresh_id());
        let key = key(&tenant, &id, Part::Pack, 12);
        assert_eq!(owner_of(&key), Some((tenant, id.as_str())));
        assert!(is_recent(&id, 60_000));
        assert!(!is_recent(&format!("{:011x}-x", 1_000), 60_000));
    }
}

//! Where a client of the stream is, as text that it gives back.
//!
//! What it holds is stamped with the server's secret: nobody else makes one, so positions in it are those of records, and one of
//! another server, another tenant or another secret is told from one that is merely old.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use types::{ConversationId, Seq, TenantId};
use uuid::Uuid;

use super::known::{Life, Place};
use crate::tokens::{STAMP, Stamps};

/// Of what is written; a cursor of another version is one that cannot be read.
const VERSION: u8 = 1;

/// Bytes of a text. What is written is less than half as long.
const LONGEST: usize = 16 << 10;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// What the client has of those that changed lately, the last one last.
    pub lately: Vec<(ConversationId, Life, Place)>,
    /// The sum over all others that it has.
    pub rest: u64,
}

/// Writes and reads cursors.
pub struct Cursors(Stamps);

impl Cursors {
    pub fn new(secret: &SecretString, previous: &[SecretString]) -> Self {
        Self(Stamps::new("stream-cursor", secret, previous))
    }

    pub fn write(&self, tenant: &TenantId, cursor: &Cursor) -> String {
        let mut bytes = Vec::with_capacity(32 + cursor.lately.len() * 40);
        bytes.push(VERSION);
        bytes.extend_from_slice(&cursor.rest.to_le_bytes());
        for (id, Life(life), place) in &cursor.lately {
            bytes.extend_from_slice(id.0.as_bytes());
            bytes.extend_from_slice(&life.to_le_bytes());
            for number in [place.revision, place.brief.0, place.events.0] {
                push(&mut bytes, number);
            }
        }
        let stamp = self.0.of(&[tenant.as_str().as_bytes(), &bytes]);
        bytes.extend_from_slice(&stamp);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None`: it was not written here, or not for this tenant.
    pub fn read(&self, tenant: &TenantId, text: &str) -> Option<Cursor> {
        if text.len() > LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (bytes, stamp) = bytes.split_at_checked(bytes.len().checked_sub(STAMP)?)?;
        if !self.0.is_of(stamp, &[tenant.as_str().as_bytes(), bytes]) {
            return None;
        }
        let mut rest = bytes.strip_prefix(&[VERSION])?;
        let sum = u64::from_le_bytes(take(&mut rest)?);
        let mut lately = Vec::new();
        while !rest.is_empty() {
            let id = ConversationId(Uuid::from_bytes(take(&mut rest)?));
            let life = Life(u32::from_le_bytes(take(&mut rest)?));
            let (revision, brief, events) = (number(&mut rest)?, number(&mut rest)?, number(&mut rest)?);
            lately.push((id, life, Place { revision, brief: Seq(brief), events: Seq(events) }));
        }
        Some(Cursor { lately, rest: sum })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

/// Seven bits a byte, the lowest first; the highest bit says that there are more.
fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = take(bytes)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursors(secret: &str) -> Cursors {
        Cursors::new(&secret.into(), &[])
    }

    fn tenant(name: &str) -> TenantId {
        serde_json::from_value(name.into()).unwrap()
    }

    fn some(numbers: &[u64], rest: u64) -> Cursor {
        let one = |number: &u64| {
            let place = Place { revision: number >> 7, brief: Seq(*number), events: Seq(number >> 1) };
            (ConversationId::random(), Life(*number as u32), place)
        };
        Cursor { lately: numbers.iter().map(one).collect(), rest }
    }

    #[test]
    fn a_cursor_is_read_by_its_tenant_on_its_server_and_by_nobody_else() {
        let cursor = some(&[1, 1 << 40], 7);
        let text = cursors("one").write(&tenant("a"), &cursor);
        assert_eq!(cursors("one").read(&tenant("a"), &text), Some(cursor));
        assert_eq!(cursors("one").read(&tenant("b"), &text), None);
        assert_eq!(cursors("two").read(&tenant("a"), &text), None);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_anything_else_is_no_cursor(
            numbers in proptest::collection::vec(any::<u64>(), 0..5), rest in any::<u64>(), at in any::<prop::sample::Index>(), text in any::<String>(),
        ) {
            let (cursor, cursors, tenant) = (some(&numbers, rest), cursors("one"), tenant("a"));
            let written = cursors.write(&tenant, &cursor);
            prop_assert_eq!(cursors.read(&tenant, &written), Some(cursor));
            let mut changed = written.into_bytes();
            let at = at.index(changed.len());
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            prop_assert_eq!(cursors.read(&tenant, str::from_utf8(&changed).unwrap()), None);
            prop_assert_eq!(cursors.read(&tenant, &text), None);
        }
    }
}

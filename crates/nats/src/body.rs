//! Bytes that are too large for a message: they lie in pieces, named by their digest.

use std::fmt;
use std::str::FromStr;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use ports::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Bytes of every piece but the last: well below the smallest max_payload in use.
pub const PIECE: u64 = 256 << 10;
/// Bytes of a body that is stored from now on. Everybody who follows the log fetches it.
pub const LARGEST: u64 = 16 << 20;
/// Earlier releases stored larger ones.
const LARGEST_EVER: u64 = 256 << 20;
/// Pieces under way at once.
const WINDOW: usize = 4;

/// What a message keeps of its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    pub digest: Digest,
    pub size: u64,
}

/// SHA-256, in lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Body {
    pub fn of(bytes: &[u8]) -> Result<Self> {
        match bytes.len() as u64 {
            size if size <= LARGEST_EVER => Ok(Self { digest: Digest::of(bytes), size }),
            size => Err(Error::Internal(format!("{size} bytes are more than can be stored at once"))),
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (digest, size) = text.split_once(':')?;
        let size = size.parse().ok().filter(|size| *size <= LARGEST_EVER)?;
        Some(Self { digest: digest.parse().ok()?, size })
    }

    /// The pieces that hold `range`; the whole has none if it is empty.
    pub fn pieces(&self, range: &std::ops::Range<u64>) -> std::ops::Range<u64> {
        let end = range.end.min(self.size);
        match range.start < end {
            true => range.start / PIECE..end.div_ceil(PIECE),
            false => 0..0,
        }
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.digest.0, self.size)
    }
}

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(types::hex(&Sha256::digest(bytes)))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        match text.len() == 64 && text.bytes().all(is_digit) {
            true => Ok(Self(text.to_owned())),
            false => Err("not a digest"),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// The pieces of `bytes` with their indexes.
pub fn split(bytes: &Bytes) -> impl Iterator<Item = (u64, Bytes)> {
    let mut rest = bytes.clone();
    let pieces = std::iter::from_fn(move || {
        let length = rest.len().min(PIECE as usize);
        (length > 0).then(|| rest.split_to(length))
    });
    (0..).zip(pieces)
}

/// The whole `pieces`, end to end. `get` answers `None` for one that is gone.
///
/// # Errors
/// `NotFound` if one is gone.
pub async fn read<F>(pieces: std::ops::Range<u64>, get: impl Fn(u64) -> F) -> Result<Bytes>
where
    F: Future<Output = Result<Option<Bytes>>>,
{
    let reading = stream::iter(pieces).map(get).buffered(WINDOW);
    let read = reading.try_fold(BytesMut::new(), |mut whole, piece| async move {
        whole.extend_from_slice(&piece.ok_or(Error::NotFound)?);
        Ok(whole)
    });
    read.await.map(BytesMut::freeze)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_named_by_digest_and_size() {
        let body = Body::of(b"abc").unwrap();
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad:3";
        assert_eq!(body.to_string(), text);
        assert_eq!(Body::parse(text), Some(body));
        let digest = "0".repeat(64);
        for text in ["", ":", "abc:3", &digest, &format!("{digest}:x"), &format!("{digest}:999999999999")] {
            assert_eq!(Body::parse(text), None, "{text}");
        }
        assert_eq!(Body::parse(&format!("{}:1", "A".repeat(64))), None);
    }

    #[test]
    fn a_range_is_in_the_pieces_that_hold_it() {
        let body = Body { digest: Digest::of(b""), size: 2 * PIECE + 1 };
        for (range, pieces) in [
            (0..1, 0..1),
            (0..u64::MAX, 0..3),
            (PIECE - 1..PIECE + 1, 0..2),
            (PIECE..2 * PIECE, 1..2),
            (2 * PIECE..2 * PIECE + 1, 2..3),
            (2 * PIECE + 1..u64::MAX, 0..0),
            (5..5, 0..0),
        ] {
            assert_eq!(body.pieces(&range), pieces, "{range:?}");
        }
    }
}

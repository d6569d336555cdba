//! What an image is, by its first bytes: names and heads of URLs are often wrong, and providers refuse a history for good in
//! which one is.

/// A kind that every provider takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Png,
    Jpeg,
    Gif,
    Webp,
}

impl Kind {
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Webp),
            _ => None,
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }

    /// Width and height in pixels, if these first bytes say them.
    pub(super) fn size(self, bytes: &[u8]) -> Option<(u32, u32)> {
        match self {
            Self::Png => Some((big(bytes, 16, 4)?, big(bytes, 20, 4)?)),
            Self::Gif => Some((little(bytes, 6, 2)?, little(bytes, 8, 2)?)),
            Self::Webp => webp(bytes),
            Self::Jpeg => jpeg(bytes),
        }
    }
}

fn big(bytes: &[u8], at: usize, length: usize) -> Option<u32> {
    Some(bytes.get(at..at + length)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

fn little(bytes: &[u8], at: usize, length: usize) -> Option<u32> {
    Some(bytes.get(at..at + length)?.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    match bytes.get(12..16)? {
        b"VP8X" => Some((little(bytes, 24, 3)? + 1, little(bytes, 27, 3)? + 1)),
        b"VP8 " => Some((little(bytes, 26, 2)? & 0x3fff, little(bytes, 28, 2)? & 0x3fff)),
        b"VP8L" => {
            let bits = little(bytes, 21, 4)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        _ => None,
    }
}

/// Goes from segment to segment, to the one that says how large the frame is.
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        let marker = big(bytes, at, 2)?;
        let is_frame = matches!(marker, 0xffc0..=0xffcf) && !matches!(marker, 0xffc4 | 0xffc8 | 0xffcc);
        if is_frame {
            return Some((big(bytes, at + 7, 2)?, big(bytes, at + 5, 2)?));
        }
        at = match marker {
            // Filled up, or without anything in them.
            0xffff => at + 1,
            0xff01 | 0xffd0..=0xffd8 => at + 2,
            0xff00..=0xfffe => at + 2 + usize::try_from(big(bytes, at + 2, 2)?.max(2)).ok()?,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc0\x00\x11\x08\x00\x10\x00\x20";

    #[test]
    fn kinds_and_sizes_are_read_from_the_bytes() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\0\x02";
        let vp8x = b"RIFF....WEBPVP8X....\0\0\0\0\x0f\0\0\x07\0\0";
        for (bytes, kind, size) in [
            (&png[..], Kind::Png, (256, 2)),
            (JPEG, Kind::Jpeg, (32, 16)),
            (&b"GIF89a\x03\x00\x04\x01"[..], Kind::Gif, (3, 260)),
            (&vp8x[..], Kind::Webp, (16, 8)),
        ] {
            assert_eq!(Kind::of(bytes), Some(kind));
            assert_eq!(kind.size(bytes), Some(size), "{kind:?}");
        }
        for bytes in [&b"<svg"[..], b"BM....", b"", b"\x89PNG"] {
            assert_eq!(Kind::of(bytes), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_any_trouble(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            for head in [&b"\x89PNG\r\n\x1a\n"[..], b"\xff\xd8\xff", b"GIF89a", b"RIFF....WEBPVP8L", b"RIFF....WEBPVP8X"] {
                let bytes = [head, &tail].concat();
                let _ = Kind::of(&bytes).and_then(|kind| kind.size(&bytes));
            }
        }
    }
}

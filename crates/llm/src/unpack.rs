//! Unpacks answers that came packed although nobody asked for it, as some proxies do. Whoever reads an answer behind this sees its
//! plain bytes.

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use bytes::Bytes;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use futures_util::{StreamExt, stream};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

use crate::exchange::ANSWER_LIMIT;
use crate::transport::{AnswerBody, TransportError};

/// Packed bytes that are unpacked in one go: a thousand times as much may come out.
const STEP: usize = 4 << 10;
const BROTLI_BUFFER: usize = 16 << 10;
/// Names of the identity, and of nothing at all.
const PLAIN: [&str; 4] = ["", "identity", "none", "utf-8"];

/// The body without its packing, and without the headers that tell of it. Packing is known by its header or by how it begins.
pub(crate) fn unpacked(headers: &mut HeaderMap, body: AnswerBody) -> AnswerBody {
    let named = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let named: Vec<String> = named.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
    let named = named.into_iter().rev().find(|name| !PLAIN.contains(&name.as_str())).unwrap_or_default();
    if !named.is_empty() {
        headers.remove(CONTENT_ENCODING);
        headers.remove(CONTENT_LENGTH);
    }
    stream::try_unfold((body, State::Undecided { named }), next).boxed()
}

enum State {
    /// Nothing has come yet.
    Undecided {
        named: String,
    },
    Plain,
    Packed(Box<Unpacker>),
}

async fn next(
    (mut body, mut state): (AnswerBody, State),
) -> Result<Option<(Bytes, (AnswerBody, State))>, TransportError> {
    while let Some(piece) = body.next().await {
        let piece = piece?;
        if let State::Undecided { named } = &state
            && !piece.is_empty()
        {
            state = State::of(named, &piece)?;
        }
        let plain = match &mut state {
            State::Packed(unpacker) => unpacker.take(&piece)?,
            State::Plain | State::Undecided { .. } => piece,
        };
        if !plain.is_empty() {
            return Ok(Some((plain, (body, state))));
        }
    }
    Ok(None)
}

impl State {
    /// What begins so, under this name. What is not packed as it says is plain: proxies unpack and leave the header.
    fn of(named: &str, begin: &[u8]) -> Result<Self, TransportError> {
        let room = Room { bytes: Vec::new(), left: ANSWER_LIMIT };
        let looks_plain = matches!(begin.first(), Some(b'{' | b'[' | b'<' | b':' | b'd' | b'e' | b'"'));
        let unpacker = match (begin, named) {
            ([0x1f, 0x8b, ..] | [0x1f], _) => Unpacker::Gzip(MultiGzDecoder::new(room)),
            ([0x28, 0xb5, 0x2f, 0xfd, ..], _) => return Err(unknown("zstd")),
            (_, "") => return Ok(Self::Plain),
            _ if looks_plain && (named != "br" || is_text(begin)) => return Ok(Self::Plain),
            ([first, second, ..], "deflate") if is_zlib(*first, *second) => {
                Unpacker::Zlib(ZlibDecoder::new(room))
            }
            ([0x78], "deflate") => Unpacker::Zlib(ZlibDecoder::new(room)),
            (_, "deflate") => Unpacker::Deflate(DeflateDecoder::new(room)),
            (_, "br") => Unpacker::Brotli(Box::new(DecompressorWriter::new(room, BROTLI_BUFFER))),
            (_, "gzip" | "x-gzip") => return Ok(Self::Plain),
            (_, other) => return Err(unknown(other)),
        };
        Ok(Self::Packed(Box::new(unpacker)))
    }
}

/// What may begin with such a letter and be packed all the same does not go on like this.
fn is_text(begin: &[u8]) -> bool {
    let begins = [&b"{\""[..], b"{\n", b"{\r", b"{ ", b"[{", b"<!", b"<h", b"data:", b"event:"];
    begins.iter().any(|words| begin.starts_with(words))
}

fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && (u16::from(first) << 8 | u16::from(second)).is_multiple_of(31)
}

fn unknown(encoding: &str) -> TransportError {
    let name: String = encoding.chars().filter(char::is_ascii_graphic).take(20).collect();
    TransportError::Setup(format!("its answer is packed in a way that is not understood ({name})"))
}

enum Unpacker {
    Gzip(MultiGzDecoder<Room>),
    Zlib(ZlibDecoder<Room>),
    Deflate(DeflateDecoder<Room>),
    Brotli(Box<DecompressorWriter<Room>>),
}

impl Unpacker {
    fn take(&mut self, packed: &[u8]) -> Result<Bytes, TransportError> {
        let mut plain = Vec::new();
        for step in packed.chunks(STEP) {
            self.write(step).map_err(|error| {
                TransportError::Connection(format!("its answer cannot be unpacked: {error}"))
            })?;
            plain.append(&mut self.room().bytes);
        }
        Ok(plain.into())
    }

    fn write(&mut self, packed: &[u8]) -> io::Result<()> {
        let writer: &mut dyn Write = match self {
            Self::Gzip(writer) => writer,
            Self::Zlib(writer) => writer,
            Self::Deflate(writer) => writer,
            Self::Brotli(writer) => writer.as_mut(),
        };
        writer.write_all(packed)?;
        writer.flush()
    }

    fn room(&mut self) -> &mut Room {
        match self {
            Self::Gzip(writer) => writer.get_mut(),
            Self::Zlib(writer) => writer.get_mut(),
            Self::Deflate(writer) => writer.get_mut(),
            Self::Brotli(writer) => writer.get_mut(),
        }
    }
}

/// Where unpacked bytes go, as many as an answer may have.
struct Room {
    bytes: Vec<u8>,
    left: usize,
}

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let too_long = || io::Error::other("it is too long");
        self.left = self.left.checked_sub(bytes.len()).ok_or_else(too_long)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const TEXT: &[u8] = br#"{"id": "1", "choices": []}"#;
    /// `{"id": "1", "choices": []}`, stored.
    const BROTLI: &[u8] = b"\x8b\x0c\x80{\"id\": \"1\", \"choices\": []}\x03";

    fn packed(named: &str) -> Vec<u8> {
        match named {
            "gzip" => {
                let mut writer = GzEncoder::new(Vec::new(), Compression::default());
                writer.write_all(TEXT).unwrap();
                writer.finish().unwrap()
            }
            "deflate" => {
                let mut writer = ZlibEncoder::new(Vec::new(), Compression::default());
                writer.write_all(TEXT).unwrap();
                writer.finish().unwrap()
            }
            "br" => BROTLI.to_vec(),
            _ => {
                let mut writer = DeflateEncoder::new(Vec::new(), Compression::default());
                writer.write_all(TEXT).unwrap();
                writer.finish().unwrap()
            }
        }
    }

    async fn read(named: &str, bytes: &[u8], step: usize) -> Result<Vec<u8>, TransportError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, named.parse().unwrap());
        let pieces: Vec<_> = bytes.chunks(step).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let body = unpacked(&mut headers, stream::iter(pieces).boxed());
        assert_eq!(headers.contains_key(CONTENT_ENCODING), named == "identity" || named.is_empty());
        let pieces: Vec<Result<Bytes, TransportError>> = body.collect().await;
        Ok(pieces.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
    }

    #[tokio::test]
    async fn packed_answers_are_unpacked_however_they_are_cut() {
        for (named, written) in [
            ("gzip", "gzip"),
            ("", "gzip"),
            ("identity", "gzip"),
            ("deflate", "deflate"),
            ("deflate", "raw"),
            ("br", "br"),
        ] {
            for step in [1, 7, 1000] {
                assert_eq!(
                    read(named, &packed(written), step).await.unwrap(),
                    TEXT,
                    "{named} {written} {step}"
                );
            }
        }
    }

    #[tokio::test]
    async fn what_is_plain_stays_plain_whatever_is_said_of_it() {
        for named in ["gzip", "deflate", "", "identity"] {
            assert_eq!(read(named, TEXT, 5).await.unwrap(), TEXT, "{named}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_unpacked_is_an_error_that_says_so() {
        let error = read("zstd", b"\x28\xb5\x2f\xfd....", 100).await.unwrap_err();
        assert!(error.to_string().contains("zstd"), "{error}");
        let mut broken = packed("gzip");
        // The kind of block that there is not, right behind the head.
        broken.truncate(10);
        broken.extend([0x07; 40]);
        assert!(read("gzip", &broken, 3).await.is_err());
    }

    #[tokio::test]
    async fn a_bomb_is_not_unpacked() {
        let mut writer = GzEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![0; 1 << 20];
        for _ in 0..80 {
            writer.write_all(&zeros).unwrap();
        }
        let error = read("gzip", &writer.finish().unwrap(), 1 << 16).await.unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }
}

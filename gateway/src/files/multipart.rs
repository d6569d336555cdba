//! The one part of a multipart body that is an uploaded file, as it comes in.
//!
//! Own code, for an upload may be as large as the disk: the crate for it (multer) takes in whatever has arrived, headers
//! of parts included, and bounds only a body as a whole. Here no more is in memory than was asked for.

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::HeaderMap;
use memchr::memmem::{Finder, find};

use crate::error::{ApiError, ApiResult, Problem};
use crate::media_type::media_type;

/// Bytes of a part's headers, and of what stands before the first part.
const LONGEST_HEAD: usize = 64 * 1024;

/// Reads the field `file` of a body, piece by piece.
pub(super) struct FilePart {
    body: BodyDataStream,
    buffer: BytesMut,
    /// Finds `\r\n--boundary`.
    delimiter: Finder<'static>,
    /// The part's last byte has been handed out.
    done: bool,
}

impl FilePart {
    /// Reads up to the file's first byte.
    ///
    /// # Errors
    /// 422 when there is no such field, 400 when the body is not what it says.
    pub async fn find(headers: &HeaderMap, body: Body) -> ApiResult<Self> {
        let boundary = boundary(headers).ok_or_else(|| Problem::missing(&["body", "file"]))?;
        let delimiter = Finder::new(format!("\r\n--{boundary}").as_bytes()).into_owned();
        // The first delimiter may stand at the very beginning: then its line break is ours.
        let buffer = BytesMut::from(&b"\r\n"[..]);
        let mut part = Self { body: body.into_data_stream(), buffer, delimiter, done: false };
        loop {
            part.skip_to_delimiter().await?;
            let head = part.head().await?.ok_or_else(|| Problem::missing(&["body", "file"]))?;
            if is_file_field(&head) {
                return Ok(part);
            }
        }
    }

    /// At least `least` bytes of the file unless it ends before; `None` after its end.
    pub async fn next(&mut self, least: usize) -> ApiResult<Option<Bytes>> {
        if self.done {
            return Ok(None);
        }
        let mut searched = 0;
        loop {
            let unsearched = self.buffer.get(searched..).unwrap_or_default();
            if let Some(at) = self.delimiter.find(unsearched) {
                self.done = true;
                return Ok(Some(self.buffer.split_to(searched + at).freeze()));
            }
            // What could be the beginning of a delimiter stays.
            let certain = self.buffer.len().saturating_sub(self.delimiter.needle().len() - 1);
            if certain >= least {
                return Ok(Some(self.buffer.split_to(certain).freeze()));
            }
            searched = certain;
            self.more(least).await?;
        }
    }

    async fn skip_to_delimiter(&mut self) -> ApiResult<()> {
        let mut skipped = 0;
        loop {
            if let Some(at) = self.delimiter.find(&self.buffer) {
                let _ = self.buffer.split_to(at + self.delimiter.needle().len());
                return Ok(());
            }
            let certain = self.buffer.len().saturating_sub(self.delimiter.needle().len() - 1);
            let _ = self.buffer.split_to(certain);
            skipped += certain;
            // Other fields of an upload are small.
            if skipped > 16 * LONGEST_HEAD {
                return Err(ApiError::bad_request("The file is not the first part of the body"));
            }
            self.more(0).await?;
        }
    }

    /// The headers after a delimiter; `None` after the last one.
    async fn head(&mut self) -> ApiResult<Option<String>> {
        loop {
            if self.buffer.starts_with(b"--") {
                return Ok(None);
            }
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.split_to(at + 4);
                return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
            }
            if self.buffer.len() > LONGEST_HEAD {
                return Err(ApiError::bad_request("The headers of a part are too long"));
            }
            self.more(0).await?;
        }
    }

    /// Takes the next bytes of the body. `room` is what the buffer will have to hold soon.
    async fn more(&mut self, room: usize) -> ApiResult<()> {
        let cut_off = || ApiError::bad_request("The body ended early");
        let bytes = self.body.next().await.ok_or_else(cut_off)?.map_err(|_| cut_off())?;
        if self.buffer.capacity() < self.buffer.len() + bytes.len() {
            self.buffer.reserve(bytes.len().max(room + room / 4));
        }
        self.buffer.extend_from_slice(&bytes);
        Ok(())
    }
}

fn boundary(headers: &HeaderMap) -> Option<String> {
    let (kind, parameters) = media_type(headers)?;
    if !kind.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary")?;
    (1..=200).contains(&boundary.len()).then(|| boundary.to_owned())
}

fn is_file_field(head: &str) -> bool {
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    disposition
        .and_then(|value| value.split_once(';'))
        .is_some_and(|(_, rest)| parameter(rest, "name") == Some("file"))
}

/// The value of `name=value` or `name="value"` among parameters parted by semicolons.
fn parameter<'a>(parameters: &'a str, wanted: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http::header;

    const HEAD: &str = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";

    async fn read(text: &[u8], step: usize) -> ApiResult<Vec<u8>> {
        let headers = HeaderMap::from_iter([(
            header::CONTENT_TYPE,
            "multipart/form-data; boundary=\"b\"".parse().unwrap(),
        )]);
        let chunks: Vec<_> =
            text.chunks(step).map(|chunk| Ok::<_, std::io::Error>(Bytes::copy_from_slice(chunk))).collect();
        let mut part = FilePart::find(&headers, Body::from_stream(stream::iter(chunks))).await?;
        let mut file = Vec::new();
        while let Some(piece) = part.next(5).await? {
            file.extend_from_slice(&piece);
        }
        Ok(file)
    }

    #[tokio::test]
    async fn the_file_comes_out_whole_however_the_body_is_cut() {
        for content in ["", "x", "plain text of some length", "\r\n--", "a\r\n--c\r\n\r\n--", "\r\n\r\n"] {
            let text = format!("{HEAD}{content}\r\n--b--\r\n");
            for step in [1, 2, 7, 1000] {
                assert_eq!(
                    read(text.as_bytes(), step).await.unwrap(),
                    content.as_bytes(),
                    "{content:?} {step}"
                );
            }
        }
    }

    #[tokio::test]
    async fn other_fields_are_passed_over() {
        let other = "--b\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nname=\"file\"\r\n";
        let text = format!("preamble\r\n{other}{HEAD}yes\r\n--b--\r\n");
        assert_eq!(read(text.as_bytes(), 3).await.unwrap(), b"yes");
        let without = format!("{other}--b--\r\n");
        assert!(matches!(read(without.as_bytes(), 3).await, Err(ApiError::Invalid(_))));
    }

    #[tokio::test]
    async fn a_body_that_ends_early_is_an_error() {
        let text = format!("{HEAD}content");
        assert!(matches!(read(text.as_bytes(), 9).await, Err(ApiError::Refused { .. })));
    }
}

//! What a command wrote and nobody has seen yet.

use std::mem;
use std::time::Duration;

use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_setpipe_size;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep_until};

const SMALL_READ: usize = 8 * 1024;
/// As many waiting bytes are a flood.
const FLOOD: usize = 64 * 1024;
/// What the pipe of a flood is made to hold, so that its writer need not wait for every read.
const LARGE_PIPE_SIZE: usize = 1024 * 1024;
/// How long such a pipe may fill once it was empty: a read for every write would cost more than the rest.
const FILL_TIME: Duration = Duration::from_millis(1);

/// Bytes of one stream that wait for the next event.
pub(super) struct Stream {
    /// `None` after the end.
    pipe: Option<Receiver>,
    is_large: bool,
    read_at: Option<Instant>,
    waiting: Vec<u8>,
    /// Bytes that were in the pipe when the shell ended, and are there still.
    owed: u64,
}

impl Stream {
    pub(super) fn new(pipe: Option<Receiver>) -> Self {
        Self { pipe, is_large: false, read_at: None, waiting: Vec::new(), owed: 0 }
    }

    pub(super) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What is in the pipe now is the command's, whatever else comes.
    pub(super) fn note_what_is_owed(&mut self) {
        let length = self.pipe.as_ref().and_then(|pipe| ioctl_fionread(pipe).ok());
        self.owed = length.unwrap_or_default();
    }

    /// Whether what was noted has not been read to its end.
    pub(super) fn is_owed(&self) -> bool {
        self.pipe.is_some() && self.owed > 0
    }

    /// Reads once, about as much as is `wanted` at most. A failed read is the end, as the writer is gone.
    ///
    /// # Cancel safety
    /// Safe: what was read is kept.
    pub(super) async fn fill(&mut self, wanted: usize) {
        let Some(pipe) = &mut self.pipe else { return };
        if let Some(read_at) = self.read_at {
            sleep_until(read_at).await;
        }
        let is_first = self.waiting.is_empty() && !self.is_large;
        self.waiting.reserve(if is_first { SMALL_READ } else { wanted.max(SMALL_READ) });
        let room = self.waiting.capacity() - self.waiting.len();
        let read = pipe.read_buf(&mut self.waiting).await.unwrap_or(0);
        if read == 0 {
            self.pipe = None;
            return;
        }
        self.owed = self.owed.saturating_sub(read as u64);
        if !self.is_large && self.waiting.len() >= FLOOD {
            // Users may have few large pipes; a small one is slower, no more.
            self.is_large = fcntl_setpipe_size(&*pipe, LARGE_PIPE_SIZE).is_ok();
        }
        let was_emptied = read < room;
        self.read_at = (self.is_large && was_emptied).then(|| Instant::now() + FILL_TIME);
    }

    /// Reads and forgets, until the end.
    pub(super) async fn discard(&mut self) {
        let mut scratch = vec![0; SMALL_READ];
        while let Some(pipe) = &mut self.pipe {
            if !matches!(pipe.read(&mut scratch).await, Ok(read) if read > 0) {
                self.pipe = None;
            }
        }
    }

    /// The waiting text. A character that is still incomplete stays, unless nothing more will come (`last`).
    pub(super) fn take(&mut self, last: bool) -> String {
        let mut bytes = mem::take(&mut self.waiting);
        if !last {
            self.waiting = bytes.split_off(bytes.len() - incomplete_tail(&bytes));
        }
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

/// How many bytes at the end begin a character without ending it.
fn incomplete_tail(bytes: &[u8]) -> usize {
    let last_chunk = bytes.get(bytes.len().saturating_sub(4)..).unwrap_or_default();
    let Some(start) = last_chunk.iter().rposition(|byte| byte & 0xc0 != 0x80) else { return 0 };
    let tail = last_chunk.get(start..).unwrap_or_default();
    match str::from_utf8(tail) {
        // The error has a length where the bytes can never become a character.
        Err(error) if error.valid_up_to() == 0 && error.error_len().is_none() => tail.len(),
        _ => 0,
    }
}

/// Parts `text` so that none takes more than `limit` bytes as JSON.
pub(super) fn parts(text: String, limit: usize) -> Vec<String> {
    if json_cost(&text) <= limit {
        return vec![text];
    }
    let (mut all, mut part, mut cost) = (Vec::new(), String::new(), 0);
    for character in text.chars() {
        let more = json_cost(character.encode_utf8(&mut [0; 4]));
        if cost + more > limit {
            all.push(mem::take(&mut part));
            cost = 0;
        }
        part.push(character);
        cost += more;
    }
    all.push(part);
    all
}

/// Bytes that `text` takes inside a JSON string.
fn json_cost(text: &str) -> usize {
    // Without branches and with small sums, so that the compiler can count many bytes at once.
    let cost = |byte: &u8| {
        let is_control = u8::from(*byte < 0x20);
        let is_short = u8::from((*byte == b'\n') | (*byte == b'\r') | (*byte == b'\t'));
        let is_quoted = u8::from((*byte == b'"') | (*byte == b'\\'));
        1 + is_quoted + 5 * is_control - 4 * is_short
    };
    text.as_bytes().chunks(32).map(|few| usize::from(few.iter().map(cost).sum::<u8>())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts_of(chunks: &[&[u8]]) -> Vec<String> {
        let mut stream = Stream::new(None);
        let mut texts = Vec::new();
        for (index, chunk) in chunks.iter().enumerate() {
            stream.waiting.extend_from_slice(chunk);
            texts.push(stream.take(index + 1 == chunks.len()));
        }
        texts
    }

    #[test]
    fn a_character_over_a_border_comes_whole() {
        assert_eq!(texts_of(&[b"a\xc3", b"\xa9b"]), ["a", "éb"]);
        assert_eq!(texts_of(&[b"\xf0\x9f", b"\x98", b"\x80"]), ["", "", "😀"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(texts_of(&[b"a\xffb", b""]), ["a\u{fffd}b", ""]);
        assert_eq!(texts_of(&[b"a\x80\x80\x80\x80", b"c"]), ["a\u{fffd}\u{fffd}\u{fffd}\u{fffd}", "c"]);
        assert_eq!(texts_of(&[b"a\xc3"]), ["a\u{fffd}"]);
    }

    #[test]
    fn long_text_is_parted_by_its_size_as_json() {
        assert_eq!(parts("abcd".into(), 4), ["abcd"]);
        assert_eq!(parts("\u{1}\u{1}ä".into(), 8), ["\u{1}", "\u{1}ä"]);
    }
}

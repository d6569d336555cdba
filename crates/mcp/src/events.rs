//! Server-sent events, as they arrive.

use std::collections::VecDeque;

use reqwest::Response;

use crate::Error;

/// One event: its name, `message` unless it says otherwise, and its lines of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub name: String,
    pub data: String,
}

/// The events of an answer.
pub(crate) struct Events {
    response: Response,
    reader: Reader,
    /// Bytes that are still taken.
    left: usize,
}

impl Events {
    pub fn new(response: Response, most: usize) -> Self {
        Self { response, reader: Reader::default(), left: most }
    }

    /// `None` once the answer is over.
    ///
    /// # Errors
    /// Where the connection fails, or more comes than is taken.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.reader.ready.pop_front() {
                return Ok(Some(event));
            }
            let Some(piece) = self.response.chunk().await? else { return Ok(None) };
            self.left = self.left.checked_sub(piece.len()).ok_or(Error::TooLarge)?;
            self.reader.read(&piece);
        }
    }
}

#[derive(Default)]
struct Reader {
    /// A line that is not over.
    line: Vec<u8>,
    name: Option<String>,
    data: Option<String>,
    ready: VecDeque<Event>,
}

impl Reader {
    fn read(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let line = String::from_utf8_lossy(&line);
                self.take(line.trim_end_matches(['\n', '\r']));
            }
        }
    }

    fn take(&mut self, line: &str) {
        if line.is_empty() {
            let name = self.name.take().unwrap_or_else(|| "message".to_owned());
            self.ready.extend(self.data.take().map(|data| Event { name, data }));
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // Comments, which keep connections open, have no name.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": hello\n\nevent: endpoint\ndata: /m?s=1\r\n\r\ndata: {\"a\":\ndata: 1}\nid: 7\n\nevent: x\n\ndata: cut";

    fn read_in_pieces_of(size: usize) -> Vec<Event> {
        let mut reader = Reader::default();
        STREAM.as_bytes().chunks(size).for_each(|piece| reader.read(piece));
        reader.ready.into()
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let event = |name: &str, data: &str| Event { name: name.to_owned(), data: data.to_owned() };
        let all = vec![event("endpoint", "/m?s=1"), event("message", "{\"a\":\n1}")];
        for size in [1, 2, 7, 1_000] {
            assert_eq!(read_in_pieces_of(size), all, "{size}");
        }
    }
}

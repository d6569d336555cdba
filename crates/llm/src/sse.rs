//! Reads server-sent events from bytes that may be split anywhere.

/// One event; `name` is empty where the server gave none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SseEvent {
    pub name: String,
    pub data: String,
}

/// An event grew beyond [`MAX_EVENT_BYTES`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

pub(crate) const MAX_EVENT_BYTES: usize = 16 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Where lines end: at an LF, a CR, or both.
#[derive(Default)]
struct Lines {
    /// The last byte was a CR: an LF right after it belongs to the same line end.
    after_cr: bool,
}

impl Lines {
    /// Takes the next piece of a line off `rest`, and says whether its line ends there.
    fn next<'a>(&mut self, rest: &mut &'a [u8]) -> Option<(&'a [u8], bool)> {
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            *rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        if rest.is_empty() {
            return None;
        }
        let Some(end) = memchr::memchr2(b'\n', b'\r', rest) else {
            return Some((std::mem::take(rest), false));
        };
        let (piece, tail) = rest.split_at(end);
        *rest = match tail {
            [b'\r', b'\n', after @ ..] | [_, after @ ..] => after,
            [] => tail,
        };
        self.after_cr = tail == b"\r";
        Some((piece, true))
    }
}

#[derive(Default)]
pub(crate) struct SseReader {
    line: Vec<u8>,
    name: String,
    data: String,
    has_data: bool,
    lines: Lines,
    began: bool,
}

impl SseReader {
    /// Takes the next bytes and calls `deliver` with every event they complete.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut deliver: impl FnMut(SseEvent)) -> Result<(), TooLong> {
        let mut rest = bytes;
        while let Some((piece, ends)) = self.lines.next(&mut rest) {
            self.take(piece)?;
            if ends {
                self.finish_line(&mut deliver);
            }
        }
        Ok(())
    }

    /// The stream is over: what was begun and never ended is delivered, as far as it came.
    pub(crate) fn finish(&mut self, mut deliver: impl FnMut(SseEvent)) {
        if !self.line.is_empty() {
            self.finish_line(&mut deliver);
        }
        self.dispatch(&mut deliver);
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + self.data.len() + piece.len() > MAX_EVENT_BYTES {
            return Err(TooLong);
        }
        self.line.extend_from_slice(piece);
        Ok(())
    }

    fn finish_line(&mut self, deliver: &mut impl FnMut(SseEvent)) {
        let line = std::mem::take(&mut self.line);
        let mut text = line.as_slice();
        if !std::mem::replace(&mut self.began, true) {
            text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        if text.is_empty() {
            self.dispatch(deliver);
        } else {
            self.field(text);
        }
        self.line = line;
        self.line.clear();
    }

    fn dispatch(&mut self, deliver: &mut impl FnMut(SseEvent)) {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        // One that holds nothing is a sign of life, as a comment is.
        if std::mem::take(&mut self.has_data) && !data.trim_ascii().is_empty() {
            deliver(SseEvent { name, data });
        }
    }

    fn field(&mut self, line: &[u8]) {
        let (field, value) = match memchr::memchr(b':', line) {
            Some(colon) => {
                let (field, value) = line.split_at(colon);
                let value = value.strip_prefix(b":").unwrap_or(value);
                (field, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        match field {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(&String::from_utf8_lossy(value));
            }
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
    }
}

/// What passes by of a stream's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passing<'a> {
    /// The next bytes of an event's data.
    Data(&'a [u8]),
    /// The event is whole.
    End,
}

/// Shows the data of events as it comes, and holds nothing of it: an event may be as long as it likes.
#[derive(Default)]
pub(crate) struct SsePasser {
    place: Place,
    has_data: bool,
    lines: Lines,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Behind so many bytes of the mark with which a stream may begin.
    Mark(usize),
    /// Behind so many bytes of the name of the data's field.
    Name(usize),
    Data,
    Other,
}

const DATA: &[u8] = b"data:";

impl Default for Place {
    fn default() -> Self {
        Self::Mark(0)
    }
}

impl SsePasser {
    pub(crate) fn feed(&mut self, bytes: &[u8], mut show: impl FnMut(Passing<'_>)) {
        let mut rest = bytes;
        while let Some((piece, ends)) = self.lines.next(&mut rest) {
            self.take(piece, &mut show);
            if ends {
                self.finish_line(&mut show);
            }
        }
    }

    fn take(&mut self, piece: &[u8], show: &mut impl FnMut(Passing<'_>)) {
        let mut rest = piece;
        while let Some((byte, after)) = rest.split_first() {
            self.place = match self.place {
                Place::Data => {
                    self.has_data |= !rest.trim_ascii().is_empty();
                    return show(Passing::Data(rest));
                }
                Place::Other => return,
                Place::Mark(read) if BYTE_ORDER_MARK.get(read) == Some(byte) => match read + 1 {
                    read if read == BYTE_ORDER_MARK.len() => Place::Name(0),
                    read => Place::Mark(read),
                },
                // There is no mark, and this is the first byte of a field.
                Place::Mark(0) => {
                    self.place = Place::Name(0);
                    continue;
                }
                Place::Name(read) if DATA.get(read) == Some(byte) => match read + 1 {
                    read if read == DATA.len() => Place::Data,
                    read => Place::Name(read),
                },
                Place::Mark(_) | Place::Name(_) => Place::Other,
            };
            rest = after;
        }
    }

    fn finish_line(&mut self, show: &mut impl FnMut(Passing<'_>)) {
        match std::mem::replace(&mut self.place, Place::Name(0)) {
            Place::Mark(0) | Place::Name(0) if std::mem::take(&mut self.has_data) => show(Passing::End),
            Place::Data => show(Passing::Data(b"\n")),
            Place::Mark(_) | Place::Name(_) | Place::Other => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<SseEvent> {
        let (mut reader, mut events) = (SseReader::default(), Vec::new());
        for piece in pieces {
            reader.feed(piece, |event| events.push(event)).unwrap();
        }
        events
    }

    fn event(name: &str, data: &str) -> SseEvent {
        SseEvent { name: name.to_owned(), data: data.to_owned() }
    }

    /// The data of each event that passes by, without white space.
    fn passed(pieces: &[&[u8]]) -> Vec<String> {
        let (mut passer, mut events, mut data) = (SsePasser::default(), Vec::new(), Vec::new());
        for piece in pieces {
            passer.feed(piece, |passing| match passing {
                Passing::Data(bytes) => data.extend_from_slice(bytes),
                Passing::End => events.push(String::from_utf8(std::mem::take(&mut data)).unwrap()),
            });
        }
        events.into_iter().map(without_space).collect()
    }

    fn without_space(text: String) -> String {
        text.split_whitespace().collect()
    }

    #[test]
    fn comments_and_unknown_fields_are_skipped() {
        let events = read(&[b": ping\n\nid: 7\nretry: 5\ndata: a\n\n"]);
        assert_eq!(events, [event("", "a")]);
    }

    #[test]
    fn several_data_lines_are_one_event() {
        let events = read(&[b"event: x\ndata: a\ndata:b\ndata\n\n"]);
        assert_eq!(events, [event("x", "a\nb\n")]);
    }

    #[test]
    fn a_name_does_not_reach_the_next_event() {
        let events = read(&[b"event: x\n\ndata: a\n\n"]);
        assert_eq!(events, [event("", "a")]);
    }

    #[test]
    fn an_event_that_holds_nothing_is_none() {
        assert_eq!(read(&[b"data:\n\nevent: ping\ndata: \n\ndata: a\n\n"]), [event("", "a")]);
    }

    #[test]
    fn an_event_without_its_blank_line_is_delivered_when_nothing_more_comes() {
        for cut in ["data: a\ndata: b\n", "data: a\ndata: b"] {
            let (mut reader, mut events) = (SseReader::default(), Vec::new());
            reader.feed(cut.as_bytes(), |event| events.push(event)).unwrap();
            assert_eq!(events, []);
            reader.finish(|event| events.push(event));
            reader.finish(|event| events.push(event));
            assert_eq!(events, [event("", "a\nb")]);
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut reader = SseReader::default();
        let block = vec![b'x'; MAX_EVENT_BYTES / 2 + 1];
        assert_eq!(reader.feed(&block, |_| {}), Ok(()));
        assert_eq!(reader.feed(&block, |_| {}), Err(TooLong));
    }

    proptest! {
        /// Wherever the bytes are cut and whatever ends the lines, the events are the same.
        #[test]
        fn splits_and_line_ends_do_not_matter(
            data in prop::collection::vec("[a-zé:{}\" ]{0,12}", 1..6),
            end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut wire = String::from("\u{feff}");
            for line in &data {
                for part in [&format!("data: {line}"), ": comment", ""] {
                    wire.push_str(part);
                    wire.push_str(end);
                }
            }
            let wire = wire.as_bytes();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
            places.extend([0, wire.len()]);
            places.sort_unstable();
            let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect();
            let filled = data.iter().filter(|line| !line.trim_ascii().is_empty());
            let expected: Vec<SseEvent> = filled.map(|line| event("", line)).collect();
            prop_assert_eq!(&read(&pieces), &expected);
            let data = expected.into_iter().map(|event| without_space(event.data));
            prop_assert_eq!(passed(&pieces), data.collect::<Vec<_>>());
        }
    }
}

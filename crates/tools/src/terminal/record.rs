//! The shell's words to us in its output: that it takes a command, and that it is ready for the next one.
//!
//! A record is `1e TOKEN 1f field 1f field … 1e TOKEN 1e`. TOKEN is random per shell and stands in the shell's
//! variables only next to the written form of `1e`, so no listing of them can be taken for a record. [`super::words`] has
//! what prints them. What a job prints may come in between where one is long: that is one of its own then, and may be lost.

/// What the shell says when it is ready for the next command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Number of the command that was run last; 0 for the preparation of the shell.
    pub sequence: u64,
    pub status: i32,
    pub state: State,
    pub directory: String,
    pub path: String,
}

/// A Ctrl-C tells its status to the prompt, whatever else is lost.
const CUT_SHORT: i32 = 130;

impl Prompt {
    /// None: the shell has not kept it, or may not have run the command.
    pub fn exit_code(&self) -> Option<i32> {
        match self.state {
            State::Sound | State::Mended | State::Limping | State::Spoilt => Some(self.status),
            State::Unfit => Some(self.status).filter(|status| *status == CUT_SHORT),
            State::Mute => None,
        }
    }
}

/// How the last command has left the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Sound,
    /// Its own input or output had been redirected and was put back.
    Mended,
    /// The prompt had to be the record: whether the shell can run anything is not known.
    Limping,
    /// The same, and what the command has changed is not put back, nor its status kept.
    Unfit,
    /// The prompts cannot be kept quiet any more.
    Spoilt,
    /// It has not said that it begins the command, so it may not have run it.
    Mute,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Text(&'a [u8]),
    /// The command of this number begins.
    Begun(u64),
    Prompt(Prompt),
}

/// Where the shell is, as far as it has said.
#[derive(Clone, Default)]
struct Place {
    directory: String,
    path: String,
}

/// A record may not be longer: `$PATH` and a directory fit with room to spare.
const MAX_RECORD: usize = 256 * 1024;

/// Splits a stream of bytes into text and records; a record may come in any number of reads.
pub struct Scanner {
    /// How each record begins and ends: one more byte tells which.
    mark: Vec<u8>,
    place: Place,
    /// What may be (part of) a record.
    held: Vec<u8>,
}

impl Scanner {
    pub fn new(token: &str) -> Self {
        Self { mark: format!("\u{1e}{token}").into_bytes(), place: Place::default(), held: Vec::new() }
    }

    /// Calls `take` for every piece that is complete with `bytes`.
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(Piece)) {
        if self.held.is_empty() {
            let used = self.scan(bytes, &mut take);
            self.held.extend_from_slice(bytes.get(used..).unwrap_or_default());
            return;
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let used = self.scan(&held, &mut take);
        held.drain(..used);
        // A fresh vector: the old one may have grown to a whole record.
        self.held = held.as_slice().to_vec();
    }

    /// Gives out what was held back, at the end of the stream.
    pub fn finish(&mut self, mut take: impl FnMut(Piece)) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            take(Piece::Text(&held));
        }
    }

    /// How many bytes were given out; the rest may be the beginning of a record.
    fn scan(&mut self, bytes: &[u8], take: &mut impl FnMut(Piece)) -> usize {
        let mut used = 0;
        let mut search = 0;
        while let Some(found) = memchr::memchr(0x1e, bytes.get(search..).unwrap_or_default()) {
            let start = search + found;
            let rest = bytes.get(start..).unwrap_or_default();
            if !begins(rest, &self.mark) {
                search = start + 1;
                continue;
            }
            give_text(bytes, used, start, take);
            used = start;
            let Some(end) = self.end_of(rest) else {
                if rest.len() > MAX_RECORD {
                    search = start + 1;
                    continue;
                }
                return used;
            };
            used = start + end.length;
            search = used;
            let fields = rest.get(self.mark.len() + 1..end.fields).unwrap_or_default();
            if end.is_whole
                && let Some(piece) = self.read(fields)
            {
                take(piece);
            }
        }
        give_text(bytes, used, bytes.len(), take);
        bytes.len()
    }

    /// Where the record ends that `bytes` begin with: at its end mark, or where another one begins in it.
    fn end_of(&self, bytes: &[u8]) -> Option<End> {
        let mut search = self.mark.len();
        loop {
            let fields = search + memchr::memmem::find(bytes.get(search..)?, &self.mark)?;
            let behind = fields + self.mark.len();
            match bytes.get(behind)? {
                0x1e => return Some(End { fields, length: behind + 1, is_whole: true }),
                0x1f => return Some(End { fields, length: fields, is_whole: false }),
                _ => search = behind,
            }
        }
    }

    fn read(&mut self, fields: &[u8]) -> Option<Piece<'static>> {
        let text = String::from_utf8_lossy(fields);
        let mut fields = text.splitn(4, '\u{1f}');
        let first = fields.next()?;
        let second = fields.next()?;
        if first == "place" {
            let place = text.get(first.len() + 1 + second.len()..)?;
            // In letters or in bytes, by the shell's locale.
            let length = second.parse().ok()?;
            if [place.len(), place.chars().count()].contains(&length) {
                self.place.update(place.get(1..)?);
            }
            return None;
        }
        let sequence = first.parse().ok()?;
        if second == "begun" {
            return Some(Piece::Begun(sequence));
        }
        let status = second.parse().ok()?;
        let state = State::read(fields.next()?);
        if let Some(place) = fields.next() {
            self.place.update(place);
        }
        let Place { directory, path } = self.place.clone();
        Some(Piece::Prompt(Prompt { sequence, status, state, directory, path }))
    }
}

struct End {
    /// Where the fields end.
    fields: usize,
    length: usize,
    /// What a job has printed has not come in between.
    is_whole: bool,
}

impl Place {
    /// By the directory and, if it is short, `$PATH`.
    fn update(&mut self, text: &str) {
        let (directory, path) = text.split_once('\u{1f}').map_or((text, None), |(one, two)| (one, Some(two)));
        self.directory = directory.to_owned();
        if let Some(path) = path {
            self.path = path.to_owned();
        }
    }
}

/// Whether `bytes` begin like a record, as far as they go.
fn begins(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.iter().zip(mark.iter().chain(&[0x1f])).all(|(one, other)| one == other)
}

fn give_text(bytes: &[u8], from: usize, to: usize, take: &mut impl FnMut(Piece)) {
    if let Some(text) = bytes.get(from..to)
        && !text.is_empty()
    {
        take(Piece::Text(text));
    }
}

impl State {
    /// Whether the prompt may have been printed by a program of the command, to which it was exported.
    pub fn is_of_the_prompt(self) -> bool {
        matches!(self, Self::Limping | Self::Unfit)
    }

    /// Whether what the command has changed is put back.
    pub fn is_tidy(self) -> bool {
        matches!(self, Self::Sound | Self::Mended)
    }

    fn read(mark: &str) -> Self {
        match mark {
            "" => Self::Sound,
            "f" => Self::Mended,
            "r" => Self::Spoilt,
            "ps" => Self::Limping,
            _ => Self::Unfit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(chunks: &[&[u8]]) -> (Vec<u8>, Vec<Prompt>) {
        let (mut text, mut prompts) = (Vec::new(), Vec::new());
        let mut scanner = Scanner::new("TOKEN");
        let mut take = |piece: Piece| match piece {
            Piece::Text(bytes) => text.extend_from_slice(bytes),
            Piece::Begun(sequence) => text.extend(format!("<{sequence}>").into_bytes()),
            Piece::Prompt(prompt) => prompts.push(prompt),
        };
        for chunk in chunks {
            scanner.feed(chunk, &mut take);
        }
        scanner.finish(&mut take);
        (text, prompts)
    }

    const STREAM: &[u8] = b"\x1eTOKEN\x1f7\x1fbegun\x1eTOKEN\x1eout\x1e\x1eTOK\
        \x1eTOKEN\x1f7\x1f130\x1ff\x1f/a b\x1f/bin:/x\x1eTOKEN\x1eafter";

    #[test]
    fn a_record_is_found_however_it_is_split() {
        let (directory, path) = ("/a b".to_owned(), "/bin:/x".to_owned());
        let prompt = Prompt { sequence: 7, status: 130, state: State::Mended, directory, path };
        let expected = (b"<7>out\x1e\x1eTOKafter".to_vec(), vec![prompt]);
        for split in 0..=STREAM.len() {
            let (one, two) = STREAM.split_at(split);
            assert_eq!(run(&[one, two]), expected, "split at {split}");
        }
        let bytes: Vec<_> = STREAM.chunks(1).collect();
        assert_eq!(run(&bytes), expected);
    }

    #[test]
    fn a_record_that_something_was_printed_into_costs_no_other_one() {
        let place = |length: &str, path: &str| format!("\x1eTOKEN\x1fplace\x1f{length}\x1f/a\x1f{path}");
        let end = "\x1eTOKEN\x1e\x1eTOKEN\x1f8\x1f0\x1f\x1eTOKEN\x1e";
        for (printed, path) in [
            (place("8", "/bin") + end, "/bin"),
            (place("8", "/bön") + end, "/bön"),
            (place("8", "/bi-xxx-n") + end, "/old"),
            (place("8", "/bin") + &end.replacen("TOKEN", "TO-xxx-KEN", 1), "/old"),
        ] {
            let before = "\x1eTOKEN\x1f7\x1f0\x1f\x1f/old\x1f/old\x1eTOKEN\x1e";
            let (_, prompts) = run(&[before.as_bytes(), printed.as_bytes()]);
            let ends: Vec<_> = prompts.iter().map(|prompt| (prompt.sequence, prompt.path.as_str())).collect();
            assert_eq!(ends, [(7, "/old"), (8, path)], "{printed:?}");
        }
    }

    #[test]
    fn an_unfinished_record_is_text_at_the_end() {
        assert_eq!(run(&[b"a\x1eTOKEN\x1f1"]), (b"a\x1eTOKEN\x1f1".to_vec(), Vec::new()));
    }

    #[test]
    fn what_the_shell_is_told_to_print_is_not_a_record() {
        let text = super::super::words::lesson("TOKEN", "/dev/pts/0");
        assert_eq!(run(&[text.as_bytes()]), (text.clone().into_bytes(), Vec::new()));
    }
}

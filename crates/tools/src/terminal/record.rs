//! The shell's prompt as a record in its output: who found it, finds the end of a command.
//!
//! A record is `1e TOKEN 1f sequence 1f status 1f directory 1f path 1e TOKEN 1e`. TOKEN is random per shell
//! and stands in the shell's variables only next to the written form of `1e`, so no listing of them can be
//! taken for a record.

/// What the shell says when it is ready for the next command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Number of the command that was run last; 0 for the preparation of the shell.
    pub sequence: u64,
    pub status: i32,
    pub directory: String,
    pub path: String,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Text(&'a [u8]),
    Prompt(Prompt),
}

/// A record may not be longer: `$PATH` and a directory fit with room to spare.
const MAX_RECORD: usize = 256 * 1024;

/// The prompt command that prints a record and keeps prompts invisible.
pub fn prompt_command(token: &str) -> String {
    format!(
        "{{ builtin printf '\\036{token}\\037%s\\037%s\\037%s\\037%s\\036{token}\\036' \
         \"${{__prompt_n-}}\" \"${{__prompt_s-$?}}\" \"${{PWD-}}\" \"${{PATH-}}\"; \
         unset __prompt_s; PS1= PS2=; }} >/dev/tty 2>/dev/null"
    )
}

/// Splits a stream of bytes into text and records; a record may come in any number of reads.
pub struct Scanner {
    begin: Vec<u8>,
    end: Vec<u8>,
    /// What may be (part of) a record.
    held: Vec<u8>,
}

impl Scanner {
    pub fn new(token: &str) -> Self {
        let begin = format!("\u{1e}{token}\u{1f}").into_bytes();
        let end = format!("\u{1e}{token}\u{1e}").into_bytes();
        Self { begin, end, held: Vec::new() }
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
    fn scan(&self, bytes: &[u8], take: &mut impl FnMut(Piece)) -> usize {
        let mut used = 0;
        let mut search = 0;
        while let Some(found) = memchr::memchr(0x1e, bytes.get(search..).unwrap_or_default()) {
            let start = search + found;
            let rest = bytes.get(start..).unwrap_or_default();
            if !agrees(rest, &self.begin) {
                search = start + 1;
                continue;
            }
            give_text(bytes, used, start, take);
            used = start;
            let Some(length) = memchr::memmem::find(rest, &self.end) else {
                if rest.len() > MAX_RECORD {
                    search = start + 1;
                    continue;
                }
                return used;
            };
            let fields = rest.get(self.begin.len()..length).unwrap_or_default();
            if let Some(prompt) = read(fields) {
                take(Piece::Prompt(prompt));
            }
            used = start + length + self.end.len();
            search = used;
        }
        give_text(bytes, used, bytes.len(), take);
        bytes.len()
    }
}

/// Whether `bytes` begin like `mark`, as far as they go.
fn agrees(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.iter().zip(mark).all(|(one, other)| one == other)
}

fn give_text(bytes: &[u8], from: usize, to: usize, take: &mut impl FnMut(Piece)) {
    if let Some(text) = bytes.get(from..to)
        && !text.is_empty()
    {
        take(Piece::Text(text));
    }
}

fn read(fields: &[u8]) -> Option<Prompt> {
    let text = String::from_utf8_lossy(fields);
    let mut fields = text.splitn(4, '\u{1f}');
    Some(Prompt {
        sequence: fields.next()?.parse().ok()?,
        status: fields.next()?.parse().ok()?,
        directory: fields.next()?.to_owned(),
        path: fields.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(chunks: &[&[u8]]) -> (Vec<u8>, Vec<Prompt>) {
        let (mut text, mut prompts) = (Vec::new(), Vec::new());
        let mut scanner = Scanner::new("TOKEN");
        let mut take = |piece: Piece| match piece {
            Piece::Text(bytes) => text.extend_from_slice(bytes),
            Piece::Prompt(prompt) => prompts.push(prompt),
        };
        for chunk in chunks {
            scanner.feed(chunk, &mut take);
        }
        scanner.finish(&mut take);
        (text, prompts)
    }

    const STREAM: &[u8] = b"out\x1e\x1eTOK\x1eTOKEN\x1f7\x1f130\x1f/a b\x1f/bin:/x\x1eTOKEN\x1eafter";

    #[test]
    fn a_record_is_found_however_it_is_split() {
        let prompt =
            Prompt { sequence: 7, status: 130, directory: "/a b".to_owned(), path: "/bin:/x".to_owned() };
        let expected = (b"out\x1e\x1eTOKafter".to_vec(), vec![prompt]);
        for split in 0..=STREAM.len() {
            let (one, two) = STREAM.split_at(split);
            assert_eq!(run(&[one, two]), expected, "split at {split}");
        }
        let bytes: Vec<_> = STREAM.chunks(1).collect();
        assert_eq!(run(&bytes), expected);
    }

    #[test]
    fn an_unfinished_record_is_text_at_the_end() {
        assert_eq!(run(&[b"a\x1eTOKEN\x1f1"]), (b"a\x1eTOKEN\x1f1".to_vec(), Vec::new()));
    }

    #[test]
    fn the_prompt_command_itself_is_not_a_record() {
        let text = prompt_command("TOKEN");
        assert_eq!(run(&[text.as_bytes()]), (text.clone().into_bytes(), Vec::new()));
    }
}

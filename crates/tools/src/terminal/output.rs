//! What a command has printed and nobody has reported yet: all of it in memory while it is small, its two
//! ends in memory and the whole in a file when it is large. Secrets are hidden before any of it is cut or saved.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::clean::Cleaner;
use crate::folder::fresh_file;
use crate::secrets::{Screen, Secrets};

/// Characters an observation may hold.
pub const MAX_CHARS: usize = 30_000;
/// Bytes kept in memory before a file is begun.
const SPILL_BYTES: usize = 1024 * 1024;
/// Bytes that go to the file at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Bytes kept of each end: [`MAX_CHARS`] letters of four bytes and more than enough.
const END_BYTES: usize = 4 * MAX_CHARS;
/// The file grows no further.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

pub struct Output {
    folder: PathBuf,
    cleaner: Cleaner,
    secrets: Arc<dyn Secrets>,
    /// Knows the secrets that were known when the text began.
    screen: Option<Box<dyn Screen>>,
    /// The whole text, or its end when there is a `spill`.
    text: String,
    spill: Option<Spill>,
    pub last_change: Instant,
    /// What is printed until the next command begins is nobody's.
    muted: bool,
}

/// The part of an output that went to a file.
struct Spill {
    target: Result<Target, String>,
    head: String,
    /// How much of the beginning of `text` is in the file already.
    saved: usize,
    /// Letters that are no longer in `text`.
    dropped_chars: usize,
}

#[derive(Clone)]
struct Target {
    file: Arc<File>,
    path: PathBuf,
    length: u64,
}

/// A piece of text that belongs into a file. Pieces may be written in any order.
pub struct Overflow {
    file: Arc<File>,
    offset: u64,
    text: String,
}

impl Overflow {
    /// Blocks.
    pub fn write(&self) -> io::Result<()> {
        self.file.write_all_at(self.text.as_bytes(), self.offset)
    }
}

/// Text ready to be shown, and the rest of it for the file.
pub struct Report {
    pub text: String,
    spill: Option<Spill>,
}

impl Output {
    /// `folder` is where large outputs are saved; it is made when needed.
    pub fn new(folder: &Path, secrets: Arc<dyn Secrets>) -> Self {
        Self {
            folder: folder.to_owned(),
            cleaner: Cleaner::default(),
            secrets,
            screen: None,
            text: String::new(),
            spill: None,
            last_change: Instant::now(),
            muted: false,
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.last_change = Instant::now();
        if self.muted {
            return;
        }
        let mut lines = String::new();
        self.cleaner.feed(bytes, &mut lines);
        self.show(&lines);
    }

    /// A command begins, and with it secrets may be known that were not.
    pub fn begin(&mut self) {
        self.muted = false;
        self.end_screen();
    }

    pub fn mute(&mut self) {
        self.muted = true;
    }

    fn end_screen(&mut self) {
        if let Some(mut screen) = self.screen.take() {
            self.text.push_str(&screen.finish());
        }
    }

    fn show(&mut self, lines: &str) {
        if !lines.is_empty() {
            let screen = self.screen.get_or_insert_with(|| self.secrets.screen());
            self.text.push_str(&screen.push(lines));
        }
    }

    /// What has to go to the file by now. May make the file.
    pub fn take_overflow(&mut self) -> Option<Overflow> {
        let spill = match &mut self.spill {
            Some(spill) if self.text.len() - spill.saved >= CHUNK_BYTES => spill,
            None if self.text.len() >= SPILL_BYTES => self.spill.insert(Spill::new(&self.folder, &self.text)),
            Some(_) | None => return None,
        };
        let overflow = spill.save(&self.text);
        let cut = self.text.floor_char_boundary(self.text.len().saturating_sub(END_BYTES));
        spill.dropped_chars += self.text.get(..cut).unwrap_or_default().chars().count();
        spill.saved -= cut;
        self.text = self.text.get(cut..).unwrap_or_default().to_owned();
        overflow
    }

    /// Here the command ends: what it has begun and not ended, be it a letter or an escape sequence, does not reach into the
    /// next one.
    pub fn end_unfinished(&mut self) {
        self.cleaner.end();
    }

    /// Takes everything printed since the last report, but half a letter or escape sequence: a job may be printing the rest.
    /// While the command is not `over`, what may be the beginning of a secret waits for the next one, too.
    pub fn take(&mut self, over: bool) -> Report {
        let line = self.cleaner.take_line();
        self.show(&line);
        if over {
            self.end_screen();
        }
        Report { text: std::mem::take(&mut self.text), spill: self.spill.take() }
    }
}

impl Spill {
    fn new(folder: &Path, text: &str) -> Self {
        let head = text.get(..text.floor_char_boundary(END_BYTES)).unwrap_or_default().to_owned();
        let target = Target::create(folder).map_err(|error| error.to_string());
        Self { target, head, saved: 0, dropped_chars: 0 }
    }

    /// The part of `text` that is not in the file yet, as far as the file may grow.
    fn save(&mut self, text: &str) -> Option<Overflow> {
        let fresh = text.get(self.saved..).unwrap_or_default();
        self.saved = text.len();
        let target = self.target.as_mut().ok()?;
        let room = usize::try_from(MAX_FILE_BYTES.saturating_sub(target.length)).unwrap_or(usize::MAX);
        let text = fresh.get(..fresh.floor_char_boundary(room)).unwrap_or_default();
        if text.is_empty() {
            return None;
        }
        let overflow =
            Overflow { file: Arc::clone(&target.file), offset: target.length, text: text.to_owned() };
        target.length += text.len() as u64;
        Some(overflow)
    }
}

impl Target {
    fn create(folder: &Path) -> io::Result<Self> {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("terminal_output_{}.txt", name.get(..8).unwrap_or(&name));
        let file = fresh_file(folder, &name)?;
        Ok(Self { file: Arc::new(file), path: folder.join(name), length: 0 })
    }
}

impl Report {
    /// Whether [`Report::finish`] has to write a file.
    pub fn is_large(&self) -> bool {
        self.spill.is_some() || exceeds(self.text.trim_end(), MAX_CHARS)
    }

    /// The text as it is shown: trailing blanks off, the middle of a large one in a file in `folder`. Blocks.
    pub fn finish(self, folder: &Path) -> String {
        if !self.is_large() {
            return self.text.trim_end().to_owned();
        }
        let mut spill = self.spill.unwrap_or_else(|| Spill::new(folder, &self.text));
        if let Some(overflow) = spill.save(&self.text)
            && let Err(error) = overflow.write()
        {
            spill.target = Err(error.to_string());
        }
        spill.shorten(self.text.trim_end())
    }
}

impl Spill {
    fn shorten(&self, tail: &str) -> String {
        let total = self.dropped_chars + tail.chars().count();
        // Room for the notice is found with a first guess of its size.
        let room = MAX_CHARS.saturating_sub(self.notice(total, MAX_CHARS).chars().count());
        let head = first_chars(&self.head, room / 2);
        let notice = self.notice(total - room, head.matches('\n').count() + 1);
        format!("{head}{notice}{}", last_chars(tail, room - room / 2))
    }

    fn notice(&self, cut: usize, line: usize) -> String {
        match &self.target {
            Ok(target) if target.length < MAX_FILE_BYTES => format!(
                "\n[... {cut} characters cut from line {line} on; the whole output is in {} ...]\n",
                target.path.display()
            ),
            Ok(target) => format!(
                "\n[... {cut} characters cut from line {line} on; the first {} MiB of the output are in {} ...]\n",
                MAX_FILE_BYTES / 1024 / 1024,
                target.path.display()
            ),
            Err(error) => format!(
                "\n[... {cut} characters cut from line {line} on; the output could not be saved: {error} ...]\n"
            ),
        }
    }
}

fn exceeds(text: &str, chars: usize) -> bool {
    text.len() > chars && text.chars().count() > chars
}

fn first_chars(text: &str, count: usize) -> &str {
    let end = text.char_indices().nth(count).map_or(text.len(), |(index, _)| index);
    text.get(..end).unwrap_or_default()
}

fn last_chars(text: &str, count: usize) -> &str {
    let start = match count.checked_sub(1) {
        Some(last) => text.char_indices().nth_back(last).map_or(0, |(index, _)| index),
        None => text.len(),
    };
    text.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::NoSecrets;

    fn saved_file(folder: &Path) -> String {
        let mut files = std::fs::read_dir(folder).unwrap();
        let path = files.next().unwrap().unwrap().path();
        assert!(files.next().is_none());
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_small_output_is_given_as_it_is_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::new(folder.path(), Arc::new(NoSecrets));
        output.push(b"one\ntwo \n\n");
        assert!(output.take_overflow().is_none());
        assert_eq!(output.take(true).finish(folder.path()), "one\ntwo");
        assert_eq!(output.take(true).finish(folder.path()), "");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_medium_output_is_cut_in_the_middle_and_saved_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::new(folder.path(), Arc::new(NoSecrets));
        let whole: String = (0..20_000).map(|line| format!("é{line}\n")).collect();
        output.push(whole.as_bytes());
        assert!(output.take_overflow().is_none());
        let shown = output.take(true).finish(folder.path());
        assert!(shown.chars().count() <= MAX_CHARS && shown.chars().count() > MAX_CHARS - 50);
        assert!(shown.starts_with("é0\né1\n") && shown.ends_with("é19998\né19999"));
        assert_eq!(saved_file(folder.path()), whole);
    }

    #[test]
    fn the_notice_names_the_line_where_the_cut_begins() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::new(folder.path(), Arc::new(NoSecrets));
        output.push("123456789\n".repeat(5000).as_bytes());
        let shown = output.take(true).finish(folder.path());
        let (head, _) = shown.split_once("\n[...").unwrap();
        let line = head.matches('\n').count() + 1;
        assert!(shown.contains(&format!("characters cut from line {line} on")), "{shown}");
    }

    #[test]
    fn a_huge_output_stays_small_in_memory_and_whole_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut output = Output::new(folder.path(), Arc::new(NoSecrets));
        let mut whole = String::new();
        for line in 0..500_000 {
            let line = format!("line {line}\n");
            output.push(line.as_bytes());
            whole.push_str(&line);
            if let Some(overflow) = output.take_overflow() {
                overflow.write().unwrap();
            }
            assert!(output.text.len() <= SPILL_BYTES);
        }
        let shown = output.take(true).finish(folder.path());
        assert!(shown.chars().count() <= MAX_CHARS && shown.ends_with("line 499999"));
        assert!(saved_file(folder.path()) == whole);
    }

    #[test]
    fn an_output_that_cannot_be_saved_says_so() {
        let mut output = Output::new(Path::new("/proc/nothing"), Arc::new(NoSecrets));
        output.push("x\n".repeat(40_000).as_bytes());
        let shown = output.take(true).finish(Path::new("/proc/nothing"));
        assert!(shown.contains("could not be saved"), "{shown}");
    }
}

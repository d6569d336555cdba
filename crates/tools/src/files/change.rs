//! A change of a file: what it held before, how it is written, and what an event tells of it.

use std::path::Path;

use super::history::History;
use super::store;
use super::text::{Form, decode, encode, is_binary};

/// A file as it was before an edit.
pub struct Before {
    pub text: String,
    bytes: Vec<u8>,
    form: Form,
}

impl Before {
    /// # Errors
    /// As [`store::read_text`].
    pub fn read(path: &Path) -> Result<Self, String> {
        Ok(Self::of(store::read_text(path)?))
    }

    /// Of a file that need not be text.
    ///
    /// # Errors
    /// As [`store::read`].
    pub fn read_any(path: &Path) -> Result<Self, String> {
        Ok(Self::of(store::read(path)?))
    }

    fn of(bytes: Vec<u8>) -> Self {
        let (text, form) = decode(&bytes);
        Self { text, bytes, form }
    }

    #[must_use]
    pub fn is_text(&self) -> bool {
        !is_binary(&self.bytes)
    }

    /// The text keeps bare newlines; the form gives them back.
    #[must_use]
    pub fn native_newlines(&self, text: &str) -> String {
        if self.form.has_crlf() { text.replace("\r\n", "\n") } else { text.to_owned() }
    }

    /// Makes the file hold `text`, in the form that it has. Answers with what there is to say of that.
    ///
    /// # Errors
    /// As [`store::replace`].
    pub fn save(&self, path: &Path, text: &str, history: &mut History) -> Result<Option<String>, String> {
        self.replace(path, &encode(text, self.form), history)
    }

    /// The same with a text that is written as it is given, whatever the file was.
    ///
    /// # Errors
    /// As [`store::replace`].
    pub fn overwrite(
        &self,
        path: &Path,
        text: &str,
        history: &mut History,
    ) -> Result<Option<String>, String> {
        self.replace(path, &encode(text, Form::PLAIN), history)
    }

    /// Bytes that the file would have with this text.
    #[must_use]
    pub fn size_with(&self, text: &str) -> u64 {
        encode(text, self.form).len() as u64
    }

    fn replace(&self, path: &Path, bytes: &[u8], history: &mut History) -> Result<Option<String>, String> {
        store::replace(path, bytes)?;
        let kept = history.push(path, &self.bytes, bytes);
        Ok(kept.err().map(|error| {
            format!("This edit cannot be undone: what the file held before could not be kept: {error}.")
        }))
    }
}

/// What an event tells of an edit.
#[derive(Default)]
pub struct Told {
    pub old: Option<String>,
    pub new: Option<String>,
    /// What has to be said where that is not all.
    pub remark: Option<String>,
}

impl Told {
    /// Bytes of a file's content that an event may hold, before and after an edit each.
    pub const LONGEST: usize = 100 * 1024;

    /// Contents that are too large for an event are left out of it.
    #[must_use]
    pub fn of(old: Option<String>, new: Option<String>) -> Self {
        let length = |content: &Option<String>| content.as_ref().map_or(0, String::len);
        if length(&old).max(length(&new)) <= Self::LONGEST {
            return Self { old, new, remark: None };
        }
        let remark = format!(
            "[The event of this edit does not hold the file's content before and after it, which is larger than \
             {} KiB.]",
            Self::LONGEST / 1024
        );
        Self { remark: Some(remark), ..Self::default() }
    }

    /// Bytes of what is told.
    #[must_use]
    pub fn size(&self) -> usize {
        [&self.old, &self.new].into_iter().flatten().map(String::len).sum()
    }
}

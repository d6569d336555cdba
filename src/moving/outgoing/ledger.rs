//! What was written into a folder, so that it is known again: the peer may have gone on there.
//!
//! Beside the files of a folder lies a **ledger** of them, a digest for each. A file is written where there is none, or where it
//! has the digest that it was written with; one that somebody has changed since is theirs, and stays. The ledger says what is
//! to be written before it is, beside what was there: so an export that was cut off goes on, and what it has left of a file is
//! never taken for somebody else's.
//!
//! There is one for the whole of an export, which says whose it is and has the files that are kept beside conversations, and
//! one for each conversation. A folder without the first is none that was exported to.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use types::TenantId;

use super::write;
use crate::moving::folder::{self, Unread};

/// The name of a ledger.
pub const MARK: &str = ".manyhands-export";

/// Bytes of one, and of a file that is compared.
const MOST: u64 = 16 << 20;

const CHANGED: &str = "it was changed there since it was exported, and stays as it is";

pub struct Ledger {
    /// What it is beside.
    root: PathBuf,
    says: Map<String, Value>,
}

impl Ledger {
    /// That of a folder; an empty one where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(root: &Path) -> anyhow::Result<Self> {
        let path = || root.join(MARK).display().to_string();
        let says = match folder::text(root, MARK, MOST) {
            Ok(text) if !text.is_empty() => serde_json::from_str(&text).with_context(path)?,
            Ok(_) | Err(Unread::Missing) => Map::new(),
            Err(why) => return Err(why).with_context(path),
        };
        Ok(Self { root: root.to_owned(), says })
    }

    /// # Errors
    /// It is somebody else's.
    pub fn check(&self, tenant: &TenantId) -> anyhow::Result<()> {
        let there = self.says.get("tenant");
        let is_theirs = there.is_some_and(|there| there != tenant.as_str());
        ensure!(!is_theirs, "{} has what another tenant keeps", self.root.display());
        Ok(())
    }

    /// Notes whose export it is.
    ///
    /// # Errors
    /// As [`Ledger::check`]; those of the system.
    pub fn begin(&mut self, tenant: &TenantId) -> anyhow::Result<()> {
        self.check(tenant)?;
        if self.says.is_empty() {
            self.note("tenant", tenant.as_str().into())?;
        }
        Ok(())
    }

    /// Whether a file was written, whatever became of it.
    pub fn has_written(&self, inside: &str) -> bool {
        !self.digests(inside).is_empty()
    }

    /// Whether a file is not there, or as it was written.
    pub fn is_ours(&self, inside: &str) -> bool {
        match self.digest_of(inside) {
            Ok(Some(there)) => self.digests(inside).contains(&there),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Writes a file, unless somebody has changed it: then that is answered, in words.
    ///
    /// # Errors
    /// Those of the system.
    pub fn write(&mut self, inside: &str, content: &[u8]) -> std::io::Result<Result<(), &'static str>> {
        let digest = types::hex(&Sha256::digest(content));
        let there = match self.digest_of(inside) {
            Ok(there) => there,
            Err(Unread::Io(error)) => return Err(error),
            Err(_) => return Ok(Err(CHANGED)),
        };
        let known = self.digests(inside);
        if there.as_ref().is_some_and(|there| *there != digest && !known.contains(there)) {
            return Ok(Err(CHANGED));
        }
        let digests: Vec<String> = there.iter().chain([&digest]).cloned().collect();
        if known != digests && known != [digest.as_str()] {
            self.note_file(inside, digests)?;
        }
        if there.as_ref() != Some(&digest) {
            write::file(&self.root, inside, content)?;
        }
        Ok(Ok(()))
    }

    /// The same of JSON that people may look at.
    ///
    /// # Errors
    /// As [`Ledger::write`].
    pub fn json(&mut self, inside: &str, value: &Value) -> std::io::Result<Result<(), &'static str>> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        self.write(inside, &text)
    }

    /// Whether this is what was noted of `inside`; see [`Ledger::note_as`].
    pub fn has_noted(&self, inside: &str, content: &[u8]) -> bool {
        self.digests(inside) == [types::hex(&Sha256::digest(content))]
    }

    /// Notes that `inside`, which is a folder, is made of this.
    ///
    /// # Errors
    /// Those of the system.
    pub fn note_as(&mut self, inside: &str, content: &[u8]) -> std::io::Result<()> {
        self.note_file(inside, vec![types::hex(&Sha256::digest(content))])
    }

    fn digest_of(&self, inside: &str) -> Result<Option<String>, Unread> {
        match folder::text(&self.root, inside, MOST) {
            Ok(text) if !text.is_empty() => Ok(Some(types::hex(&Sha256::digest(text.as_bytes())))),
            // A machine that went down may leave an empty one.
            Ok(_) | Err(Unread::Missing) => Ok(None),
            Err(why) => Err(why),
        }
    }

    fn digests(&self, inside: &str) -> Vec<String> {
        let known = self.says.get("files").and_then(|files| files.get(inside)).and_then(Value::as_array);
        known.into_iter().flatten().filter_map(|digest| digest.as_str().map(str::to_owned)).collect()
    }

    fn note_file(&mut self, inside: &str, digests: Vec<String>) -> std::io::Result<()> {
        let mut files = self.says.remove("files").unwrap_or_else(|| json!({}));
        if let Some(files) = files.as_object_mut() {
            files.insert(inside.to_owned(), digests.into());
        }
        self.note("files", files)
    }

    fn note(&mut self, name: &str, value: Value) -> std::io::Result<()> {
        self.says.insert(name.to_owned(), value);
        write::file(&self.root, MARK, &serde_json::to_vec(&self.says)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_has_changed_since_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        for content in ["one", "two", "two"] {
            let mut ledger = Ledger::of(dir.path()).unwrap();
            assert_eq!(ledger.write("a/f", content.as_bytes()).unwrap(), Ok(()));
            assert_eq!(read("a/f"), content);
        }
        std::fs::write(dir.path().join("a/f"), "theirs").unwrap();
        let mut ledger = Ledger::of(dir.path()).unwrap();
        assert!(!ledger.is_ours("a/f"));
        assert_eq!(ledger.write("a/f", b"three").unwrap(), Err(CHANGED));
        assert_eq!(read("a/f"), "theirs");
        std::fs::write(dir.path().join("g"), "theirs").unwrap();
        assert_eq!(ledger.write("g", b"ours").unwrap(), Err(CHANGED), "nor what was there before");
    }

    #[test]
    fn what_was_cut_off_before_or_behind_its_file_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let of = || Ledger::of(dir.path()).unwrap();
        assert_eq!(of().write("f", b"one").unwrap(), Ok(()));
        let noted = std::fs::read(dir.path().join(MARK)).unwrap();
        assert_eq!(of().write("f", b"two").unwrap(), Ok(()));
        // The note of the second was made, its file was not.
        std::fs::write(dir.path().join("f"), "one").unwrap();
        assert_eq!(of().write("f", b"three").unwrap(), Ok(()));
        // Of a ledger that is older than the file, the file is somebody else's.
        std::fs::write(dir.path().join(MARK), noted).unwrap();
        assert_eq!(of().write("f", b"four").unwrap(), Err(CHANGED));
    }

    #[test]
    fn an_export_belongs_to_one_tenant() {
        let dir = tempfile::tempdir().unwrap();
        let of = |tenant: &str| Ledger::of(dir.path()).unwrap().begin(&TenantId::parse(tenant).unwrap());
        assert!(of("a").is_ok() && of("a").is_ok() && of("b").is_err());
    }
}

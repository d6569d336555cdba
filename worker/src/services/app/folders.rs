//! Where programs of extensions are, and what they write.

use std::io;
use std::path::{Path, PathBuf};

use ports::rpc::Fault;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::super::fault::bad_request;

/// Of what is to be removed at one time.
pub(super) const MOST_LEFT: usize = 10_000;

/// Of the name of a file in bytes, as most file systems have it, and what of it an ending leaves.
const LONGEST: usize = 255;
const LONGEST_STEM: usize = LONGEST - ".json".len();

pub(super) struct Folders {
    root: PathBuf,
}

impl Folders {
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Unpacked artifacts of an extension, each under its checksum.
    pub fn artifacts(&self, name: &str) -> PathBuf {
        self.root.join("artifacts").join(name)
    }

    pub fn artifact(&self, name: &str, sha256: &str) -> PathBuf {
        self.artifacts(name).join(sha256)
    }

    /// What an earlier worker has not put in its place, or taken out of it and not removed.
    pub fn remains(&self) -> Vec<PathBuf> {
        let own = ["approvals", "data"].map(|name| self.root.join(name));
        // A link leads to what is somebody else's.
        let of_artifacts = entries(&self.root.join("artifacts")).filter(|folder| !folder.is_symlink());
        let all = own.into_iter().chain(of_artifacts).flat_map(|folder| entries(&folder));
        all.filter(|path| is_beside(path)).take(MOST_LEFT).collect()
    }

    /// The program's own.
    pub fn data(&self, name: &str) -> PathBuf {
        self.root.join("data").join(name)
    }

    /// A name may itself be as long as that of a file can be.
    pub fn approval(&self, name: &str) -> PathBuf {
        let file = match name.len() <= LONGEST_STEM {
            true => format!("{name}.json"),
            // No extension is called so.
            false => format!("_{}.json", types::hex(&Sha256::digest(name))),
        };
        self.root.join("approvals").join(file)
    }

    /// The same for every worker that has these folders, one after the other.
    pub fn id(&self) -> String {
        let digest = Sha256::digest(self.root.as_os_str().as_encoded_bytes());
        types::hex(&digest).chars().take(16).collect()
    }
}

/// Small letters, digits and single hyphens between them: a name that leads nowhere else.
///
/// # Errors
/// For any other.
pub(super) fn check(name: &str) -> Result<(), Fault> {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let fits = name.len() <= LONGEST && name.split('-').all(is_part);
    if fits { Ok(()) } else { Err(bad_request("this is no name of an extension")) }
}

/// A checksum as manifests have it; it names a folder.
pub(super) fn is_checksum(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Beside a place, for what is made before it is put there, or was there and is removed.
pub(super) fn beside(place: &Path) -> PathBuf {
    place.with_file_name(format!(".{}", Uuid::new_v4().simple()))
}

pub(super) fn is_beside(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix('.'));
    name.is_some_and(|name| Uuid::try_parse(name).is_ok())
}

/// Takes what is in a place out of it, to be removed where it is then; `None` where nothing is.
///
/// # Errors
/// Those of the operating system.
pub(super) fn take_away(place: &Path) -> io::Result<Option<PathBuf>> {
    let beside = beside(place);
    match std::fs::rename(place, &beside) {
        Ok(()) => Ok(Some(beside)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is in a folder, if it is one.
pub(super) fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

/// The file at `path` below `root`, with no way out.
pub(super) fn contained_file(root: &Path, path: &str) -> Option<PathBuf> {
    let root = root.canonicalize().ok()?;
    let file = root.join(path).canonicalize().ok()?;
    (file.starts_with(&root) && file.is_file()).then_some(file)
}

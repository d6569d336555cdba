//! Extensions that move from one server to another: packed as they are kept here, and unpacked again. No worker is asked.

use std::io::{self, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use tar::{Archive, EntryType};
use types::extensions::{Contents, ExtensionKind};
use uuid::Uuid;

use super::copying::{self, Bounds, Failure};
use super::stage;

/// Bytes of a pack when it is unpacked: those of the files, and a head for each.
const MOST_UNPACKED: u64 = (64 << 20) + 2_000 * 1_024;

/// All of an extension, and what was read in it.
pub struct Packed {
    pub name: String,
    pub version: String,
    pub description: String,
    pub contents: Contents,
    pub pack: Vec<u8>,
}

/// Why a folder is no extension, or none that is taken.
#[derive(Debug, thiserror::Error)]
#[error("it is no such extension, or has more than 2,000 files or 64 MiB of them")]
pub struct Unfit;

/// Packs what is installed in the folder `from`; `scratch` is a folder that nobody else uses, and `installed` the one that what
/// is installed is said to be in.
///
/// # Errors
/// [`Unfit`].
pub fn pack(kind: ExtensionKind, from: &Path, scratch: &Path, installed: &Path) -> Result<Packed, Unfit> {
    let folder = scratch.join(from.file_name().ok_or(Unfit)?);
    copying::copy(from, &folder, &Bounds::OF_AN_EXTENSION).map_err(|_| Unfit)?;
    stage::packed(kind, &folder, installed).map_err(|_| Unfit)
}

/// Copies what is installed in the folder `from` into the folder `installed`, whole or not at all, in the place of what is
/// called so there.
///
/// # Errors
/// Those of reading and writing; [`Unfit`] within one.
pub fn place(from: &Path, installed: &Path, name: &str) -> io::Result<()> {
    let next = installed.join(format!(".{}", Uuid::new_v4().simple()));
    let at = installed.join(name);
    std::fs::create_dir_all(installed)?;
    let copied = copying::copy(from, &next, &Bounds::OF_AN_EXTENSION).map_err(|failure| match failure {
        Failure::Io(error) => error,
        Failure::TooMany | Failure::TooLarge => io::Error::other(Unfit),
    });
    let placed = copied.and_then(|()| {
        trees::remove(&at)?;
        std::fs::rename(&next, &at)
    });
    if placed.is_err() {
        // What stays is hidden, and nobody's.
        let _ = trees::remove(&next);
    }
    placed
}

/// Unpacks files and folders of a pack into `to`, and nothing beside it.
///
/// # Errors
/// Those of reading and writing.
pub fn unpack(pack: &[u8], to: &Path) -> io::Result<()> {
    let mut archive = Archive::new(GzDecoder::new(pack).take(MOST_UNPACKED));
    archive.set_preserve_mtime(false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Directory) {
            entry.unpack_in(to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (from, scratch, to) = (dir.path().join("greeter"), dir.path().join("s"), dir.path().join("to"));
        for folder in [&from.join("more"), &scratch, &to] {
            fs::create_dir_all(folder).unwrap();
        }
        let skill = "---\nname: greeter\ndescription: Greets.\n---\n\nSay hello.\n";
        fs::write(from.join("SKILL.md"), skill).unwrap();
        fs::write(from.join("more/x"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("out")).unwrap();
        let packed = pack(ExtensionKind::Skill, &from, &scratch, Path::new("/h/skills/installed")).unwrap();
        assert_eq!((packed.name.as_str(), packed.description.as_str()), ("greeter", "Greets."));
        unpack(&packed.pack, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("SKILL.md")).unwrap(), skill);
        assert_eq!(fs::read_to_string(to.join("more/x")).unwrap(), "x");
        assert!(!to.join("out").exists());
        assert!(pack(ExtensionKind::Skill, &from.join("more"), &scratch, Path::new("/h")).is_err());
    }

    #[test]
    fn what_is_placed_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (from, installed) = (dir.path().join("greeter"), dir.path().join("installed"));
        fs::create_dir_all(&from).unwrap();
        fs::write(from.join("SKILL.md"), "new").unwrap();
        fs::create_dir_all(installed.join("greeter")).unwrap();
        fs::write(installed.join("greeter/half"), "old").unwrap();
        let names = |folder: &Path| {
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
        };
        place(&from, &installed, "greeter").unwrap();
        assert_eq!(names(&installed.join("greeter")), ["SKILL.md"]);
        fs::File::create(from.join("huge")).unwrap().set_len(65 << 20).unwrap();
        assert!(place(&from, &installed, "greeter").is_err() && place(&from, &installed, "other").is_err());
        assert_eq!(names(&installed), ["greeter"]);
        assert_eq!(names(&installed.join("greeter")), ["SKILL.md"]);
    }
}

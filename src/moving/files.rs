//! What lies beside a conversation's events and is meant for its tools: outputs that were too long for an event, and its plan.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use tools::open::{self, Opened, Symlink};

use super::{folder, is_same};

const OUTPUTS: &str = "observations";
const PLAN: &str = "TASKS.json";

/// Bytes of one of them.
const MOST: u64 = 1 << 30;

/// Copies what is there and not here yet. Nothing to do where both are the same folder.
///
/// # Errors
/// In words, what was not copied.
pub fn copy(from: &Path, to: &Path) -> Result<(), String> {
    if is_same(from, to) {
        return Ok(());
    }
    let outputs = folder::names(&from.join(OUTPUTS)).map_err(|why| format!("{OUTPUTS}: {why}"))?;
    let outputs = outputs.iter().map(|name| format!("{OUTPUTS}/{name}"));
    for name in outputs.chain([PLAN.to_owned()]) {
        one(&from.join(&name), &to.join(&name)).map_err(|error| format!("{name} is not copied: {error}"))?;
    }
    Ok(())
}

/// Whole or not at all; what is no file is left out.
fn one(from: &Path, to: &Path) -> io::Result<()> {
    if to.symlink_metadata().is_ok() {
        return Ok(());
    }
    let file = match open::path(from, Symlink::Refuse) {
        Ok(Opened::File(file)) => file,
        Ok(Opened::Folder | Opened::Other) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let (Some(folder), Some(name)) = (to.parent(), to.file_name()) else { return Ok(()) };
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let draft = folder.join(format!(".{}.new", name.to_string_lossy()));
    let mut copy: File =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    if io::copy(&mut file.take(MOST + 1), &mut copy)? > MOST {
        std::fs::remove_file(&draft)?;
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    std::fs::rename(draft, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_and_the_plan_come_along_and_no_link_does() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir_all(from.join(OUTPUTS).join("folder")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join(OUTPUTS).join("out")).unwrap();
        std::fs::write(from.join(PLAN), "[]").unwrap();
        std::fs::write(from.join("acp"), "secret").unwrap();
        let mut names = Vec::new();
        for name in ["1.txt", "2.txt"] {
            std::fs::write(from.join(OUTPUTS).join(name), name).unwrap();
            names.push(name);
            copy(&from, &to).unwrap();
            assert_eq!(folder::names(&to).unwrap(), [PLAN, OUTPUTS]);
            assert_eq!(folder::names(&to.join(OUTPUTS)).unwrap(), names);
            assert_eq!(std::fs::read_to_string(to.join(OUTPUTS).join(name)).unwrap(), name);
        }
        copy(&from, &from).unwrap();
        copy(&dir.path().join("none"), &dir.path().join("other")).unwrap();
        assert!(!dir.path().join("other").exists());
    }
}

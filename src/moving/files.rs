//! What lies beside a conversation's events and is meant for its tools: outputs that were too long for an event, and its plan.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use tools::open::{self, Opened, Symlink};

use super::folder::{self, Unread};
use super::is_same;

const OUTPUTS: &str = "observations";
pub const PLAN: &str = "TASKS.json";

/// Bytes of all that a conversation has of them.
const MOST: u64 = 1 << 30;

/// Copies what is there and not here yet; answers the names of what was not copied, each with a reason. Nothing to do where both
/// are the same folder.
pub fn copy(from: &Path, to: &Path) -> Vec<(String, String)> {
    if is_same(from, to) {
        return Vec::new();
    }
    let (outputs, mut left_out) = match folder::names(from, OUTPUTS) {
        Ok(names) => (names, Vec::new()),
        Err(why) => (Vec::new(), vec![(OUTPUTS.to_owned(), why.to_string())]),
    };
    let outputs = outputs.iter().map(|name| format!("{OUTPUTS}/{name}"));
    let mut room = MOST;
    for name in [PLAN.to_owned()].into_iter().chain(outputs) {
        match one(from, to, &name, room) {
            Ok(bytes) => room = room.saturating_sub(bytes),
            Err(why) => left_out.push((name, why.to_string())),
        }
    }
    left_out
}

/// Whole or not at all; what is no file is left out. Answers the bytes that it has.
fn one(from: &Path, to: &Path, name: &str, room: u64) -> Result<u64, Unread> {
    if let Ok(there) = to.join(name).symlink_metadata() {
        return Ok(there.len());
    }
    let file = match folder::below(from, name).and_then(|path| Ok(open::path(&path, Symlink::Refuse)?)) {
        Ok(Opened::File(file)) => file,
        Ok(Opened::Folder | Opened::Other) => return Ok(0),
        Err(Unread::Io(error)) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(Unread::Missing) => return Ok(0),
        Err(why) => return Err(why),
    };
    // What has no room is not begun.
    if file.metadata()?.len() > room {
        return Err(Unread::TooLarge(MOST));
    }
    Ok(write(file, to, name, room)?)
}

fn write(file: File, to: &Path, name: &str, room: u64) -> io::Result<u64> {
    let (inside, name) = name.rsplit_once('/').unwrap_or(("", name));
    let folder = folder::make(to, inside)?;
    let draft = folder.join(format!(".{name}.new"));
    remove(&draft)?;
    let mut copy = open::fresh(&draft, 0o600)?;
    let copied = io::copy(&mut file.take(room + 1), &mut copy);
    // What is there is not copied again: it has to be whole after the machine went down, too.
    match copied.and_then(|bytes| copy.sync_all().map(|()| bytes)) {
        Ok(bytes) if bytes <= room => std::fs::rename(draft, folder.join(name)).map(|()| bytes),
        unfinished => {
            remove(&draft)?;
            unfinished.and(Err(ErrorKind::FileTooLarge.into()))
        }
    }
}

/// What is not there is removed.
///
/// # Errors
/// Those of the system.
pub fn remove(file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
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
            assert_eq!(copy(&from, &to), []);
            assert_eq!(folder::names(&to, "").unwrap(), [PLAN, OUTPUTS]);
            assert_eq!(folder::names(&to, OUTPUTS).unwrap(), names);
            assert_eq!(std::fs::read_to_string(to.join(OUTPUTS).join(name)).unwrap(), name);
        }
        assert_eq!(copy(&from, &from), []);
        assert_eq!(copy(&dir.path().join("none"), &dir.path().join("other")), []);
        assert!(!dir.path().join("other").exists());
    }

    #[test]
    fn one_that_cannot_be_copied_keeps_no_other_and_comes_when_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir_all(from.join(OUTPUTS)).unwrap();
        std::fs::write(from.join(PLAN), "[]").unwrap();
        std::fs::write(from.join(OUTPUTS).join("2.txt"), "2").unwrap();
        let huge = File::create(from.join(OUTPUTS).join("1.txt")).unwrap();
        huge.set_len(MOST + 1).unwrap();
        let left_out = copy(&from, &to);
        assert_eq!(
            left_out.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["observations/1.txt"]
        );
        assert_eq!(folder::names(&to, OUTPUTS).unwrap(), ["2.txt"]);
        assert!(to.join(PLAN).exists());
        huge.set_len(1).unwrap();
        assert_eq!(copy(&from, &to), []);
        assert_eq!(folder::names(&to, OUTPUTS).unwrap(), ["1.txt", "2.txt"]);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to, elsewhere) =
            (dir.path().join("from"), dir.path().join("to"), dir.path().join("elsewhere"));
        for folder in [&from.join(OUTPUTS), &to, &elsewhere] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(from.join(OUTPUTS).join("1.txt"), "1").unwrap();
        std::os::unix::fs::symlink(&elsewhere, to.join(OUTPUTS)).unwrap();
        assert_eq!(copy(&from, &to).len(), 1);
        assert_eq!(std::fs::read_dir(elsewhere).unwrap().count(), 0);
    }
}

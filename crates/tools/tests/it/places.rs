//! Files are written wherever they may be, and nothing half is left.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::getuid;
use serde_json::json;

use crate::bench::{Bench, error, text};

/// Where a test is begun again in a process that can do less.
const AGAIN: &str = "MANYHANDS_TEST_AGAIN";

/// Runs one test of this program again, in a folder that it is told.
fn again(test: &str, folder: &Path, shell: &str) -> Command {
    let script = format!("{shell} exec \"$0\" \"$@\"");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]).arg(std::env::current_exe().unwrap()).args(["--exact", test]);
    command.env(AGAIN, folder);
    command
}

/// Its folder may not be written; or it is somebody else's, and must stay so.
#[tokio::test]
async fn a_file_that_may_be_written_is_written_where_none_can_be_made_beside_it() {
    let name = "places::a_file_that_may_be_written_is_written_where_none_can_be_made_beside_it";
    if let Some(folder) = std::env::var_os(AGAIN) {
        let bench = Bench::new();
        for place in ["closed", "open"] {
            let path = Path::new(&folder).join(place).join("a.txt");
            let edit = json!({"file_path": path, "old_string": "one", "new_string": "two"});
            text(&bench.call("edit", edit).await);
        }
        return;
    }
    if !getuid().is_root() {
        testing::may_skip("files of others are written", "only root can make them");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let before = [("closed", 0o755), ("open", 0o777)].map(|(place, mode)| {
        let place = folder.path().join(place);
        fs::create_dir(&place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
        let file = place.join("a.txt");
        fs::write(&file, "one and more\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        file
    });
    let done = again(name, folder.path(), "").uid(65534).gid(65534).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    for file in before {
        assert_eq!(fs::read_to_string(&file).unwrap(), "two and more\n");
        assert_eq!(fs::metadata(&file).unwrap().uid(), 0);
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn of_a_file_for_which_there_is_no_room_nothing_is_left() {
    let name = "places::of_a_file_for_which_there_is_no_room_nothing_is_left";
    if std::env::var_os(AGAIN).is_some() {
        let bench = Bench::new();
        let write = json!({"file_path": "a.txt", "content": "x".repeat(100_000)});
        let seen = bench.call("write_file", write).await;
        assert!(error(&seen).contains("File too large"), "{seen}");
        assert_eq!(bench.files(), []);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let done = again(name, folder.path(), "trap '' XFSZ; ulimit -f 1;").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}

//! The data directory: who may use it, and what is in it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::common::{append, log_path, open, segments, texts};
use manyhands_embedded::{Fsync, OpenError, Options};
use ports::{Error, Expect};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use types::Seq;

#[tokio::test]
async fn a_second_server_is_refused_and_told_who_holds_the_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, guard) = open(folder.path()).await;
    let refused = manyhands_embedded::open(Options::within(folder.path(), Fsync::Always)).await;
    let Err(OpenError::Locked { root, pid }) = refused else { panic!("a second server got in") };
    assert_eq!((root, pid), (folder.path().join("store"), std::process::id().to_string()));
    append(&ports, "0a", Seq::ZERO, &["the first goes on"]).await.unwrap();
    guard.close().await;
    let (ports, _guard) = open(folder.path()).await;
    assert_eq!(texts(&ports, "0a").await, ["the first goes on"]);
}

#[tokio::test]
async fn nobody_else_may_read_anything() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = open(folder.path()).await;
    append(&ports, "0a", Seq::ZERO, &["x"]).await.unwrap();
    append(&ports, "_bash", Seq::ZERO, &["x"]).await.unwrap();
    ports.kv.put("SETTINGS", "key", "value".into(), Expect::Anything).await.unwrap();
    let mut files = 0;
    for name in ["store", "conversations", "bash_events"] {
        files += check_modes(&folder.path().join(name));
    }
    assert_eq!(files, 5, "lock, segment, key and two logs");
}

fn check_modes(path: &Path) -> usize {
    let metadata = fs::metadata(path).unwrap();
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.is_file() {
        assert_eq!(mode, 0o600, "{}", path.display());
        return 1;
    }
    assert_eq!(mode, 0o700, "{}", path.display());
    fs::read_dir(path).unwrap().map(|file| check_modes(&file.unwrap().path())).sum()
}

#[tokio::test]
async fn files_can_be_read_by_a_person() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = open(folder.path()).await;
    append(&ports, "0a", Seq::ZERO, &["{\"n\":0}", "{\"n\":1}"]).await.unwrap();
    append(&ports, "_bash", Seq::ZERO, &["{}"]).await.unwrap();
    let revision = ports.kv.put("SETTINGS", "a.key", "value".into(), Expect::Anything).await.unwrap();
    let read = |path: &str| fs::read_to_string(folder.path().join(path)).unwrap();
    let events = fs::read_to_string(log_path(folder.path(), "0a")).unwrap();
    assert_eq!(events, "{\"n\":0}\n{\"n\":1}\n");
    assert_eq!(read("bash_events/_bash.jsonl"), "{}\n");
    assert_eq!(read("store/kv/SETTINGS/a.key"), format!("{revision}\nvalue"));
}

#[tokio::test]
async fn an_orderly_end_leaves_no_journal() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, guard) = open(folder.path()).await;
    append(&ports, "0a", Seq::ZERO, &["x"]).await.unwrap();
    assert_eq!(segments(folder.path()).len(), 1);
    guard.close().await;
    assert_eq!(segments(folder.path()).len(), 0);
    let refused = append(&ports, "0a", Seq(2), &["too late"]).await;
    assert_eq!(refused, Err(Error::Unavailable("the store is closed".to_owned())));
    assert_eq!(texts(&ports, "0a").await, ["x"]);
}

#[tokio::test]
async fn deleting_a_conversation_removes_its_whole_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = open(folder.path()).await;
    append(&ports, "0a", Seq::ZERO, &["x"]).await.unwrap();
    append(&ports, "0b", Seq::ZERO, &["y"]).await.unwrap();
    let observations = log_path(folder.path(), "0a").with_file_name("observations");
    fs::create_dir(&observations).unwrap();
    fs::write(observations.join("1"), "output").unwrap();
    ports.log.delete(&crate::common::log("0a")).await.unwrap();
    until_gone(&folder.path().join("conversations/.trash")).await;
    let left: Vec<_> = fs::read_dir(folder.path().join("conversations")).unwrap().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(texts(&ports, "0b").await, ["y"]);
}

#[tokio::test]
async fn a_deep_folder_is_deleted_and_keeps_no_start_from_happening() {
    let folder = tempfile::tempdir().unwrap();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(128), ..limit }).unwrap();
    let (ports, guard) = open(folder.path()).await;
    append(&ports, "0a", Seq::ZERO, &["x"]).await.unwrap();
    append(&ports, "0b", Seq::ZERO, &["y"]).await.unwrap();
    let conversation = log_path(folder.path(), "0a").parent().unwrap().to_owned();
    dig(&conversation, 2_000);
    ports.log.delete(&crate::common::log("0a")).await.unwrap();
    assert!(!conversation.exists(), "it is gone at once, whatever is in it");
    append(&ports, "0a", Seq::ZERO, &["made anew"]).await.unwrap();
    crate::common::abandon(folder.path(), ports, guard).await;
    let (ports, _guard) = open(folder.path()).await;
    assert_eq!(texts(&ports, "0a").await, ["made anew"]);
    assert_eq!(texts(&ports, "0b").await, ["y"]);
    until_gone(&folder.path().join("conversations/.trash")).await;
    setrlimit(Resource::Nofile, limit).unwrap();
}

#[tokio::test]
async fn what_an_earlier_process_left_in_the_trash_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let trash = folder.path().join("conversations/.trash");
    dig(&trash.join("0"), 50);
    let (ports, _guard) = open(folder.path()).await;
    append(&ports, "0a", Seq::ZERO, &["x"]).await.unwrap();
    ports.log.delete(&crate::common::log("0a")).await.unwrap();
    until_gone(&trash).await;
}

async fn until_gone(path: &Path) {
    let began = std::time::Instant::now();
    while path.exists() {
        assert!(began.elapsed() < crate::common::PATIENCE, "{} goes", path.display());
        tokio::task::yield_now().await;
    }
}

/// Makes folders below each other.
fn dig(path: &Path, depth: usize) {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
    fs::create_dir_all(path).unwrap();
    let mut at = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..depth {
        mkdirat(&at, "a", Mode::RWXU).unwrap();
        at = openat(&at, "a", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
}

#[tokio::test]
async fn what_is_dropped_from_a_log_gives_its_room_back_and_comes_back_never() {
    const RECORD: usize = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let (ports, guard) = open(folder.path()).await;
    let mut tail = Seq::ZERO;
    for letter in ["a", "b", "c", "d"] {
        tail = append(&ports, "_bash", tail, &[&letter.repeat(RECORD - 1)]).await.unwrap();
    }
    let log = crate::common::log("_bash");
    ports.log.truncate_before(&log, Seq(3 * RECORD as u64)).await.unwrap();
    let kept = ["c", "d"].map(|letter| letter.repeat(RECORD - 1));
    assert_eq!(texts(&ports, "_bash").await, kept);
    crate::common::abandon(folder.path(), ports, guard).await;
    let (ports, guard) = open(folder.path()).await;
    assert_eq!(texts(&ports, "_bash").await, kept, "after a crash");
    guard.close().await;
    let file = fs::metadata(folder.path().join("bash_events/_bash.jsonl")).unwrap();
    assert_eq!(file.len(), 4 * RECORD as u64, "positions stay");
    assert!(file.blocks() * 512 <= 2 * RECORD as u64 + 8_192, "{} blocks", file.blocks());
    for ordered in [true, false] {
        let (ports, guard) = open(folder.path()).await;
        assert_eq!(texts(&ports, "_bash").await, kept);
        assert_eq!(ports.log.tail(&log).await, Ok(tail));
        if ordered { guard.close().await } else { crate::common::abandon(folder.path(), ports, guard).await }
    }
    let (ports, _guard) = open(folder.path()).await;
    ports.log.delete(&log).await.unwrap();
    let left = fs::read_dir(folder.path().join("bash_events")).unwrap().count();
    assert_eq!(left, 0, "nothing is left of a deleted log");
}

#[tokio::test]
async fn a_log_that_another_took_the_place_of_begins_at_its_first_record() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, guard) = open(folder.path()).await;
    let one = append(&ports, "_bash", Seq::ZERO, &["one", "two"]).await.unwrap();
    ports.log.truncate_before(&crate::common::log("_bash"), one).await.unwrap();
    guard.close().await;
    fs::write(folder.path().join("bash_events/_bash.jsonl"), "longer than it was\nlast\n").unwrap();
    let (ports, _guard) = open(folder.path()).await;
    assert_eq!(texts(&ports, "_bash").await, ["longer than it was", "last"]);
}

#[tokio::test]
async fn a_record_with_a_line_feed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = open(folder.path()).await;
    let refused = append(&ports, "0a", Seq::ZERO, &["fine", "not\nfine"]).await;
    assert!(matches!(refused, Err(Error::Internal(_))), "{refused:?}");
    assert_eq!(texts(&ports, "0a").await, [""; 0]);
}

#[tokio::test]
async fn a_journal_that_grows_long_is_let_go() {
    const RECORD: usize = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let (ports, guard) = open(folder.path()).await;
    let record = "x".repeat(RECORD - 1);
    let mut tail = Seq::ZERO;
    let began = std::time::Instant::now();
    let first = loop {
        tail = append(&ports, "0a", tail, &[&record]).await.unwrap();
        let names = segments(folder.path());
        if let [only] = names.as_slice()
            && !only.ends_with("00000001.journal")
        {
            break only.clone();
        }
        assert!(began.elapsed() < crate::common::PATIENCE, "the first segment goes");
    };
    assert!(first.ends_with("00000002.journal"), "{}", first.display());
    crate::common::abandon(folder.path(), ports, guard).await;
    let (ports, _guard) = open(folder.path()).await;
    assert_eq!(ports.log.tail(&crate::common::log("0a")).await, Ok(tail));
    let read = ports.log.read_all(&crate::common::log("0a"), Seq::ZERO).await.unwrap();
    assert_eq!(read.len() as u64, tail.0 / RECORD as u64);
    assert!(read.iter().all(|entry| entry.payload == record.as_bytes()));
}

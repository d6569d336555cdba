//! What a crash of the machine may leave, made by hand, and what the next start makes of it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::common::{abandon, append, copy_folder, log, log_path, open, segments, texts};
use ports::{Error, Expect};
use tempfile::TempDir;
use types::Seq;

#[tokio::test]
async fn a_torn_last_line_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, guard) = open(folder.path()).await;
    let tail = append(&ports, "0a", Seq::ZERO, &["one", "two"]).await.unwrap();
    guard.close().await;
    for torn in ["t", "{\"torn\":", &"x".repeat(10_000), "\0\0\0"] {
        add(&log_path(folder.path(), "0a"), torn.as_bytes());
        let (ports, guard) = open(folder.path()).await;
        assert_eq!(ports.log.tail(&log("0a")).await, Ok(tail));
        assert_eq!(texts(&ports, "0a").await, ["one", "two"]);
        assert_eq!(fs::metadata(log_path(folder.path(), "0a")).unwrap().len(), tail.0);
        guard.close().await;
    }
    let (ports, _guard) = open(folder.path()).await;
    append(&ports, "0a", tail, &["three"]).await.unwrap();
    assert_eq!(texts(&ports, "0a").await, ["one", "two", "three"]);
}

#[tokio::test]
async fn a_log_that_is_only_a_torn_line_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("conversations/0a")).unwrap();
    fs::write(log_path(folder.path(), "0a"), "no end").unwrap();
    let (ports, _guard) = open(folder.path()).await;
    assert_eq!(ports.log.tail(&log("0a")).await, Ok(Seq::ZERO));
    append(&ports, "0a", Seq::ZERO, &["one"]).await.unwrap();
    assert_eq!(texts(&ports, "0a").await, ["one"]);
}

#[tokio::test]
async fn a_torn_last_frame_of_the_journal_is_cut() {
    let (folder, one, two) = crashed_after_two_appends().await;
    let frames = frames(folder.path());
    let (magic, second_frame) = (8, (frames.len() + 8) / 2);
    assert_eq!(
        frames[magic..][..4],
        frames[second_frame..][..4],
        "both frames begin with their equal length"
    );
    for (cut, zeros) in (second_frame + 1..frames.len()).flat_map(|cut| [(cut, 0), (cut, 5_000)]) {
        let crashed = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), crashed.path());
        let torn = [&frames[..cut], &vec![0; zeros]].concat();
        fs::write(segments(crashed.path()).remove(0), torn).unwrap();
        set_length(&log_path(crashed.path(), "0a"), one.0);
        let (ports, guard) = open(crashed.path()).await;
        assert_eq!(texts(&ports, "0a").await, ["record 1"], "cut at {cut}");
        let again = append(&ports, "0a", one, &["record 2"]).await.unwrap();
        assert_eq!(again, two);
        abandon(crashed.path(), ports, guard).await;
        let (ports, _guard) = open(crashed.path()).await;
        assert_eq!(texts(&ports, "0a").await, ["record 1", "record 2"], "cut at {cut}");
    }
}

#[tokio::test]
async fn a_last_frame_with_a_wrong_checksum_is_cut() {
    let (folder, one, _) = crashed_after_two_appends().await;
    let mut bytes = frames(folder.path());
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(segments(folder.path()).remove(0), bytes).unwrap();
    set_length(&log_path(folder.path(), "0a"), one.0);
    let (ports, _guard) = open(folder.path()).await;
    assert_eq!(texts(&ports, "0a").await, ["record 1"]);
}

#[tokio::test]
async fn what_was_synced_but_not_done_to_the_files_is_done_at_the_start() {
    let (folder, one, two) = crashed_after_two_appends().await;
    for length in [two.0, one.0 + 3, one.0, 4, 0] {
        let crashed = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), crashed.path());
        set_length(&log_path(crashed.path(), "0a"), length);
        let (ports, _guard) = open(crashed.path()).await;
        assert_eq!(texts(&ports, "0a").await, ["record 1", "record 2"], "{length} bytes were there");
        assert_eq!(ports.log.tail(&log("0a")).await, Ok(two));
    }
    fs::remove_dir_all(folder.path().join("conversations")).unwrap();
    let (ports, _guard) = open(folder.path()).await;
    assert_eq!(texts(&ports, "0a").await, ["record 1", "record 2"]);
}

#[tokio::test]
async fn keys_that_were_synced_but_not_written_come_back_with_their_revisions() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, guard) = open(folder.path()).await;
    ports.kv.put("SETTINGS", "kept", "old".into(), Expect::Absent).await.unwrap();
    let kept = ports.kv.put("SETTINGS", "kept", "new".into(), Expect::Anything).await.unwrap();
    let gone = ports.kv.put("SETTINGS", "gone", "x".into(), Expect::Absent).await.unwrap();
    ports.kv.delete("SETTINGS", "gone", Expect::Revision(gone)).await.unwrap();
    abandon(folder.path(), ports, guard).await;
    fs::remove_dir_all(folder.path().join("store/kv")).unwrap();
    let (ports, _guard) = open(folder.path()).await;
    let listed = ports.kv.list("SETTINGS").await.unwrap();
    let listed: Vec<_> = listed.iter().map(|(key, entry)| (key.as_str(), entry.revision)).collect();
    assert_eq!(listed, [("kept", kept)]);
    let next = ports.kv.put("SETTINGS", "gone", "y".into(), Expect::Absent).await.unwrap();
    assert!(next > gone);
}

#[tokio::test]
async fn revisions_grow_over_a_deletion_and_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, guard) = open(folder.path()).await;
    let before = ports.kv.put("SETTINGS", "key", "x".into(), Expect::Absent).await.unwrap();
    ports.kv.delete("SETTINGS", "key", Expect::Anything).await.unwrap();
    guard.close().await;
    let (ports, _guard) = open(folder.path()).await;
    let after = ports.kv.put("SETTINGS", "key", "y".into(), Expect::Absent).await.unwrap();
    assert!(after > before);
}

#[tokio::test]
async fn a_conversation_made_anew_keeps_its_other_files_over_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, guard) = open(folder.path()).await;
    append(&ports, "0a", Seq::ZERO, &["a longer old record"]).await.unwrap();
    ports.log.delete(&log("0a")).await.unwrap();
    append(&ports, "0a", Seq::ZERO, &["new"]).await.unwrap();
    let note = log_path(folder.path(), "0a").with_file_name("note");
    fs::write(&note, "of the new one").unwrap();
    abandon(folder.path(), ports, guard).await;
    let (ports, _guard) = open(folder.path()).await;
    assert_eq!(texts(&ports, "0a").await, ["new"]);
    assert_eq!(fs::read_to_string(note).unwrap(), "of the new one");
}

#[tokio::test]
async fn a_deleted_conversation_does_not_come_back_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, guard) = open(folder.path()).await;
    append(&ports, "0a", Seq::ZERO, &["x"]).await.unwrap();
    ports.log.delete(&log("0a")).await.unwrap();
    abandon(folder.path(), ports, guard).await;
    let (ports, _guard) = open(folder.path()).await;
    assert_eq!(ports.log.tail(&log("0a")).await, Ok(Seq::ZERO));
    assert!(!log_path(folder.path(), "0a").parent().unwrap().exists());
}

#[tokio::test]
async fn a_log_that_was_cut_by_hand_does_not_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, guard) = open(folder.path()).await;
    let one = append(&ports, "0a", Seq::ZERO, &["one", "two"]).await.unwrap();
    guard.close().await;
    let (ports, guard) = open(folder.path()).await;
    append(&ports, "0a", one, &["three"]).await.unwrap();
    append(&ports, "0b", Seq::ZERO, &["other"]).await.unwrap();
    abandon(folder.path(), ports, guard).await;
    set_length(&log_path(folder.path(), "0a"), 4);
    let (ports, _guard) = open(folder.path()).await;
    assert_eq!(texts(&ports, "0a").await, ["one"]);
    assert_eq!(texts(&ports, "0b").await, ["other"]);
}

#[tokio::test]
async fn a_damaged_key_is_reported_and_not_created_over() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, guard) = open(folder.path()).await;
    ports.kv.put("SETTINGS", "good", "x".into(), Expect::Absent).await.unwrap();
    guard.close().await;
    fs::write(folder.path().join("store/kv/SETTINGS/bad"), "no revision").unwrap();
    let (ports, _guard) = open(folder.path()).await;
    assert!(matches!(ports.kv.get("SETTINGS", "bad").await, Err(Error::Internal(_))));
    let created = ports.kv.put("SETTINGS", "bad", "y".into(), Expect::Absent).await;
    assert_eq!(created, Err(Error::Conflict { tail: None }));
    let keys: Vec<_> = ports.kv.list("SETTINGS").await.unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["good"]);
}

/// A store that ended in a crash, and the positions of its two records of equal length.
async fn crashed_after_two_appends() -> (TempDir, Seq, Seq) {
    let folder = tempfile::tempdir().unwrap();
    let (ports, guard) = open(folder.path()).await;
    let one = append(&ports, "0a", Seq::ZERO, &["record 1"]).await.unwrap();
    let two = append(&ports, "0a", one, &["record 2"]).await.unwrap();
    abandon(folder.path(), ports, guard).await;
    (folder, one, two)
}

/// The one segment, without the zeros after its frames.
fn frames(folder: &Path) -> Vec<u8> {
    let mut bytes = fs::read(segments(folder).remove(0)).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes.truncate(last + 1);
    bytes
}

fn add(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn set_length(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

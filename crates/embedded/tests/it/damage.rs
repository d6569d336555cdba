//! What a crash of the machine may leave, made by hand, and what the next start makes of it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use crate::common::{abandon, append, copy_folder, log, log_path, open, segments, set_aside, texts};
use ports::{Error, Expect};
use proptest::prelude::*;
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
    fs::create_dir_all(log_path(folder.path(), "0a").parent().unwrap()).unwrap();
    fs::write(log_path(folder.path(), "0a"), "no end").unwrap();
    let (ports, _guard) = open(folder.path()).await;
    assert_eq!(ports.log.tail(&log("0a")).await, Ok(Seq::ZERO));
    append(&ports, "0a", Seq::ZERO, &["one"]).await.unwrap();
    assert_eq!(texts(&ports, "0a").await, ["one"]);
}

#[tokio::test]
async fn a_torn_last_frame_of_the_journal_is_cut() {
    let (folder, one, two) = crashed_after_two_appends().await;
    let bytes = one_segment(folder.path());
    let second = frames(&bytes)[1].clone();
    for (cut, zeros) in (second.start + 1..second.end).flat_map(|cut| [(cut, 0), (cut, 5_000)]) {
        let crashed = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), crashed.path());
        let torn = [&bytes[..cut], &vec![0; zeros]].concat();
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
async fn one_altered_byte_anywhere_loses_no_more_than_what_it_was_in() {
    let (folder, _, _) = crashed_after_two_appends().await;
    let (ports, guard) = open(folder.path()).await;
    let mut tail = ports.log.tail(&log("0a")).await.unwrap();
    for number in 3..6 {
        tail = append(&ports, "0a", tail, &[&format!("record {number}")]).await.unwrap();
    }
    abandon(folder.path(), ports, guard).await;
    let segment = segments(folder.path()).pop().unwrap();
    let bytes = fs::read(&segment).unwrap();
    let frames = frames(&bytes);
    // The head, and every byte of the first frame and of the last one that was acknowledged.
    for position in (0..frames[0].end).chain(frames[2].clone()) {
        let hit = frames.iter().position(|frame| frame.contains(&position));
        let crashed = tempfile::tempdir().unwrap();
        copy_folder(folder.path(), crashed.path());
        let mut altered = bytes.clone();
        altered[position] ^= 0x10;
        fs::write(crashed.path().join(segment.strip_prefix(folder.path()).unwrap()), &altered).unwrap();
        for is_on_disk in [true, false] {
            let again = tempfile::tempdir().unwrap();
            copy_folder(crashed.path(), again.path());
            if !is_on_disk {
                set_length(&log_path(again.path(), "0a"), 18);
            }
            let (ports, _guard) = open(again.path()).await;
            let mut expected = vec!["record 1", "record 2", "record 3", "record 4", "record 5"];
            match hit.filter(|_| !is_on_disk) {
                None => assert_eq!(ports.log.tail(&log("0a")).await, Ok(tail)),
                Some(2) => drop(expected.pop()),
                // In its place is a record that says nothing, so that the others are where they were.
                Some(hit) => expected[2 + hit] = "        ",
            }
            assert_eq!(texts(&ports, "0a").await, expected, "byte {position}");
            let kept = set_aside(again.path());
            assert_eq!(fs::read(&kept[0]).unwrap(), altered, "it is kept as it was");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Damage in some frames, in the same segment as a torn end, with the files as far as they had got.
    #[test]
    fn damage_and_a_torn_end_take_only_what_they_are_in(
        count in 2..9_usize,
        damaged in prop::collection::btree_map(0..8_usize, 0.0..1.0_f64, 0..4),
        torn in prop::option::of(0.01..0.99_f64),
        written in 0.0..1.0_f64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (ports, guard) = open(folder.path()).await;
            let mut tail = Seq::ZERO;
            for number in 0..count {
                tail = append(&ports, "0a", tail, &[&format!("record {number}")]).await.unwrap();
            }
            abandon(folder.path(), ports, guard).await;
            let path = segments(folder.path()).remove(0);
            let mut bytes = one_segment(folder.path());
            let frames = frames(&bytes);
            let within = |part: f64, whole: usize| (part * whole as f64) as usize;
            let last_whole = if torn.is_some() { count - 1 } else { count };
            // What is at the very end cannot be told from what was torn.
            let damaged: Vec<_> = damaged.into_iter().filter(|(number, _)| number + 1 < last_whole).collect();
            for (number, part) in &damaged {
                bytes[frames[*number].start + within(*part, frames[*number].len())] ^= 0x21;
            }
            if let Some(part) = torn {
                let last = &frames[count - 1];
                bytes.truncate(last.start + 1 + within(part, last.len() - 1));
            }
            fs::write(&path, &bytes).unwrap();
            let on_disk = within(written, last_whole + 1).min(last_whole);
            set_length(&log_path(folder.path(), "0a"), on_disk as u64 * 9);
            let mut expected: Vec<String> = Vec::new();
            for number in 0..last_whole {
                let is_lost = number >= on_disk && damaged.iter().any(|(bad, _)| *bad == number);
                match expected.last_mut().filter(|last| is_lost && last.trim().is_empty()) {
                    // What two neighbours said is lost as one.
                    Some(last) => last.push_str(&" ".repeat(9)),
                    None if is_lost => expected.push(" ".repeat(8)),
                    None => expected.push(format!("record {number}")),
                }
            }
            let (ports, guard) = open(folder.path()).await;
            let found = texts(&ports, "0a").await;
            assert_eq!(found, expected);
            assert_eq!(set_aside(folder.path()).is_empty(), damaged.is_empty());
            guard.close().await;
            let (ports, _guard) = open(folder.path()).await;
            assert_eq!(texts(&ports, "0a").await, found, "it stays so");
        });
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_reported_and_the_others_are() {
    let (folder, _, _) = crashed_after_two_appends().await;
    let (ports, guard) = open(folder.path()).await;
    append(&ports, "0b", Seq::ZERO, &["other"]).await.unwrap();
    ports.kv.put("SETTINGS", "key", "value".into(), Expect::Absent).await.unwrap();
    abandon(folder.path(), ports, guard).await;
    fs::remove_file(log_path(folder.path(), "0b")).unwrap();
    fs::create_dir_all(log_path(folder.path(), "0b").join("not empty")).unwrap();
    fs::create_dir_all(folder.path().join("store/drafts/7/not empty")).unwrap();
    for _ in 0..2 {
        let (ports, guard) = open(folder.path()).await;
        assert_eq!(texts(&ports, "0a").await, ["record 1", "record 2"]);
        assert!(ports.kv.get("SETTINGS", "key").await.unwrap().is_some());
        let refused = append(&ports, "0b", Seq::ZERO, &["x"]).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        assert_eq!(set_aside(folder.path()).len(), 1, "what could not be done is kept");
        abandon(folder.path(), ports, guard).await;
    }
    let (ports, _guard) = open(folder.path()).await;
    ports.log.delete(&log("0b")).await.unwrap();
    append(&ports, "0b", Seq::ZERO, &["works again"]).await.unwrap();
}

#[tokio::test]
async fn a_segment_that_cannot_be_read_is_set_aside() {
    let (folder, _, _) = crashed_after_two_appends().await;
    let journal = folder.path().join("store/journal");
    fs::create_dir_all(journal.join("00000000.journal/not empty")).unwrap();
    let (ports, _guard) = open(folder.path()).await;
    assert_eq!(texts(&ports, "0a").await, ["record 1", "record 2"]);
    assert!(set_aside(folder.path())[0].join("not empty").exists());
}

#[tokio::test]
async fn a_last_frame_with_a_wrong_checksum_is_cut() {
    let (folder, one, _) = crashed_after_two_appends().await;
    let mut bytes = one_segment(folder.path());
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
async fn a_log_whose_beginning_is_not_noted_any_more_begins_after_the_hole() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, guard) = open(folder.path()).await;
    let mut tail = Seq::ZERO;
    for letter in ["a", "b", "c"] {
        tail = append(&ports, "_bash", tail, &[&letter.repeat(99_999)]).await.unwrap();
    }
    ports.log.truncate_before(&log("_bash"), Seq(250_000)).await.unwrap();
    guard.close().await;
    fs::remove_file(folder.path().join("bash_events/_bash.jsonl.start")).unwrap();
    let (ports, _guard) = open(folder.path()).await;
    assert_eq!(texts(&ports, "_bash").await, ["c".repeat(99_999)]);
    assert_eq!(ports.log.tail(&log("_bash")).await, Ok(tail));
    append(&ports, "_bash", tail, &["goes on"]).await.unwrap();
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

/// Where the frames of a segment are that change something. Others, with a payload of a byte, only say how much is synced.
fn frames(segment: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut at) = (Vec::new(), 8);
    while let Some(length) = segment.get(at..at + 4) {
        let length = u32::from_le_bytes(length.try_into().unwrap()) as usize;
        if length == 0 {
            break;
        }
        found.push(at..at + 12 + length);
        at += 12 + length;
    }
    found.retain(|frame| frame.len() > 13);
    found
}

/// The only segment, as it is as long as nothing was written after the frame of the last change.
fn one_segment(folder: &Path) -> Vec<u8> {
    let mut bytes = fs::read(segments(folder).remove(0)).unwrap();
    bytes.truncate(frames(&bytes).last().unwrap().end);
    bytes
}

fn add(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn set_length(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

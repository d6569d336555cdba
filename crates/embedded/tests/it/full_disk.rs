//! A full disk: what is refused is not half done and does not come back, and work goes on when there is room.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{append, log, texts};
use bytes::Bytes;
use futures_util::future::join_all;
use manyhands_embedded::{Fsync, Guard, OpenError, Options};
use ports::{Error, Expect, Ports};
use tempfile::TempDir;
use types::Seq;

const RECORD_BYTES: usize = 7_000;

#[tokio::test]
async fn a_full_disk_refuses_writes_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (ports, guard) = open(&Options::within(disk.path(), Fsync::Always)).await;
    let revision = ports.kv.put("SETTINGS", "key", "value".into(), Expect::Absent).await.unwrap();
    let stored = append_until_full(&ports).await;
    let ballast = disk.fill();
    for _ in 0..3 {
        let refused = append(&ports, "0a", stored.tail, &[&record()]).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        let refused = ports.kv.put("SETTINGS", "key", record().into(), Expect::Anything).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    }
    assert_eq!(stored, Stored::read(&ports).await);
    let key = ports.kv.get("SETTINGS", "key").await.unwrap().unwrap();
    assert_eq!((key.revision, key.value), (revision, Bytes::from("value")));

    fs::remove_file(ballast).unwrap();
    disk.grow();
    append(&ports, "0a", stored.tail, &[&record()]).await.unwrap();
    let newer = ports.kv.put("SETTINGS", "key", "newer".into(), Expect::Revision(revision)).await.unwrap();
    let after = Stored::read(&ports).await;
    assert_eq!(after.records, stored.records + 1);
    let (ports, _guard) = crash(&Options::within(disk.path(), Fsync::Always), ports, guard).await;
    assert_eq!(Stored::read(&ports).await, after);
    let key = ports.kv.get("SETTINGS", "key").await.unwrap().unwrap();
    assert_eq!((key.revision, key.value), (newer, Bytes::from("newer")));
}

#[tokio::test]
async fn what_found_no_room_in_its_log_does_not_come_back() {
    let Some(disk) = SmallDisk::mount() else { return };
    let folder = tempfile::tempdir().unwrap();
    let options =
        Options { conversations: disk.path().join("c"), ..Options::within(folder.path(), Fsync::Always) };
    let (ports, guard) = open(&options).await;
    let stored = append_until_full(&ports).await;
    let elsewhere = append(&ports, "_bash", Seq::ZERO, &["there is room here"]).await.unwrap();
    disk.grow();
    let (ports, _guard) = crash(&options, ports, guard).await;
    assert_eq!(Stored::read(&ports).await, stored);
    assert_eq!(ports.log.tail(&log("_bash")).await, Ok(elsewhere));
}

#[tokio::test]
async fn what_found_no_room_in_the_journal_does_not_come_back() {
    let Some(disk) = SmallDisk::mount() else { return };
    let folder = tempfile::tempdir().unwrap();
    let options =
        Options { root: disk.path().join("store"), ..Options::within(folder.path(), Fsync::Always) };
    let (ports, guard) = open(&options).await;
    let mut stored = append_until_full(&ports).await;
    // Many at once, so that a write ends between two of them.
    for bytes in [1_000, 500, 100] {
        let names: Vec<String> = (1..30).map(|number| format!("{bytes}-{number}")).collect();
        let record = "y".repeat(bytes);
        let texts = [record.as_str()];
        let outcomes = join_all(names.iter().map(|name| append(&ports, name, Seq::ZERO, &texts))).await;
        for (name, outcome) in names.iter().zip(outcomes) {
            stored.others.push((name.clone(), outcome.unwrap_or_default()));
        }
    }
    assert!(stored.others.iter().any(|(_, tail)| *tail == Seq::ZERO), "some are refused");
    disk.grow();
    let (ports, _guard) = crash(&options, ports, guard).await;
    for (name, tail) in &stored.others {
        assert_eq!(ports.log.tail(&log(name)).await, Ok(*tail), "{name}");
    }
}

#[tokio::test]
async fn of_several_who_see_the_same_room_no_more_take_it_than_leave_the_others_theirs() {
    let Some(disk) = SmallDisk::mount_with("size=48m") else { return };
    let (ports, _guard) = open(&Options::within(disk.path(), Fsync::Always)).await;
    let piece = Bytes::from(vec![b'x'; 5 << 20]);
    let keys: Vec<String> = (0..8).map(|number| format!("piece-{number}")).collect();
    let putting = keys.iter().map(|key| ports.kv.put_if_room("WEBHOOK_ENDS", key, piece.clone()));
    let outcomes = join_all(putting).await;
    assert!(outcomes.iter().any(Result::is_ok), "{outcomes:?}");
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(Error::Full(_)))), "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(()) | Err(Error::Full(_)))), "{outcomes:?}");
    append(&ports, "0a", Seq::ZERO, &[&record()]).await.unwrap();
}

/// What is in the log that is filled.
#[derive(Debug, PartialEq)]
struct Stored {
    records: usize,
    tail: Seq,
    others: Vec<(String, Seq)>,
}

impl Stored {
    async fn read(ports: &Ports) -> Self {
        let tail = ports.log.tail(&log("0a")).await.unwrap();
        Self { records: texts(ports, "0a").await.len(), tail, others: Vec::new() }
    }
}

async fn append_until_full(ports: &Ports) -> Stored {
    let mut stored = Stored { records: 0, tail: Seq::ZERO, others: Vec::new() };
    loop {
        match append(ports, "0a", stored.tail, &[&record()]).await {
            Ok(tail) => stored.tail = tail,
            Err(error) => {
                assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
                return stored;
            }
        }
        stored.records += 1;
    }
}

async fn open(options: &Options) -> (Ports, Guard) {
    loop {
        match manyhands_embedded::open(options.clone()).await {
            Err(OpenError::Locked { .. }) => tokio::task::yield_now().await,
            opened => return opened.unwrap(),
        }
    }
}

/// Ends the store without emptying its journal, and starts it again.
async fn crash(options: &Options, ports: Ports, guard: Guard) -> (Ports, Guard) {
    drop((ports, guard));
    open(options).await
}

fn record() -> String {
    "x".repeat(RECORD_BYTES)
}

/// A file system in memory, of 1 MiB unless it is said otherwise.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where this user may not mount and that is no failure.
    fn mount() -> Option<Self> {
        Self::mount_with("size=1m")
    }

    fn mount_with(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", size, "none"]).arg(folder.path()).status();
        if !mounted.is_ok_and(|status| status.success()) {
            testing::may_skip("full_disk", "this user may not mount a small file system");
            return None;
        }
        Some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes the last byte; answers the file that has it.
    fn fill(&self) -> PathBuf {
        let ballast = self.path().join("ballast");
        let mut bytes = Vec::new();
        while fs::write(&ballast, &bytes).is_ok() {
            bytes.resize(bytes.len() + 4_096, 0);
        }
        ballast
    }

    fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=8m"]).arg(self.path()).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

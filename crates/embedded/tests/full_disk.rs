//! A full disk: nothing is half done, and work goes on when there is room again.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{abandon, append, open, texts};
use ports::{Error, Expect};
use tempfile::TempDir;
use types::Seq;

#[tokio::test]
async fn a_full_disk_refuses_writes_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (ports, guard) = open(disk.path()).await;
    let mut tail = append(&ports, "0a", Seq::ZERO, &["first"]).await.unwrap();
    let revision = ports.kv.put("SETTINGS", "key", "value".into(), Expect::Absent).await.unwrap();
    let record = "x".repeat(7_000);
    let (mut stored, refusal) = (1, loop_until_full(&ports, &mut tail, &record).await);
    stored += refusal.0;
    assert!(matches!(refusal.1, Error::Unavailable(_)), "{:?}", refusal.1);

    let ballast = disk.fill();
    for _ in 0..3 {
        let refused = append(&ports, "0a", tail, &[&record]).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        let refused = ports.kv.put("SETTINGS", "key", record.clone().into(), Expect::Anything).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    }
    assert_eq!(ports.log.tail(&common::log("0a")).await, Ok(tail));
    assert_eq!(texts(&ports, "0a").await.len(), stored);
    let key = ports.kv.get("SETTINGS", "key").await.unwrap().unwrap();
    assert_eq!((key.revision, key.value), (revision, "value".into()));

    fs::remove_file(ballast).unwrap();
    disk.grow();
    let again = append(&ports, "0a", tail, &[&record]).await.unwrap();
    let newer = ports.kv.put("SETTINGS", "key", "newer".into(), Expect::Revision(revision)).await.unwrap();
    assert!(newer > revision);
    abandon(disk.path(), ports, guard).await;
    let (ports, _guard) = open(disk.path()).await;
    assert_eq!(ports.log.tail(&common::log("0a")).await, Ok(again));
    assert_eq!(texts(&ports, "0a").await.len(), stored + 1);
    assert_eq!(ports.kv.get("SETTINGS", "key").await.unwrap().unwrap().value, "newer");
}

/// There may be room in the journal and none for the log: then the journal is cut, so that a restart does not
/// bring back what was refused.
#[tokio::test]
async fn what_a_full_disk_refused_does_not_come_back_with_a_restart() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (ports, guard) = open(disk.path()).await;
    let mut tail = append(&ports, "0a", Seq::ZERO, &["first"]).await.unwrap();
    for length in [9_000, 5_000, 2_500, 900, 300] {
        loop_until_full(&ports, &mut tail, &"y".repeat(length)).await;
    }
    let stored = texts(&ports, "0a").await;
    abandon(disk.path(), ports, guard).await;
    disk.grow();
    let (ports, _guard) = open(disk.path()).await;
    assert_eq!(texts(&ports, "0a").await, stored);
    assert_eq!(ports.log.tail(&common::log("0a")).await, Ok(tail));
}

/// How many records found room, and why the next did not.
async fn loop_until_full(ports: &ports::Ports, tail: &mut Seq, record: &str) -> (usize, Error) {
    let mut stored = 0;
    loop {
        match append(ports, "0a", *tail, &[record]).await {
            Ok(newer) => *tail = newer,
            Err(error) => return (stored, error),
        }
        stored += 1;
    }
}

/// A file system of 1 MiB in memory.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None`, and a word about it, where this user may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(folder.path()).status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: a small file system cannot be mounted by this user");
            return None;
        }
        Some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn fill(&self) -> PathBuf {
        let ballast = self.path().join("ballast");
        for size in [1 << 20, 4 << 10, 1] {
            let more = [fs::read(&ballast).unwrap_or_default(), vec![0; size]].concat();
            // Fails when it is full, which is what it is for.
            let _ = fs::write(&ballast, more);
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

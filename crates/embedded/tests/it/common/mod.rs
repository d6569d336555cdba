//! What the tests of the store share.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manyhands_embedded::{Fsync, Guard, OpenError, Options};
use ports::Ports;
use types::{LogId, SandboxId, Seq};

pub const PATIENCE: Duration = Duration::from_secs(30);

/// Opens the store; waits while the one that was abandoned before still ends.
pub async fn open(folder: &Path) -> (Ports, Guard) {
    open_with(folder, Fsync::Always).await
}

pub async fn open_with(folder: &Path, fsync: Fsync) -> (Ports, Guard) {
    let began = Instant::now();
    loop {
        match manyhands_embedded::open(Options::within(folder, fsync)).await {
            Err(OpenError::Locked { .. }) if began.elapsed() < PATIENCE => tokio::task::yield_now().await,
            opened => return opened.unwrap(),
        }
    }
}

/// Ends the store as a crash does: the journal stays.
pub async fn abandon(folder: &Path, ports: Ports, guard: Guard) {
    drop((ports, guard));
    let lock = std::fs::File::open(folder.join("store/lock")).unwrap();
    let began = Instant::now();
    while rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        assert!(began.elapsed() < PATIENCE, "the store ends");
        tokio::task::yield_now().await;
    }
}

/// The log of that name, or of a conversation with an id made from it.
pub fn log(name: &str) -> LogId {
    let sandbox = SandboxId::shared();
    let hex = || format!("{:032x}", name.bytes().fold(0_u128, |id, byte| id << 8 | u128::from(byte)));
    LogId::of_name(&sandbox, name).or_else(|| LogId::of_name(&sandbox, &hex())).unwrap()
}

pub fn log_path(folder: &Path, name: &str) -> PathBuf {
    folder.join("conversations").join(log(name).name()).join("events.jsonl")
}

pub async fn append(ports: &Ports, name: &str, after: Seq, texts: &[&str]) -> ports::Result<Seq> {
    let records = texts.iter().map(|text| Bytes::from((*text).to_owned())).collect();
    ports.log.append(&log(name), after, records).await.map(|appended| appended.tail())
}

pub async fn texts(ports: &Ports, name: &str) -> Vec<String> {
    let entries = ports.log.read_all(&log(name), Seq::ZERO).await.unwrap();
    entries.iter().map(|entry| String::from_utf8(entry.payload.to_vec()).unwrap()).collect()
}

/// The journal's segments, oldest first.
pub fn segments(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder.join("store/journal")).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some());
    paths.sort();
    paths
}

/// What was kept of the journal for a person to look at.
pub fn set_aside(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder.join("store/journal/set-aside")).into_iter().flatten();
    files.map(|file| file.unwrap().path()).collect()
}

pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy_folder(&file.path(), &target);
        } else {
            std::fs::copy(file.path(), target).unwrap();
        }
    }
}

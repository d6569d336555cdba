//! Prints how fast the store of a given folder is: `cargo run --example rates -- FOLDER`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use manyhands_embedded::{Fsync, Guard, OpenError, Options, open};
use ports::{Expect, Ports};
use types::{LogId, SandboxId, Seq};

const RECORD_BYTES: usize = 600;
const CONVERSATIONS: usize = 1_000;
const LASTS: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("a folder is missing")?);
    for fsync in [Fsync::Always, Fsync::Interval] {
        println!("{fsync:?}, records of {RECORD_BYTES} bytes");
        let (ports, guard) = open_timed(&folder, fsync).await?;
        for writers in [1, 16, 64] {
            append(&ports, writers).await?;
        }
        keys(&ports).await?;
        close_timed(guard).await;
    }
    println!("{CONVERSATIONS} conversations");
    let (ports, guard) = open_timed(&folder, Fsync::Interval).await?;
    for number in 0..CONVERSATIONS {
        let log = log_of(number)?;
        ports.log.delete(&log).await?;
        ports.log.append(&log, Seq::ZERO, vec![Bytes::from_static(b"{}")]).await?;
    }
    close_timed(guard).await;
    let (ports, guard) = open_timed(&folder, Fsync::Always).await?;
    println!("  {}", resident()?);
    let began = Instant::now();
    for number in 0..CONVERSATIONS {
        ports.log.tail(&log_of(number)?).await?;
    }
    println!("  every tail once: {:?}, {}", began.elapsed(), resident()?);
    let began = Instant::now();
    ports.kv.put("CONVERSATIONS", "another", Bytes::new(), Expect::Anything).await?;
    println!("  first put: {:?}, {}", began.elapsed(), resident()?);
    close_timed(guard).await;
    Ok(())
}

async fn open_timed(folder: &Path, fsync: Fsync) -> Result<(Ports, Guard), OpenError> {
    let began = Instant::now();
    let opened = open(Options::within(folder, fsync));
    let opened = opened.await?;
    println!("  open: {:?}", began.elapsed());
    Ok(opened)
}

async fn close_timed(guard: Guard) {
    let began = Instant::now();
    guard.close().await;
    println!("  close: {:?}", began.elapsed());
}

fn resident() -> std::io::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    Ok(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

async fn append(ports: &Ports, writers: usize) -> Result<(), Box<dyn std::error::Error>> {
    let began = Instant::now();
    let tasks: Vec<_> = (0..writers).map(|writer| tokio::spawn(write_log(ports.clone(), writer))).collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    report(&format!("{writers} logs at once"), waits, began.elapsed());
    Ok(())
}

async fn write_log(ports: Ports, writer: usize) -> ports::Result<Vec<Duration>> {
    let log = log_of(writer)?;
    ports.log.delete(&log).await?;
    let (record, mut tail, mut waits) = (Bytes::from(vec![b'x'; RECORD_BYTES]), Seq::ZERO, Vec::new());
    let began = Instant::now();
    while began.elapsed() < LASTS {
        let asked = Instant::now();
        tail = ports.log.append(&log, tail, vec![record.clone()]).await?.tail();
        waits.push(asked.elapsed());
    }
    Ok(waits)
}

async fn keys(ports: &Ports) -> Result<(), Box<dyn std::error::Error>> {
    let (began, mut waits) = (Instant::now(), Vec::new());
    for number in 0..1_000 {
        let (key, value) = (format!("{number:032x}"), Bytes::from(vec![b'v'; 2_000]));
        let asked = Instant::now();
        ports.kv.put("CONVERSATIONS", &key, value, Expect::Anything).await?;
        waits.push(asked.elapsed());
    }
    report("puts", waits, began.elapsed());
    let began = Instant::now();
    let listed = ports.kv.list("CONVERSATIONS").await?.len();
    println!("  list of {listed} keys: {:?}", began.elapsed());
    Ok(())
}

fn report(what: &str, mut waits: Vec<Duration>, took: Duration) {
    waits.sort_unstable();
    let at = |share: usize| waits.get(waits.len() * share / 100).copied().unwrap_or_default();
    let rate = waits.len() as f64 / took.as_secs_f64();
    println!("  {what}: {rate:.0}/s, p50 {:?}, p99 {:?}", at(50), at(99));
}

fn log_of(number: usize) -> ports::Result<LogId> {
    LogId::of_name(&SandboxId::shared(), &format!("{number:032x}")).ok_or(ports::Error::NotFound)
}

//! Prints how fast the storage on a server is: `cargo run --example nats_rates -- nats://127.0.0.1:4222`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use control::storage::{Books, Limits};
use futures_util::StreamExt;
use manyhands_nats::{Options, connect};
use ports::rpc::unwatched;
use ports::{Delivery, Expect, Parcel, Ports};
use tokio_util::sync::CancellationToken;
use types::{Epoch, LogId, SandboxId, Seq, buckets, subjects};

const RECORD_BYTES: usize = 600;
const LASTS: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("the URL of a server is missing")?;
    let connection = |name: &str, inbox: Option<String>| {
        connect(Options {
            urls: vec![url.clone()],
            credentials: None,
            ca: None,
            servers: Vec::new(),
            name: name.to_owned(),
            inbox,
        })
    };
    let control = connection("rates-control", None).await?;
    control.set_up(None).await?;
    println!("nats-server {}, records of {RECORD_BYTES} bytes", control.server_version());
    let ports = control.control().await?;
    for (writers, records) in [(1, 1), (16, 1), (1, 10), (16, 10)] {
        append(&ports, writers, records).await?;
    }
    let log = log_of(0)?;
    let began = Instant::now();
    let read = ports.log.read_all(&log, Seq::ZERO).await?.len();
    println!("  read of {read} records: {:?}", began.elapsed());
    keys(&ports).await?;

    let shutdown = CancellationToken::new();
    let serving = tokio::spawn({
        let (storage, ports, shutdown) = (control.storage().await?, ports.clone(), shutdown.clone());
        async move {
            let books = Books::new(ports.kv.clone(), Some(4 << 30), |_| ());
            control::storage::serve(&*storage, &ports, Limits::default(), &books, unwatched(), &shutdown)
                .await
        }
    });
    let inbox = subjects::inbox(&SandboxId::shared(), Epoch(1));
    let worker = connection("rates-worker", Some(inbox)).await?;
    let worker = loop {
        match worker.worker(&SandboxId::shared(), Epoch(1)).await {
            Ok(ports) => break ports,
            Err(error) if serving.is_finished() => return Err(error.into()),
            Err(_) => tokio::task::yield_now().await,
        }
    };
    println!("a worker's");
    append(&worker, 1, 1).await?;
    tails(&worker, &log).await?;
    echo(&ports, &worker).await?;
    shutdown.cancel();
    serving.await??;
    Ok(())
}

async fn append(ports: &Ports, writers: usize, records: usize) -> Result<(), Box<dyn std::error::Error>> {
    let began = Instant::now();
    let tasks = (0..writers).map(|writer| tokio::spawn(write_log(ports.clone(), writer, records)));
    let tasks: Vec<_> = tasks.collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    report(&format!("{writers} writers, {records} records an append"), waits, began.elapsed());
    Ok(())
}

async fn write_log(ports: Ports, writer: usize, records: usize) -> ports::Result<Vec<Duration>> {
    let log = log_of(writer)?;
    ports.log.delete(&log).await?;
    let records = vec![Bytes::from(vec![b'x'; RECORD_BYTES]); records];
    let (began, mut tail, mut waits) = (Instant::now(), Seq::ZERO, Vec::new());
    while began.elapsed() < LASTS {
        let asked = Instant::now();
        tail = ports.log.append(&log, tail, records.clone()).await?.tail();
        waits.push(asked.elapsed());
    }
    Ok(waits)
}

async fn keys(ports: &Ports) -> Result<(), Box<dyn std::error::Error>> {
    let (began, mut waits) = (Instant::now(), Vec::new());
    for number in 0..1_000 {
        let (key, value) = (format!("{number:032x}"), Bytes::from(vec![b'v'; 2_000]));
        let asked = Instant::now();
        ports.kv.put(buckets::CONVERSATIONS, &key, value, Expect::Anything).await?;
        waits.push(asked.elapsed());
    }
    report("puts", waits, began.elapsed());
    let began = Instant::now();
    let listed = ports.kv.list(buckets::CONVERSATIONS).await?.len();
    println!("  list of {listed} keys: {:?}", began.elapsed());
    Ok(())
}

async fn tails(ports: &Ports, log: &LogId) -> Result<(), Box<dyn std::error::Error>> {
    let (began, mut waits) = (Instant::now(), Vec::new());
    for _ in 0..1_000 {
        let asked = Instant::now();
        ports.log.tail(log).await?;
        waits.push(asked.elapsed());
    }
    report("tails asked for", waits, began.elapsed());
    Ok(())
}

async fn echo(ports: &Ports, worker: &Ports) -> Result<(), Box<dyn std::error::Error>> {
    let mut calls = worker.bus.subscribe("mh.cmd.default.echo", None).await?;
    let bus = worker.bus.clone();
    tokio::spawn(async move {
        while let Some(delivery) = calls.next().await {
            let Delivery::Message(message) = delivery else { continue };
            let Some(reply) = message.reply else { continue };
            if bus.publish(&reply, message.parcel).await.is_err() {
                return;
            }
        }
    });
    let (began, mut waits) = (Instant::now(), Vec::new());
    for _ in 0..2_000 {
        let asked = Instant::now();
        ports.bus.request("mh.cmd.default.echo", Parcel::json("{}"), LASTS).await?;
        waits.push(asked.elapsed());
    }
    report("requests, there and back", waits, began.elapsed());
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

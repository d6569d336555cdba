//! What the tests share: servers, connections and short forms of calls.

pub mod operator;
pub mod removing;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control::storage::{Books, Limits};
use futures_util::{Stream, StreamExt};
use manyhands_nats::{Connection, Options, connect};
use ports::Ports;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use testing::nats::Nats;
use tokio_util::sync::CancellationToken;
use types::service::{AnswerTo, OfControlPlane, Service};
use types::{LogId, SandboxId, Seq};

pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn options(url: String) -> Options {
    let name = "test".to_owned();
    Options { urls: vec![url], credentials: None, ca: None, servers: Vec::new(), name, inbox: None }
}

pub async fn connection(url: String) -> Connection {
    connect(options(url)).await.unwrap()
}

/// A server with the storage set up, and a connection to it.
pub async fn cluster() -> (Nats, Connection) {
    let server = Nats::start().await;
    let connection = connection(server.url()).await;
    connection.set_up(None).await.unwrap();
    (server, connection)
}

/// Answers workers until `stop`. `most`: bytes that a sandbox may store.
pub async fn serve_storage(
    control: &Connection,
    most: Option<u64>,
    appended: impl Fn(usize) + Send + Sync + 'static,
    stop: &CancellationToken,
) -> ports::Result<()> {
    let books = Books::new(control.control().await.unwrap().kv, most, appended);
    serve_with(control, at_once(), &books, stop).await
}

/// Nothing has to settle before it is weighed.
pub fn at_once() -> Limits {
    Limits { settling: Duration::ZERO, ..Limits::default() }
}

pub async fn serve_with(
    control: &Connection,
    limits: Limits,
    books: &Arc<Books>,
    stop: &CancellationToken,
) -> ports::Result<()> {
    let (storage, ports) = (control.storage().await.unwrap(), control.control().await.unwrap());
    control::storage::serve(&*storage, &ports, limits, books, ports::rpc::unwatched(), stop).await
}

/// What a worker asks of the storage that is not ours, and what it is answered.
#[derive(Debug, Serialize, Deserialize)]
pub struct Anything(pub Value);

impl Service for Anything {
    const NAME: &'static str = "hist";
}

impl OfControlPlane for Anything {}
impl AnswerTo<Self> for Anything {}

/// The log of that name, or of a conversation with an id made from it.
pub fn log(name: &str) -> LogId {
    let sandbox = SandboxId::shared();
    let hex = || format!("{:032x}", name.bytes().fold(0_u128, |id, byte| id << 8 | u128::from(byte)));
    LogId::of_name(&sandbox, name).or_else(|| LogId::of_name(&sandbox, &hex())).unwrap()
}

pub async fn append(ports: &Ports, name: &str, after: Seq, texts: &[&str]) -> ports::Result<Seq> {
    let records = texts.iter().map(|text| Bytes::from((*text).to_owned())).collect();
    ports.log.append(&log(name), after, records).await.map(|appended| appended.tail())
}

pub async fn texts(ports: &Ports, name: &str) -> Vec<String> {
    let entries = ports.log.read_all(&log(name), Seq::ZERO).await.unwrap();
    entries.iter().map(|entry| String::from_utf8(entry.payload.to_vec()).unwrap()).collect()
}

/// The next item, which must come.
pub async fn next<T>(stream: &mut (impl Stream<Item = T> + Unpin)) -> T {
    tokio::time::timeout(PATIENCE, stream.next()).await.unwrap().unwrap()
}

/// How many pieces of bodies the server keeps.
pub async fn pieces(server: &Nats) -> u64 {
    let client = async_nats::connect(server.url()).await.unwrap();
    let info = client.request("$JS.API.STREAM.INFO.BLOBS", "".into()).await.unwrap();
    let info: Value = serde_json::from_slice(&info.payload).unwrap();
    info["state"]["messages"].as_u64().unwrap()
}

//! A worker's ports keep the promises it needs: those of logs and of the bus. Its storage is served by a control
//! plane on a connection of its own, and it may do nothing but what a worker may.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::operator::Operator;
use crate::common::removing::Removing;
use crate::common::{Anything, PATIENCE, cluster, options, serve_storage};
use bytes::Bytes;
use manyhands_nats::{Connection, Options, connect};
use ports::rpc::{Address, Call, Code, Limits, Server, call};
use ports::{Bus, Error, Expect, Ports};
use serde_json::json;
use testing::nats::Nats;
use testing::proxy::Proxy;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use types::calls::RestCall;
use types::placement::Lease;
use types::{BashScope, Epoch, LogId, SandboxId, Seq, buckets, subjects};

struct Keep {
    server: Nats,
    control: Connection,
    _serving: DropGuard,
}

/// Ports of the worker of the shared sandbox.
async fn make() -> (Ports, Keep) {
    make_observed(|_| ()).await
}

async fn make_observed(appended: impl Fn(usize) + Send + Sync + 'static) -> (Ports, Keep) {
    let (server, control) = cluster().await;
    let serving = serve_observed(&control, appended);
    let inbox = Some(subjects::inbox(&SandboxId::shared(), Epoch(1)));
    let worker = connect(Options { inbox, ..options(server.url()) }).await.unwrap();
    let ports = worker_ports(&worker, &SandboxId::shared()).await;
    (ports, Keep { server, control, _serving: serving })
}

fn serve(control: &Connection) -> DropGuard {
    serve_observed(control, |_| ())
}

fn serve_observed(control: &Connection, appended: impl Fn(usize) + Send + Sync + 'static) -> DropGuard {
    let (control, shutdown) = (control.clone(), CancellationToken::new());
    let token = shutdown.clone();
    tokio::spawn(async move { serve_storage(&control, None, appended, &token).await.unwrap() });
    shutdown.drop_guard()
}

async fn worker_ports(worker: &Connection, sandbox: &SandboxId) -> Ports {
    testing::eventually("the storage is served", async || worker.worker(sandbox, Epoch(1)).await.ok()).await
}

/// As the contract wants them.
async fn make_whole() -> (Ports, Keep) {
    let (mut ports, keep) = make().await;
    let control = keep.control.control().await.unwrap().log;
    ports.log = Arc::new(Removing { worker: ports.log, control });
    (ports, keep)
}

ports::contract_tests!(make_whole, log bus rpc);

#[tokio::test]
async fn a_worker_reads_what_the_control_plane_wrote_and_the_other_way_round() {
    let (worker, keep) = make().await;
    let control = keep.control.control().await.unwrap();
    let tail = crate::common::append(&worker, "a", Seq::ZERO, &["one", "two"]).await.unwrap();
    crate::common::append(&control, "a", tail, &["three"]).await.unwrap();
    for ports in [&worker, &control] {
        assert_eq!(crate::common::texts(ports, "a").await, ["one", "two", "three"]);
    }
}

#[tokio::test]
async fn records_that_workers_append_are_counted_once_they_are_stored() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let (ports, _keep) = make_observed(move |records| {
        counted.fetch_add(records, Ordering::SeqCst);
    })
    .await;
    let tail = crate::common::append(&ports, "a", Seq::ZERO, &["one", "two"]).await.unwrap();
    crate::common::append(&ports, "a", Seq::ZERO, &["refused"]).await.unwrap_err();
    crate::common::append(&ports, "a", tail, &["three"]).await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_large_record_of_a_worker_comes_back_from_both_sides() {
    let (worker, keep) = make().await;
    let control = keep.control.control().await.unwrap();
    let large = Bytes::from("large ".repeat(400_000));
    let appended = worker.log.append(&crate::common::log("a"), Seq::ZERO, vec![large.clone()]).await.unwrap();
    for ports in [&worker, &control] {
        let read = ports.log.read(&crate::common::log("a"), Seq::ZERO, 10).await.unwrap();
        assert_eq!(read, [ports::Record { seq: appended.tail(), payload: large.clone() }]);
    }
}

#[tokio::test]
async fn a_call_for_the_storage_reaches_only_the_sandbox_of_its_subject() {
    let (_, keep) = make().await;
    let control = keep.control.control().await.unwrap();
    let sandboxes = ["default", "other"].map(|name| SandboxId::parse(name).unwrap());
    let logs = sandboxes.clone().map(|sandbox| LogId::bash(&sandbox, BashScope::Sandbox));
    let mut last = Seq::ZERO;
    for log in &logs {
        let first = control.log.append(log, Seq::ZERO, vec![Bytes::from("x")]).await.unwrap().tail();
        last = control.log.append(log, first, vec![Bytes::from("y")]).await.unwrap().tail();
    }
    let inbox = Some(subjects::inbox(&sandboxes[1], Epoch(1)));
    let other = connect(Options { inbox, ..options(keep.server.url()) }).await.unwrap();
    let other = worker_ports(&other, &sandboxes[1]).await;
    let ask = async |question: serde_json::Value| {
        let address = Address::of_control_plane_for(&sandboxes[1], Epoch(1));
        let question = Anything(question);
        let answer = call(&*other.bus, &address, &question, Bytes::new(), PATIENCE);
        answer.await.map(|(Anything(_), _)| ()).map_err(|fault| fault.code)
    };
    let drop_front = |log: &str| json!({ "truncate": { "log": log, "first": last.0 } });
    let name = logs[0].name();
    for elsewhere in ["*", ">", "a.b", &format!("default.{name}"), "of-its-own", ""] {
        assert_eq!(ask(drop_front(elsewhere)).await, Err(Code::Invalid), "{elsewhere:?}");
    }
    let left = async |log: &LogId| control.log.read_all(log, Seq::ZERO).await.unwrap().len();
    assert_eq!((left(&logs[0]).await, left(&logs[1]).await), (2, 2));
    assert_eq!(ask(drop_front(&name)).await, Ok(()));
    assert_eq!((left(&logs[0]).await, left(&logs[1]).await), (2, 1));
}

#[tokio::test]
async fn a_worker_removes_no_log() {
    let (worker, keep) = make().await;
    let control = keep.control.control().await.unwrap();
    for name in ["_bash", "0a"] {
        crate::common::append(&worker, name, Seq::ZERO, &["one"]).await.unwrap();
        let question = Anything(json!({ "delete": { "log": name } }));
        let address = Address::of_control_plane_for(&SandboxId::shared(), Epoch(1));
        let asked = call::<_, Anything>(&*worker.bus, &address, &question, Bytes::new(), PATIENCE).await;
        assert!(asked.is_err(), "{name}");
        assert!(worker.log.delete(&crate::common::log(name)).await.is_err());
        assert_eq!(crate::common::texts(&control, name).await, ["one"]);
    }
}

#[tokio::test]
async fn a_worker_drops_from_the_front_of_its_own_bash_logs_and_of_nothing_else() {
    let (worker, keep) = make().await;
    let control = keep.control.control().await.unwrap();
    for name in ["_bash", "0a"] {
        let first = crate::common::append(&worker, name, Seq::ZERO, &["one"]).await.unwrap();
        let second = crate::common::append(&worker, name, first, &["two"]).await.unwrap();
        let dropped = worker.log.truncate_before(&crate::common::log(name), second).await;
        assert_eq!(dropped.is_ok(), name == "_bash", "{dropped:?}");
    }
    assert_eq!(crate::common::texts(&control, "_bash").await, ["two"]);
    assert_eq!(crate::common::texts(&control, "0a").await, ["one", "two"]);
    let elsewhere = LogId::bash(&SandboxId::parse("other").unwrap(), BashScope::Sandbox);
    assert!(matches!(worker.log.truncate_before(&elsewhere, Seq(1)).await, Err(Error::Internal(_))));
}

/// Of the first incarnation.
fn lease(idle_seconds: u64) -> Bytes {
    lease_after(idle_seconds, 0)
}

fn lease_after(idle_seconds: u64, calls: u64) -> Bytes {
    let since = "2026-11-23T00:00:00.000000Z".to_owned();
    let lease = Lease { epoch: Epoch(1), since, idle_seconds, runs: 0, calls };
    serde_json::to_vec(&lease).unwrap().into()
}

#[tokio::test]
async fn a_worker_has_its_own_lease_and_nothing_else() {
    let (worker, keep) = make().await;
    let control = keep.control.control().await.unwrap();
    let own = SandboxId::shared();
    let mut changes = control.kv.watch(buckets::LEASES).await.unwrap();
    let first = worker.kv.put(buckets::LEASES, own.as_str(), lease(0), Expect::Absent).await.unwrap();
    let second = worker.kv.put(buckets::LEASES, own.as_str(), lease(2), Expect::Revision(first)).await;
    let held = ports::KvEntry { revision: second.unwrap(), value: lease(2) };
    assert_eq!(worker.kv.get(buckets::LEASES, own.as_str()).await, Ok(Some(held.clone())));
    assert_eq!(control.kv.get(buckets::LEASES, own.as_str()).await, Ok(Some(held)));
    // Beside the note of who serves it.
    let is_note = |change: &ports::Change| matches!(change, ports::Change::Put { key, .. } if key == buckets::DEPUTIES_KEY);
    let mut change = crate::common::next(&mut changes).await;
    while is_note(&change) {
        change = crate::common::next(&mut changes).await;
    }
    assert!(matches!(change, ports::Change::Put { key, .. } if key == own.as_str()));
    let ended = worker.kv.delete(buckets::LEASES, own.as_str(), Expect::Anything).await;
    assert!(ended.is_err(), "it runs out by itself, or the supervisor ends it");

    for (bucket, key) in [(buckets::LEASES, "other"), (buckets::SANDBOXES, own.as_str())] {
        let refused = worker.kv.put(bucket, key, "x".into(), Expect::Anything).await;
        assert!(matches!(refused, Err(Error::Internal(_))), "{refused:?}");
        assert!(matches!(worker.kv.get(bucket, key).await, Err(Error::Internal(_))));
    }
    assert!(worker.kv.list(buckets::LEASES).await.is_err());
    let elsewhere = LogId::bash(&SandboxId::parse("other").unwrap(), BashScope::Sandbox);
    assert!(matches!(worker.log.tail(&elsewhere).await, Err(Error::Internal(_))));
}

#[tokio::test]
async fn a_worker_that_did_not_hear_of_its_last_renewal_renews_its_lease_without_reading_it() {
    let (worker, _keep) = make().await;
    let own = SandboxId::shared();
    let put = async |lease: Bytes, expect| worker.kv.put(buckets::LEASES, own.as_str(), lease, expect).await;
    let first = put(lease(0), Expect::Absent).await.unwrap();
    let unheard = put(lease(1), Expect::Absent).await.unwrap();
    let renewed = put(lease_after(2, 7), Expect::Revision(first)).await.unwrap();
    assert!(first < unheard && unheard < renewed);
    let late = put(lease_after(0, 6), Expect::Revision(unheard)).await;
    assert_eq!(late, Err(Error::Conflict { tail: None }), "it knows of fewer calls");
}

/// What the supervisor lets a worker do: above all no JetStream API.
fn worker_rights() -> serde_json::Value {
    json!({
        "pub": { "allow": [
            "mh.live.default.*", "mh.rec.default", "mh.hist.default.1", "mh.llm.default",
            "mh.llm.default.>", "mh.ans.default.1.>",
        ] },
        "sub": { "allow": ["mh.cmd.default.*.1", "_INBOX_default_1.>"] },
    })
}

#[tokio::test]
async fn a_worker_needs_no_more_rights_than_it_has() {
    let operator = Operator::new();
    let server = Nats::with(&operator.configuration()).await;
    let connected =
        async |user| connect(Options { credentials: Some(user), ..options(server.url()) }).await.unwrap();
    let control = connected(operator.user("_INBOX", json!({}), None)).await;
    control.set_up(None).await.unwrap();
    let _serving = serve(&control);
    let connection = connected(operator.user("_INBOX_default_1", worker_rights(), None)).await;
    let worker = worker_ports(&connection, &SandboxId::shared()).await;
    let tail = crate::common::append(&worker, "a", Seq::ZERO, &["one", "two"]).await.unwrap();
    let large = "large ".repeat(200_000);
    let tail = crate::common::append(&worker, "a", tail, &[&large]).await.unwrap();
    assert_eq!(crate::common::texts(&worker, "a").await, ["one", "two", &large]);
    assert_eq!(worker.log.tail(&crate::common::log("a")).await, Ok(tail));
    let taken = worker.kv.put(buckets::LEASES, "default", lease(0), Expect::Absent).await;
    assert!(taken.is_ok(), "{taken:?}");

    let mut commands = worker.bus.subscribe("mh.cmd.default.*.1", None).await.unwrap();
    let control = control.control().await.unwrap();
    let bus = worker.bus.clone();
    let answering = tokio::spawn(async move {
        let ports::Delivery::Message(message) = crate::common::next(&mut commands).await else { return };
        bus.publish(&message.reply.unwrap(), message.parcel).await.unwrap();
    });
    let parcel = ports::Parcel { json: "{}".into(), blob: "blob".into() };
    assert_eq!(control.bus.request("mh.cmd.default.bash.1", parcel.clone(), PATIENCE).await, Ok(parcel));
    answering.await.unwrap();
}

/// A worker whose connection passes a proxy, and a gateway whose does not.
struct Behind {
    proxy: Proxy,
    connection: Connection,
    worker: Ports,
    control: Arc<dyn Bus>,
    _serving: DropGuard,
    _server: Nats,
}

async fn behind_a_proxy() -> Behind {
    let operator = Operator::new();
    let server = Nats::with(&operator.configuration()).await;
    let proxy = Proxy::to(vec![([127, 0, 0, 1], server.port()).into()]).unwrap();
    let connected =
        async |user, url| connect(Options { credentials: Some(user), ..options(url) }).await.unwrap();
    let control = connected(operator.user("_INBOX", json!({}), None), server.url()).await;
    control.set_up(None).await.unwrap();
    let serving = serve(&control);
    let worker = operator.user("_INBOX_default_1", worker_rights(), None);
    let connection = connected(worker, format!("nats://{}", proxy.address())).await;
    let worker = worker_ports(&connection, &SandboxId::shared()).await;
    let control = control.control().await.unwrap().bus;
    Behind { proxy, connection, worker, control, _serving: serving, _server: server }
}

#[tokio::test]
async fn what_is_done_while_the_connection_is_lost_is_answered_when_it_is_back() {
    let Behind { proxy, connection, worker, control, .. } = &behind_a_proxy().await;
    let address = || Address::<RestCall>::of_worker(&SandboxId::shared(), Some(Epoch(1)));
    let (begun, go_on, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let server = Server::new(worker.bus.clone(), tasks, stop.clone());
    let work = {
        let (begun, go_on, done) = (begun.clone(), go_on.clone(), done.clone());
        move |_: Call<RestCall>| {
            let (begun, go_on, done) = (begun.clone(), go_on.clone(), done.clone());
            async move {
                begun.notify_one();
                go_on.notified().await;
                done.notify_one();
                Ok((true, Bytes::new()))
            }
        }
    };
    server.serve(&address(), None, Limits::new(1, 1 << 20), work).await.unwrap();
    for is_back_before in [true, false] {
        let bus = control.clone();
        let asking = tokio::spawn(async move {
            call::<_, bool>(&*bus, &address(), &RestCall { calls: 0 }, Bytes::new(), PATIENCE).await
        });
        begun.notified().await;
        proxy.close();
        connection.disconnected().await;
        if is_back_before {
            proxy.open();
            connection.connected().await;
        }
        go_on.notify_one();
        done.notified().await;
        proxy.open();
        assert_eq!(asking.await.unwrap(), Ok((true, Bytes::new())), "back before: {is_back_before}");
    }
    stop.cancel();
}

#[tokio::test]
async fn an_answer_that_is_lost_in_a_connection_is_given_over_the_next() {
    let Behind { proxy, worker, control, .. } = &behind_a_proxy().await;
    let address = Address::<RestCall>::of_worker(&SandboxId::shared(), Some(Epoch(1)));
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let begun = Arc::new(AtomicUsize::new(0));
    let work = {
        let begun = begun.clone();
        move |_: Call<RestCall>| {
            begun.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok((true, Bytes::new())))
        }
    };
    Server::new(worker.bus.clone(), tasks, stop.clone())
        .serve(&address, None, Limits::new(1, 1 << 20), work)
        .await
        .unwrap();
    // The worker has sent it, and its server has not got it.
    proxy.cut_before("mh.ans.default.1.rest.");
    let asked = call::<_, bool>(&**control, &address, &RestCall { calls: 0 }, Bytes::new(), PATIENCE).await;
    assert_eq!(asked, Ok((true, Bytes::new())));
    assert!(proxy.has_cut());
    assert_eq!(begun.load(Ordering::SeqCst), 1, "it is done once");
    stop.cancel();
}

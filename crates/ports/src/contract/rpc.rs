//! What calls over every bus must do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Barrier, Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::Seq;
use types::service::{AnswerTo, Service};

use super::{PATIENCE, in_time, unique};
use crate::rpc::{self, Address, Call, Code, Event, Fault, Limits, Reason, Server, VERSION};
use crate::{LARGEST, Parcel, Ports};

/// A service for tests.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Probe {
    Sum(Vec<u32>),
    Act,
    Look,
}

impl Service for Probe {
    const NAME: &'static str = "probe";

    fn only_reads(&self) -> bool {
        matches!(self, Self::Look)
    }
}

impl AnswerTo<Probe> for () {}
impl AnswerTo<Probe> for (u32, String) {}

/// One that speaks of other things.
#[derive(Serialize, Deserialize)]
struct Stranger(String);

impl Service for Stranger {
    const NAME: &'static str = "stranger";
}

impl AnswerTo<Stranger> for () {}

type Answered<A> = Result<(A, Bytes), Fault>;

const DONE: Answered<()> = Ok(((), Bytes::new()));
const WIDE: Limits = Limits::new(1_000, 64 << 20);

pub async fn a_call_carries_body_and_blob_both_ways(ports: Ports) {
    let (server, base) = (Serving::new(&ports), unique());
    server
        .serve(&format!("{base}.*"), WIDE, |call: Call<Probe>| async move {
            let sum: u32 = if let Probe::Sum(numbers) = call.body { numbers.iter().sum() } else { 0 };
            let mut blob = call.blob.to_vec();
            blob.reverse();
            Ok(((sum, call.subject), Bytes::from(blob)))
        })
        .await;
    let address = Address::named(format!("{base}.sum"));
    let (body, blob) = (Probe::Sum(vec![1, 2, 3]), Bytes::from_static(b"\x00\xffab"));
    let answer: Answered<(u32, String)> = rpc::call(&*ports.bus, &address, &body, blob, PATIENCE).await;
    assert_eq!(answer, Ok(((6, format!("{base}.sum")), Bytes::from_static(b"ba\xff\x00"))));
}

pub async fn a_fault_arrives_as_it_was_given(ports: Ports) {
    let (server, subject) = (Serving::new(&ports), unique());
    let reason = Reason::Changed { tail: Some(Seq(7)) };
    let fault = Fault { public: "come back later".to_owned(), ..Fault::from(reason).caused_by("a disk") };
    let given = fault.clone();
    server
        .serve(&subject, WIDE, move |_: Call<Probe>| {
            let given = given.clone();
            async move { Answered::<()>::Err(given) }
        })
        .await;
    assert_eq!(act(&ports, &subject).await, Err(fault));
}

pub async fn a_call_nobody_serves_is_unavailable(ports: Ports) {
    let fault = act(&ports, &unique()).await.expect_err("nobody serves this");
    assert_eq!(fault.code, Code::Absent);
}

pub async fn a_body_of_the_wrong_form_is_invalid(ports: Ports) {
    let (server, subject) = (Serving::new(&ports), unique());
    server.serve(&subject, WIDE, |_: Call<Probe>| async { DONE }).await;
    let (address, body) = (Address::named(subject.clone()), Stranger("x".to_owned()));
    let answer: Answered<()> = rpc::call(&*ports.bus, &address, &body, Bytes::new(), PATIENCE).await;
    assert_eq!(answer.expect_err("this is asked of others").code, Code::Invalid);
    assert_eq!(act(&ports, &subject).await, Ok(()), "the server goes on");
}

pub async fn a_call_too_large_to_be_sent_is_refused_and_reaches_nobody(ports: Ports) {
    let (server, subject) = (Serving::new(&ports), unique());
    let begun = server.counting(&subject).await;
    let (address, large) = (Address::named(subject.clone()), Bytes::from(vec![0; LARGEST]));
    let answer: Answered<()> = rpc::call(&*ports.bus, &address, &Probe::Act, large, PATIENCE).await;
    assert_eq!(answer.expect_err("it is too large").reason, Some(Reason::CallTooLarge));
    assert_eq!(act(&ports, &subject).await, Ok(()));
    assert_eq!(begun.load(Ordering::Relaxed), 1);
}

pub async fn calls_are_served_side_by_side(ports: Ports) {
    let (server, subject) = (Serving::new(&ports), unique());
    let both_here = Arc::new(Barrier::new(2));
    server
        .serve(&subject, WIDE, move |_: Call<Probe>| {
            let both_here = both_here.clone();
            async move {
                both_here.wait().await;
                DONE
            }
        })
        .await;
    let (one, other) = tokio::join!(act(&ports, &subject), act(&ports, &subject));
    assert_eq!((one, other), (Ok(()), Ok(())));
}

pub async fn a_handler_that_panics_is_answered_for(ports: Ports) {
    let (server, subject) = (Serving::new(&ports), unique());
    server
        .serve(&subject, WIDE, |call: Call<Probe>| async move {
            assert!(!call.body.only_reads(), "a defect of the handler");
            DONE
        })
        .await;
    let began = Instant::now();
    let fault = look(&ports, &subject, PATIENCE * 6).await.expect_err("the handler panics");
    assert_eq!(fault.code, Code::Internal);
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(act(&ports, &subject).await, Ok(()), "the server goes on");
    assert_eq!(server.counted(Event::Panicked), 1);
}

pub async fn a_call_beyond_the_room_is_refused_at_once(ports: Ports) {
    let (server, base) = (Serving::new(&ports), unique());
    let held = Arc::new(Held::default());
    let limits = Limits::new(3, 64 << 20).for_each_subject(2, 64 << 20);
    server.serve(&format!("{base}.*"), limits, held.handler()).await;
    let [greedy, other, third] = ["a", "b", "c"].map(|name| format!("{base}.{name}"));
    let under_way = [&greedy, &greedy, &other].map(|subject| begin(&ports, subject));
    held.begun(3).await;
    for full in [&greedy, &third] {
        let began = Instant::now();
        assert_eq!(act(&ports, full).await.expect_err("there is no room").code, Code::Busy);
        assert!(began.elapsed() < PATIENCE);
    }
    assert_eq!(server.counted(Event::Busy), 2);
    held.release(4);
    for call in under_way {
        assert_eq!(call.await.expect("no panic"), Ok(()));
    }
    assert_eq!(act(&ports, &greedy).await, Ok(()), "there is room again");
}

pub async fn who_has_patience_gets_room(ports: Ports) {
    let (server, subject) = (Serving::new(&ports), unique());
    let held = Arc::new(Held::default());
    server.serve(&subject, Limits::new(1, 64 << 20), held.handler()).await;
    let first = begin(&ports, &subject);
    held.begun(1).await;
    let (address, blob) = (Address::named(subject.clone()), Bytes::new());
    let patient = rpc::call_patiently(&*ports.bus, &address, &Probe::Act, blob, PATIENCE);
    let release = async {
        in_time(async {
            while server.counted(Event::Busy) < 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        held.release(2);
    };
    let (patient, ()) = tokio::join!(patient, release);
    assert_eq!((first.await.expect("no panic"), patient), (Ok(()), DONE));
}

pub async fn a_call_whose_caller_has_given_up_is_not_begun(ports: Ports) {
    let (server, subject) = (Serving::new(&ports), unique());
    let begun = server.counting(&subject).await;
    let sent = |ms: u64| {
        let sent = json!({"by": 7, "ms": ms});
        json!({"v": VERSION, "sent_ms": 1_000_000, "sent": sent, "deadline_ms": 60_000, "body": "act"})
    };
    // Whatever its clock shows.
    let first = ports.bus.request(&subject, Parcel::json(sent(500_000).to_string()), PATIENCE).await;
    assert!(first.is_ok_and(|answer| !String::from_utf8_lossy(&answer.json).contains("error")));
    assert_eq!(raw(&ports, &subject, &sent(400_000)).await, "unavailable");
    assert_eq!((begun.load(Ordering::Relaxed), server.counted(Event::Late)), (1, 1));
    assert_eq!(act(&ports, &subject).await, Ok(()));
    assert_eq!(begun.load(Ordering::Relaxed), 2);
}

pub async fn a_call_of_another_version_is_not_begun(ports: Ports) {
    let (server, subject) = (Serving::new(&ports), unique());
    let begun = server.counting(&subject).await;
    for (version, form) in [(VERSION + 1, json!("act")), (VERSION + 1, json!({"unheard": "of"}))] {
        let call = json!({"v": version, "sent_ms": u64::MAX >> 1, "deadline_ms": 60_000, "body": form});
        assert_eq!(raw(&ports, &subject, &call).await, "unavailable");
    }
    assert_eq!(begun.load(Ordering::Relaxed), 0);
}

pub async fn an_answer_too_large_to_be_sent_is_a_fault(ports: Ports) {
    let (server, subject) = (Serving::new(&ports), unique());
    let large = Bytes::from(vec![0; LARGEST + 1]);
    server
        .serve(&subject, WIDE, move |_: Call<Probe>| {
            let large = large.clone();
            async move { Ok(((), large)) }
        })
        .await;
    let began = Instant::now();
    let fault = look(&ports, &subject, PATIENCE * 6).await.expect_err("it is too large");
    assert_eq!(fault.code, Code::TooLarge);
    assert!(began.elapsed() < PATIENCE);
}

pub async fn what_only_reads_ends_with_its_caller_and_what_acts_is_finished(ports: Ports) {
    let (server, subject) = (Serving::new(&ports), unique());
    let (dropped, finished, go_on) =
        (CancellationToken::new(), CancellationToken::new(), Arc::new(Notify::new()));
    server
        .serve(&subject, WIDE, {
            let (dropped, finished, go_on) = (dropped.clone(), finished.clone(), go_on.clone());
            move |call: Call<Probe>| {
                let guard = call.body.only_reads().then(|| dropped.clone().drop_guard());
                let (finished, go_on) = (finished.clone(), go_on.clone());
                async move {
                    go_on.notified().await;
                    finished.cancel();
                    drop(guard);
                    DONE
                }
            }
        })
        .await;
    let short = Duration::from_millis(200);
    assert!(look(&ports, &subject, short).await.is_err());
    in_time(dropped.cancelled()).await;
    let address = Address::named(subject);
    let act: Answered<()> = rpc::call(&*ports.bus, &address, &Probe::Act, Bytes::new(), short).await;
    assert!(act.is_err() && !finished.is_cancelled());
    go_on.notify_one();
    in_time(finished.cancelled()).await;
}

pub async fn a_service_that_stops_finishes_what_it_began_and_begins_nothing(ports: Ports) {
    let (server, subject) = (Serving::new(&ports), unique());
    let held = Arc::new(Held::default());
    server.serve(&subject, WIDE, held.handler()).await;
    let under_way = begin(&ports, &subject);
    held.begun(1).await;
    server.stop.cancel();
    assert_eq!(act(&ports, &subject).await.expect_err("it has stopped").code, Code::Absent);
    assert!(!under_way.is_finished());
    held.release(1);
    assert_eq!(under_way.await.expect("no panic"), Ok(()));
    server.tasks.close();
    in_time(server.tasks.wait()).await;
}

pub async fn a_call_left_in_a_subscription_that_ends_is_refused_at_once(ports: Ports) {
    let subject = unique();
    let never_read = ports.bus.subscribe(&subject, None).await.expect("a subscription");
    let mut witness = ports.bus.subscribe(&subject, None).await.expect("another");
    let call = begin(&ports, &subject);
    in_time(witness.next()).await;
    drop(never_read);
    let outcome = in_time(call).await.expect("no panic");
    assert_eq!(outcome.expect_err("nobody took it").code, Code::Absent);
}

pub async fn a_call_a_bus_has_no_room_for_is_refused_at_once(ports: Ports) {
    let subject = unique();
    let _never_read = ports.bus.subscribe(&subject, None).await.expect("a subscription");
    let calls = (0..1_100).map(|_| look(&ports, &subject, PATIENCE * 6));
    let mut calls = calls.collect::<FuturesUnordered<_>>();
    for _ in 0..50 {
        let fault = in_time(calls.next()).await.expect("a call").expect_err("nobody answers");
        assert!(matches!(fault.code, Code::Busy | Code::Unavailable), "{fault:?}");
    }
}

/// A server and what it has counted.
struct Serving {
    server: Server,
    tasks: TaskTracker,
    stop: CancellationToken,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Serving {
    fn new(ports: &Ports) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = events.clone();
        let watch = move |service: &str, event| {
            assert_eq!(service, Probe::NAME);
            seen.lock().push(event);
        };
        let server = Server::new(ports.bus.clone(), tasks.clone(), stop.clone()).watched(Arc::new(watch));
        Self { server, tasks, stop, events }
    }

    async fn serve<A, H, F>(&self, pattern: &str, limits: Limits, handler: H)
    where
        A: Serialize + Send + 'static,
        H: Fn(Call<Probe>) -> F + Send + Sync + 'static,
        F: Future<Output = Answered<A>> + Send + 'static,
    {
        let address = Address::named(pattern.to_owned());
        self.server.serve(&address, None, limits, handler).await.expect("a subscription");
    }

    /// Serves, and counts the calls that are begun.
    async fn counting(&self, subject: &str) -> Arc<AtomicUsize> {
        let begun = Arc::new(AtomicUsize::new(0));
        let count = begun.clone();
        self.serve(subject, WIDE, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            async { DONE }
        })
        .await;
        begun
    }

    fn counted(&self, event: Event) -> usize {
        let events = self.events.lock();
        events.iter().filter(|seen| **seen == event).count()
    }
}

/// Calls that are under way until they are released.
struct Held {
    begun: Semaphore,
    released: Semaphore,
}

impl Default for Held {
    fn default() -> Self {
        Self { begun: Semaphore::new(0), released: Semaphore::new(0) }
    }
}

impl Held {
    fn handler(
        self: &Arc<Self>,
    ) -> impl Fn(Call<Probe>) -> futures_util::future::BoxFuture<'static, Answered<()>> + use<> {
        let held = self.clone();
        move |_| {
            let held = held.clone();
            Box::pin(async move {
                held.begun.add_permits(1);
                held.released.acquire().await.expect("it stays open").forget();
                DONE
            })
        }
    }

    async fn begun(&self, calls: u32) {
        in_time(self.begun.acquire_many(calls)).await.expect("it stays open").forget();
    }

    fn release(&self, calls: usize) {
        self.released.add_permits(calls);
    }
}

fn begin(ports: &Ports, subject: &str) -> tokio::task::JoinHandle<Result<(), Fault>> {
    let (ports, subject) = (ports.clone(), subject.to_owned());
    tokio::spawn(async move { act(&ports, &subject).await })
}

async fn act(ports: &Ports, subject: &str) -> Result<(), Fault> {
    probe(ports, subject, Probe::Act, PATIENCE).await
}

async fn look(ports: &Ports, subject: &str, deadline: Duration) -> Result<(), Fault> {
    probe(ports, subject, Probe::Look, deadline).await
}

async fn probe(ports: &Ports, subject: &str, body: Probe, deadline: Duration) -> Result<(), Fault> {
    let address = Address::named(subject.to_owned());
    let answer: Answered<()> = rpc::call(&*ports.bus, &address, &body, Bytes::new(), deadline).await;
    answer.map(|((), _)| ())
}

/// The code of the fault that answers what no caller of today sends.
async fn raw(ports: &Ports, subject: &str, call: &serde_json::Value) -> String {
    let answer = ports.bus.request(subject, Parcel::json(call.to_string()), PATIENCE).await;
    let json = answer.expect("an answer").json;
    let answer: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    answer["error"]["code"].as_str().expect("a fault").to_owned()
}

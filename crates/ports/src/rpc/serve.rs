//! The answering side: whoever calls is answered, in time and whatever happens.
//!
//! A [`Server`] is what all services of one process share: the bus, the tracker their tasks run on, the token that
//! stops them, and who counts. [`Server::serve`] makes a *desk* for one service: one task takes calls from the
//! subscription, and each call that is admitted gets a task of its own.
//!
//! ```text
//!               ┌── no room ──▶ refused: Busy
//!  subscription ┤
//!               └── room ──▶ read ──▶ handler ──▶ sent ──▶ room given back
//!                              │         │          └─ too large, or not taken by the bus: TooLarge, Internal
//!                              │         └─ panics: Internal; only reads and nobody waits any more: dropped
//!                              └─ another version, not a call, caller has given up: refused, not begun
//! ```
//!
//! *The desk never waits.* If it did, calls would pile up in the subscription, which is bounded too and drops what it
//! cannot hold, and their callers would wait for their whole deadline for nothing. So it only looks whether there is
//! room, and hands over. The room is counted in calls and in bytes, in all and for each subject: what workers ask comes
//! on a subject a sandbox, and one sandbox must not take what others need. A bus that has to drop a call nevertheless
//! answers it itself (`Bus::subscribe`), and what even it could not see shows as [`Event::Lagged`].
//!
//! *Deadlines.* A call carries how long its caller waits. One that was on its way for longer ([`Ages`]) is not begun: it lay
//! in a queue, or this process was stopped for a while, and its client was told meanwhile that it had failed. One that
//! is under way is ended at that time only if it says that it only reads; all others act, and are finished, since nobody
//! could say which half of them was done.
//!
//! *Answers wait for the bus.* One that is ready while the bus cannot be reached is kept until it can, as long as its caller
//! waits, for two minutes at most, and as long as there is room ([`Outbox`]). After that nothing is answered: a refusal
//! would say of what was done that it was not.
//!
//! *How it ends.* When `stop` is cancelled the desk refuses what has not begun with `Absent`, so that callers turn to
//! another process, and ends its subscription. What has begun is finished. Whoever owns the tracker closes it and waits
//! for it as long as it likes; nothing is aborted by that.

use std::any::Any;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, info_span};
use types::service::{OfControlPlane, Service};
use types::{Epoch, SandboxId, subjects};

use super::ages::Ages;
use super::envelope::{self, Request};
use super::outbox::Outbox;
use super::room::{Permit, Room};
use super::watch::{Event, Watch, unwatched};
use super::{Address, Code, Fault, Limits, Reason, traces};
use crate::mutants::{self, Mutant};
use crate::{Bus, Delivery, Error, Message, Parcel, Result, Subscription};

/// Refusals that may be on their way at once; beyond that a caller waits for its deadline.
const REFUSALS: usize = 1_024;

/// A served call: its body and blob, and the subject it came on.
pub struct Call<S> {
    pub subject: String,
    pub body: S,
    pub blob: Bytes,
}

impl<S: OfControlPlane> Call<S> {
    /// Whose worker calls: only it may publish on the subject.
    ///
    /// # Errors
    /// `Invalid` where the subject names none.
    pub fn sandbox(&self) -> std::result::Result<SandboxId, Fault> {
        subjects::caller(&self.subject).ok_or_else(|| Fault::new(Code::Invalid, "a call about no sandbox"))
    }

    /// Which incarnation of it calls, where that is in the subject: only that one may publish there.
    ///
    /// # Errors
    /// `Invalid` where the subject names none.
    pub fn incarnation(&self) -> std::result::Result<(SandboxId, Epoch), Fault> {
        let caller = subjects::calling_incarnation(&self.subject);
        caller.ok_or_else(|| Fault::new(Code::Invalid, "a call of no incarnation"))
    }
}

/// What all services of a process are served with.
#[derive(Clone)]
pub struct Server {
    bus: Arc<dyn Bus>,
    outbox: Outbox,
    ages: Arc<Ages>,
    tasks: TaskTracker,
    stop: CancellationToken,
    watch: Watch,
}

impl Server {
    /// Calls run on `tasks`, and none is begun after `stop`.
    #[must_use]
    pub fn new(bus: Arc<dyn Bus>, tasks: TaskTracker, stop: CancellationToken) -> Self {
        let (outbox, ages) = (Outbox::new(bus.clone()), Arc::default());
        Self { bus, outbox, ages, tasks, stop, watch: unwatched() }
    }

    /// With somebody who counts.
    #[must_use]
    pub fn watched(self, watch: Watch) -> Self {
        Self { watch, ..self }
    }

    /// Subscribes, then answers every call at `address` with `handler`. The task that is returned ends when the server
    /// stops or the bus ends the subscription.
    ///
    /// # Errors
    /// `Unavailable` when the subscription cannot be made.
    pub async fn serve<S, A, H, F>(
        &self,
        address: &Address<S>,
        group: Option<&str>,
        limits: Limits,
        handler: H,
    ) -> Result<JoinHandle<()>>
    where
        S: Service,
        A: Serialize + Send + 'static,
        H: Fn(Call<S>) -> F + Send + Sync + 'static,
        F: Future<Output = std::result::Result<(A, Bytes), Fault>> + Send + 'static,
    {
        let calls = self.bus.subscribe(address.subject(), group).await?;
        let desk = Arc::new(Desk {
            server: self.clone(),
            room: Room::new(limits),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            handler,
            service: PhantomData,
        });
        Ok(self.tasks.spawn(desk.attend(calls)))
    }
}

struct Desk<S, H> {
    server: Server,
    room: Room,
    refusals: Arc<Semaphore>,
    handler: H,
    service: PhantomData<fn(S)>,
}

impl<S, A, H, F> Desk<S, H>
where
    S: Service,
    A: Serialize + Send + 'static,
    H: Fn(Call<S>) -> F + Send + Sync + 'static,
    F: Future<Output = std::result::Result<(A, Bytes), Fault>> + Send + 'static,
{
    async fn attend(self: Arc<Self>, mut calls: Subscription) {
        loop {
            let delivery = tokio::select! {
                biased;
                () = self.server.stop.cancelled() => break,
                delivery = calls.next() => delivery,
            };
            match delivery {
                None => return,
                Some(Delivery::Lagged) => self.lagged(),
                Some(Delivery::Message(message)) => self.admit(message),
            }
            tokio::task::coop::consume_budget().await;
        }
        while let Some(Some(delivery)) = calls.next().now_or_never() {
            let Delivery::Message(Message { reply: Some(reply), .. }) = delivery else { continue };
            self.refuse(reply, Fault::from(Reason::Unreachable).caused_by("it is shutting down"));
        }
    }

    fn lagged(&self) {
        tracing::warn!(service = S::NAME, "calls were lost before they could be refused");
        self.count(Event::Lagged);
    }

    fn admit(self: &Arc<Self>, message: Message) {
        let Some(reply) = message.reply.clone() else { return };
        let size = message.parcel.json.len().saturating_add(message.parcel.blob.len());
        let Some(permit) = self.room.take(&message.subject, size) else {
            self.count(Event::Busy);
            return self.refuse(reply, envelope::busy());
        };
        self.server.tasks.spawn(Arc::clone(self).answer(message, reply, permit));
    }

    fn refuse(&self, reply: String, fault: Fault) {
        let Ok(turn) = self.refusals.clone().try_acquire_owned() else {
            return self.count(Event::Unanswered);
        };
        let bus = self.server.bus.clone();
        self.server.tasks.spawn(async move {
            // A caller that has gone away is no concern of the answerer.
            let _ = bus.publish(&reply, envelope::refusal(&fault)).await;
            drop(turn);
        });
    }

    async fn answer(self: Arc<Self>, message: Message, reply: String, permit: Permit) {
        self.count(Event::Begun);
        let request = Request::<S>::read(&message.parcel.json);
        let surely = request.as_ref().is_ok_and(|request| request.body.is_told_once());
        let give_up = Instant::now() + request.as_ref().map_or(Duration::ZERO, Request::patience);
        let outcome = match request {
            Ok(request) => self.perform(request, message.subject, message.parcel.blob).await,
            Err(fault) => Err(fault),
        };
        self.send(&reply, envelope::answer(outcome), surely, give_up).await;
        drop(permit);
        self.count(Event::Ended);
    }

    async fn perform(
        &self,
        request: Request<S>,
        subject: String,
        blob: Bytes,
    ) -> std::result::Result<(A, Bytes), Fault> {
        let age = request.sent.map_or(Duration::ZERO, |sent| self.server.ages.of(sent));
        if age > request.patience() {
            self.count(Event::Late);
            return Err(Reason::TooLate.into());
        }
        let span = info_span!("rpc.serve", otel.kind = "server", %subject);
        traces::adopt(&span, request.traceparent.as_deref());
        let patience = request.body.only_reads().then(|| request.patience());
        let call = Call { subject, body: request.body, blob };
        let work = async { (self.handler)(call).await }.instrument(span);
        let work = AssertUnwindSafe(work).catch_unwind();
        let outcome = match patience {
            Some(patience) => {
                tokio::time::timeout(patience, work).await.map_err(|_| Fault::from(Reason::TooSlow))?
            }
            None => work.await,
        };
        outcome.unwrap_or_else(|panic| Err(self.panicked(panic.as_ref())))
    }

    fn panicked(&self, panic: &(dyn Any + Send)) -> Fault {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
        self.count(Event::Panicked);
        Fault::internal(format_args!("the service {} has panicked: {text}", S::NAME))
    }

    async fn send(&self, reply: &str, answer: Parcel, surely: bool, give_up: Instant) {
        if mutants::is(Mutant::DroppedAnswer) && fastrand::u32(..50) == 0 {
            return;
        }
        let Err(error) = self.server.outbox.send(reply, &answer, surely, give_up).await else { return };
        tracing::warn!(service = S::NAME, %error, "an answer cannot be sent");
        self.count(Event::Unanswered);
        if matches!(error, Error::Unavailable(_)) {
            return;
        }
        // What is wrong with the answer need not be wrong with this; and a caller may have gone away.
        let _ = self.server.bus.publish(reply, envelope::refusal(&Fault::internal(error))).await;
    }

    fn count(&self, event: Event) {
        (self.server.watch)(S::NAME, event);
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;
    use tokio::time::sleep;

    use super::*;
    use crate::rpc::VERSION;
    use crate::rpc::away::Away;

    #[derive(Serialize, Deserialize)]
    struct Act;

    impl Service for Act {
        const NAME: &'static str = "act";
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_done_while_the_bus_was_away_is_not_refused_when_it_is_back() {
        let call = json!({ "v": VERSION, "sent_ms": u64::MAX >> 1, "deadline_ms": 1_000, "body": null });
        let bus = Away::until(Instant::now() + Duration::from_millis(990)).with(call.to_string());
        let (tasks, done) = (TaskTracker::new(), CancellationToken::new());
        let server = Server::new(bus.clone(), tasks.clone(), CancellationToken::new());
        let (address, is_done) = (Address::<Act>::named("x".to_owned()), done.clone());
        let handler = move |_: Call<Act>| {
            is_done.cancel();
            std::future::ready(Ok(((), Bytes::new())))
        };
        server.serve(&address, None, Limits::new(1, 1_000), handler).await.unwrap();
        done.cancelled().await;
        sleep(Duration::from_secs(5)).await;
        assert_eq!(bus.published(), [], "nobody may be told that it was not done");
    }
}

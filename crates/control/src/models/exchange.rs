//! One model call of a worker, from its first message to the end of the answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use llm::{AnswerBody, BUDGET_REACHED, Destination, HttpAnswer, Meter, Transport, TransportError};
use ports::retry::Backoff;
use ports::{Bus, Delivery, Parcel, Subscription};
use tokio::time::Instant;
use tracing::Span;
use types::brokering::{ModelCall, ModelNote};
use types::conversation::ConversationRecord;
use types::subjects;

use super::answer::AnswerPieces;
use super::budget::Allowance;
use super::reserve::Reserved;
use super::route;
use super::under_way::Share;
use super::{Inner, Models, STORING};

/// Between two parts of a call's body, and from the first to the last: for so long it takes up room that others want.
const PARTS_APART: Duration = Duration::from_secs(30);
const ARRIVING: Duration = Duration::from_secs(120);

/// No exchange takes longer; workers give up much earlier, and one that has died cannot say so.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Bytes of a provider's error text that are passed on.
const ERROR_BYTES: usize = 64 << 10;

/// Between two looks whether a model that the conversation does not have is one that it is being switched to, and how long that is
/// looked: a little longer than it takes.
const SWITCHING: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));
const SWITCHED: Duration = STORING.saturating_add(Duration::from_secs(2));

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// One model call of a worker, from its first message to the end of the answer.
pub(super) struct Exchange {
    models: Models,
    record: ConversationRecord,
    call: ModelCall,
    answer: AnswerPieces,
}

impl Exchange {
    pub fn new(models: &Models, record: ConversationRecord, call: ModelCall) -> Self {
        let pieces = subjects::model_pieces(&record.sandbox, call.epoch, &call.id);
        let answer = AnswerPieces::new(models.0.bus.clone(), pieces);
        Self { models: models.clone(), record, call, answer }
    }

    /// Makes the call and hands the answer on, until the worker cancels it. Then its share of the load is given
    /// back, and it is counted.
    pub async fn run(mut self, mut notes: Subscription, first: Bytes, share: Share) {
        let arriving = tokio::time::timeout(
            ARRIVING,
            whole_body(self.models.0.bus.as_ref(), &mut notes, first, self.call.body_bytes),
        );
        let Some(body) = arriving.await.ok().flatten() else {
            return self.answer.fail("the call did not arrive whole", false).await;
        };
        let Models(models) = self.models.clone();
        // What the provider will put on the bill, and what is held back for it.
        let (mut bill, mut reserved) = (None, None);
        let stopping = async {
            models.desks.drain.cancelled().await;
            tokio::time::sleep(models.drain / 2).await;
        };
        tokio::select! {
            () = self.serve(body, &mut bill, &mut reserved) => {}
            () = cancelled(&mut notes) => {}
            () = stopping => self.answer.fail("the broker is stopping", false).await,
            () = tokio::time::sleep(LONGEST) => {}
        }
        drop(share);
        if let Some(meter) = bill {
            let spent = meter.finish();
            models.metrics.stepped(&spent.tokens, spent.cost);
            models.budgets.add(&self.record, &spent, &models.desks.drain).await;
        }
        drop(reserved);
    }

    async fn serve(&mut self, body: Bytes, bill: &mut Option<Meter>, reserved: &mut Option<Reserved>) {
        let Models(models) = self.models.clone();
        let finding = find(&models, &mut self.record, &self.call, &body);
        let Some(destination) = self.answer.kept_alive(finding).await else {
            return self.answer.fail("The conversation has no such model.", true).await;
        };
        let (record, cost) = (self.record.clone(), destination.likely_cost(body.len()));
        match self.answer.kept_alive(models.budgets.reserve(&record, cost)).await {
            Ok(Allowance::Unlimited) => {}
            Ok(Allowance::Reserved(part)) => *reserved = Some(part),
            Ok(Allowance::Reached(text)) => {
                let headers = HeaderMap::from_iter([(CONTENT_TYPE, JSON)]);
                let status = StatusCode::PAYMENT_REQUIRED;
                return self.answer.refuse(status, &headers, BUDGET_REACHED, &text).await;
            }
            Err(error) => {
                tracing::warn!(conversation.id = %record.id, %error, "a budget cannot be read");
                return self.answer.fail("The budget cannot be read now.", false).await;
            }
        }
        let account = destination.account(&record.tenant);
        let pause = models.pauses.over(&account, self.record.id);
        if let Err(left) = self.answer.kept_alive(pause).await {
            return self.refuse_for_now(left).await;
        }
        *bill = Some(destination.meter(body.len()));
        let sending = models.providers.send(destination.call(body));
        let answer = match self.answer.kept_alive(sending).await {
            Ok(answer) => answer,
            Err(error) => {
                *bill = None;
                return self.fail(error).await;
            }
        };
        Span::current().record("http.response.status_code", answer.status.as_u16());
        if answer.status.is_success() {
            return self.pass_on(answer, bill).await;
        }
        *bill = None;
        if let Some(time) =
            llm::asked_wait(&answer.headers).filter(|_| answer.status == StatusCode::TOO_MANY_REQUESTS)
        {
            models.pauses.pause(&account, time);
        }
        self.pass_on_refusal(answer, &destination).await;
    }

    async fn pass_on(&mut self, answer: HttpAnswer, bill: &mut Option<Meter>) {
        if let Some(meter) = bill {
            meter.begin(&answer.headers);
        }
        self.answer.head(answer.status, &answer.headers).await;
        let mut body = answer.body;
        while let Some(piece) = self.answer.kept_alive(body.next()).await {
            match piece {
                Ok(bytes) => {
                    if let Some(meter) = bill {
                        meter.feed(&bytes);
                    }
                    self.answer.body(bytes).await;
                }
                Err(error) => return self.fail(error).await,
            }
        }
        self.answer.end().await;
    }

    /// Providers like to repeat the key that they refuse.
    async fn pass_on_refusal(&mut self, answer: HttpAnswer, destination: &Destination) {
        let text = self.answer.kept_alive(beginning(answer.body)).await;
        self.answer.head(answer.status, &answer.headers).await;
        self.answer.body(destination.clean(text).into()).await;
        self.answer.end().await;
    }

    async fn refuse_for_now(&mut self, left: Duration) {
        let wait = HeaderValue::from(left.as_secs() + 1);
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, JSON), (RETRY_AFTER, wait)]);
        let text = "Too many calls wait for the provider already.";
        self.answer.refuse(StatusCode::TOO_MANY_REQUESTS, &headers, "rate_limit", text).await;
    }

    async fn fail(&mut self, error: TransportError) {
        match error {
            TransportError::Connection(text) => self.answer.fail(text, false).await,
            TransportError::Setup(text) => self.answer.fail(text, true).await,
        }
    }
}

/// Which of the conversation's models a call is for. A worker is told of a switch before that is in the record.
async fn find(
    models: &Inner,
    record: &mut ConversationRecord,
    call: &ModelCall,
    body: &Bytes,
) -> Option<Destination> {
    let (give_up, mut pauses) = (Instant::now() + SWITCHED, SWITCHING);
    loop {
        let found = route::find(&models.vault, record.clone(), call, body);
        if found.is_some() || Instant::now() >= give_up {
            return found;
        }
        tokio::time::sleep(pauses.pause()).await;
        let stored = models.index.read(record.id).await.ok().flatten();
        if let Some(stored) = stored.filter(|stored| stored.is_same(record)) {
            *record = stored;
        }
    }
}

/// `None` when it does not arrive whole.
async fn whole_body(bus: &dyn Bus, notes: &mut Subscription, first: Bytes, total: u64) -> Option<Bytes> {
    let total = usize::try_from(total).ok()?;
    if first.len() == total {
        return Some(first);
    }
    let mut whole = BytesMut::from(first);
    while whole.len() < total {
        match tokio::time::timeout(PARTS_APART, notes.next()).await.ok()?? {
            Delivery::Message(message) => match note(&message.parcel)? {
                ModelNote::Body {} => {
                    whole.extend_from_slice(&message.parcel.blob);
                    if let Some(reply) = &message.reply {
                        // Unheard, the worker gives up.
                        let _ = bus.publish(reply, Parcel::default()).await;
                    }
                }
                ModelNote::Cancel {} => return None,
            },
            Delivery::Lagged => return None,
        }
    }
    (whole.len() == total).then(|| whole.freeze())
}

/// Returns when the worker does not want the answer any more.
async fn cancelled(notes: &mut Subscription) {
    while let Some(delivery) = notes.next().await {
        if matches!(delivery, Delivery::Message(message) if note(&message.parcel) == Some(ModelNote::Cancel {}))
        {
            return;
        }
    }
    // Without the subscription nobody can cancel.
    std::future::pending().await
}

fn note(parcel: &Parcel) -> Option<ModelNote> {
    serde_json::from_slice(&parcel.json).ok()
}

async fn beginning(mut body: AnswerBody) -> String {
    let mut bytes = Vec::new();
    while let Some(Ok(piece)) = body.next().await {
        bytes.extend_from_slice(&piece);
        if bytes.len() >= ERROR_BYTES {
            bytes.truncate(ERROR_BYTES);
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

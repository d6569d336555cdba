//! Performing the agent's effects, in order.

use std::time::Duration;

use agent::{Effect, LogItem};
use ports::mutants::{self, Mutant};
use ports::retry::Backoff;
use ports::rpc::{Fault, Reason};
use tokio::time::Instant;
use types::time::millis;

use super::actor::{Actor, End};
use super::journal::{Batch, Trouble};

const AGAIN: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// A command whose records cannot be stored for this long is answered with a fault.
const ANSWER_DEADLINE: Duration = Duration::from_secs(3);

impl Actor {
    pub(super) async fn perform(&mut self, effects: Vec<Effect>) -> Result<(), End> {
        let mut effects = joined(effects).into_iter().peekable();
        while let Some(effect) = effects.next() {
            match effect {
                Effect::Append(items) => {
                    let batch = self.journal.batch(items).map_err(End::Lost)?;
                    let anchor = self.journal.last_index_after(&batch);
                    // The request is made up already and its answer is only looked at after the append:
                    // the model may think while the disk writes.
                    if let Some(call) = effects.next_if(|next| matches!(next, Effect::CallModel { .. })) {
                        self.begin(call, anchor);
                    }
                    while mutants::is(Mutant::RunsFirst)
                        && let Some(run) = effects.next_if(|next| matches!(next, Effect::RunTool { .. }))
                    {
                        self.begin(run, anchor);
                    }
                    self.store(&batch).await?;
                }
                other => self.begin(other, self.journal.last_index()),
            }
        }
        self.settle();
        self.snapshot_if_due();
        Ok(())
    }

    fn begin(&mut self, effect: Effect, anchor: Option<u64>) {
        match effect {
            Effect::Append(_) => {}
            Effect::CallModel { call, item_id, llm, request, .. } => {
                self.start_model(call, item_id, anchor, llm, request);
            }
            Effect::CancelModel => {
                if let Some(call) = self.model.take() {
                    call.cancel();
                }
            }
            Effect::RunTool { action_id, tool, action } => self.start_tool(action_id, tool, action),
            Effect::CancelTools => std::mem::take(&mut self.cancel_tools).cancel(),
        }
    }

    /// Stores a batch. While the log cannot be written the conversation stands still: it tries again with
    /// growing pauses and refuses commands meanwhile.
    async fn store(&mut self, batch: &Batch) -> Result<(), End> {
        let begun = Instant::now();
        let mut backoff = AGAIN;
        loop {
            let error = match self.journal.store(batch).await {
                Ok(()) => {
                    self.shared.config.work.appended(batch.len());
                    return Ok(());
                }
                Err(Trouble::Lost(loss)) => return Err(End::Lost(loss)),
                Err(Trouble::NotNow(error)) => error,
            };
            tracing::warn!(conversation.id = %self.seat.id, %error, "cannot append to the log, trying again");
            if begun.elapsed() >= ANSWER_DEADLINE
                && let Some(reply) = self.answering.take()
            {
                let _ = reply.send(Err(unwritable()));
            }
            self.stand_still(backoff.pause()).await?;
        }
    }

    async fn stand_still(&mut self, pause: Duration) -> Result<(), End> {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Ok(()),
                () = self.seat.forget.cancelled() => return Err(End::Forgotten),
                () = self.shared.shutdown.cancelled() => return Err(End::ShutDown),
                Some(request) = self.seat.requests.recv() => request.refuse(unwritable()),
            }
        }
    }

    /// After every change: gives up the run slot and answers interrupts when the run is over.
    fn settle(&mut self) {
        if self.agent.is_running() {
            return;
        }
        self.free_slot();
        for reply in std::mem::take(&mut self.interrupts) {
            let _ = reply.send(Ok(self.position()));
        }
    }

    /// Gives up the run slot unless a step is still under way.
    pub(super) fn free_slot(&mut self) {
        if self.agent.is_running() || self.is_in_step() {
            return;
        }
        let Some(slot) = self.slot.take() else { return };
        let duration_ms = millis(slot.held_for());
        tracing::info!(conversation.id = %self.seat.id, status = ?self.agent.status(), duration_ms, "run ended");
    }
}

fn unwritable() -> Fault {
    Fault::from(Reason::Unavailable).caused_by("the conversation's log cannot be written")
}

/// Makes one append of appends that follow each other.
fn joined(effects: Vec<Effect>) -> Vec<Effect> {
    let mut joined: Vec<Effect> = Vec::with_capacity(effects.len());
    for effect in effects {
        match (joined.last_mut(), effect) {
            (Some(Effect::Append(items)), Effect::Append(more)) => items.extend::<Vec<LogItem>>(more),
            (_, effect) => joined.push(effect),
        }
    }
    joined
}

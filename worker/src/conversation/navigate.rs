//! Moving HEAD: the log is read for the branch that the conversation goes on with, while nothing of it runs.

use agent::{Input, Refusal};
use ports::rpc::{Code, Fault};
use types::{EventId, LogId};

use super::actor::{Actor, End};
use super::branch;
use super::command::refuse;
use super::registry::Reply;

impl Actor {
    pub(super) async fn navigate(&mut self, to: Option<EventId>, mut reply: Reply) -> Result<(), End> {
        // It may have waited for others for long.
        if reply.is_closed() {
            return Ok(());
        }
        if self.agent.is_running() {
            refuse(reply, Refusal::AlreadyRunning);
            return Ok(());
        }
        let store = self.shared.ports.log.clone();
        let id = LogId::conversation(&self.shared.config.sandbox, self.seat.id);
        let head = to.as_ref().map(EventId::as_str);
        let read = branch::past(store.as_ref(), &id, head, self.journal.tail());
        let past = tokio::select! {
            past = read => past,
            () = reply.closed() => return Ok(()),
            () = self.seat.forget.cancelled() => return self.give_up_answer(reply, End::Forgotten),
            () = self.shared.shutdown.cancelled() => return self.give_up_answer(reply, End::ShutDown),
        };
        match (past, to) {
            (Ok(Some(past)), to) => return self.take(Input::Navigate { to, past }, reply).await,
            (Ok(None), to) => {
                let to = to.unwrap_or_else(|| EventId(String::new()));
                let _ = reply.send(Err(Fault::new(Code::NotFound, format!("Unknown event_id: {to}"))));
            }
            (Err(error), _) => {
                let _ = reply.send(Err(error.into()));
            }
        }
        Ok(())
    }

    /// Whoever asked is answered when this actor has ended.
    fn give_up_answer(&mut self, reply: Reply, end: End) -> Result<(), End> {
        self.answering = Some(reply);
        Err(end)
    }
}

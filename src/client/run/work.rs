//! Work that is followed from its start to its end, with what whoever started it says meanwhile.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::ask::{self, Answer};
use super::input;
use super::{End, Options, until};
use crate::client::api::Api;
use crate::client::interrupt::Interrupt;
use crate::client::progress::{Progress, Rest, Step};
use crate::client::seen::Seen;
use crate::client::start::start;
use crate::client::stops::Stops;
use crate::client::stream::Stream;
use crate::client::told::{Manner, Screen, Shows, notice};
use crate::client::waiting::{self, WAITING, respond};

/// What a run gets to stop once its time is over.
const GRACE: Duration = Duration::from_secs(15);

const NOT_SHOWN: &str = "What waits could not be shown to the user.";

pub struct Work<'a> {
    options: &'a Options,
    api: &'a Api,
    id: &'a str,
    progress: Progress,
    screen: Screen,
    stops: &'a mut Stops,
    deadline: Option<Instant>,
    /// How it will end, since it was asked to stop.
    stopping: Option<End>,
    interrupt: Option<Interrupt>,
    is_left: bool,
    /// Of the error that was told last.
    code: Option<String>,
}

impl<'a> Work<'a> {
    pub fn new(
        options: &'a Options,
        api: &'a Api,
        id: &'a str,
        stream: Stream,
        deadline: Option<Instant>,
        stops: &'a mut Stops,
    ) -> Self {
        let manner = match (options.json, options.quiet) {
            (true, _) => Manner::Json,
            (_, true) => Manner::Quiet,
            _ => Manner::Readable,
        };
        let shows = Shows { users: false, all: options.full };
        Self {
            options,
            api,
            id,
            progress: Progress::new(api, id, stream),
            screen: Screen::new(manner, shows),
            stops,
            deadline,
            stopping: None,
            interrupt: None,
            is_left: false,
            code: None,
        }
    }

    /// `status`: how the conversation is.
    ///
    /// # Errors
    /// Of the server, and of an output that takes nothing any more.
    pub async fn whole(&mut self, status: &str, task: Option<&str>) -> anyhow::Result<End> {
        let begun = match status {
            WAITING => self.rested(&Rest { status: status.to_owned() }).await?,
            _ => {
                let content = task.map(|task| json!([{"type": "text", "text": task}]));
                let (api, id) = (self.api, self.id);
                self.done(start(api, id, content)).await?
            }
        };
        let end = match begun {
            Some(end) => end,
            None => self.follow().await?,
        };
        self.screen.end()?;
        Ok(end)
    }

    /// Whether nobody waits for its rest any more.
    pub fn is_left(&self) -> bool {
        self.is_left
    }

    async fn follow(&mut self) -> anyhow::Result<End> {
        loop {
            let step = tokio::select! {
                step = self.progress.next() => step?,
                end = told_to_stop(self.stops, self.deadline) => {
                    if let Some(end) = self.stop(end) {
                        return Ok(end);
                    }
                    continue;
                }
            };
            match step {
                Step::Event(event) => {
                    let seen = Seen::of(&event);
                    if let Seen::Failed { code, .. } = &seen {
                        self.code = Some(code.clone());
                    }
                    self.screen.event(&event, &seen)?;
                }
                Step::Piece(piece) => self.screen.piece(&piece)?,
                Step::Lost(why) => notice(&format!("{why}; trying again")),
                Step::Back => notice("connected again"),
                Step::Rest(rest) => {
                    if let Some(end) = self.rested(&rest).await? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    /// Something that lets the agent work. Whoever wants it to stop meanwhile is heard once it is done: the server may have taken
    /// the call, and an interrupt that comes before it stops nothing. Gives the end, if it was not waited for.
    async fn done(&mut self, call: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Option<End>> {
        tokio::pin!(call);
        loop {
            tokio::select! {
                done = &mut call => match done {
                    Err(error) if self.stopping.is_some() => {
                        notice(&format!("{error:#}"));
                        break;
                    }
                    done => break done?,
                },
                end = told_to_stop(self.stops, self.deadline) => {
                    if let Some(end) = self.stop(end) {
                        return Ok(Some(end));
                    }
                }
            }
        }
        if self.stopping.is_some() {
            self.interrupt = Some(Interrupt::of(self.api, self.id));
        }
        Ok(None)
    }

    /// Asks the run to stop; the second time, or when that takes too long, there is no more waiting for it.
    fn stop(&mut self, end: End) -> Option<End> {
        if end == End::Limit {
            self.deadline = Some(Instant::now() + GRACE);
        }
        match (self.stopping, end) {
            (Some(End::Interrupted), End::Limit) => {
                self.stopping = Some(End::Limit);
                return None;
            }
            (Some(_), _) => {
                self.is_left = true;
                notice("it may still run");
                return Some(end);
            }
            (None, End::Interrupted) => notice("stopping; once more ends at once"),
            (None, _) => notice("the time is over: the run is stopped"),
        }
        self.stopping = Some(end);
        self.interrupt = Some(Interrupt::of(self.api, self.id));
        None
    }

    /// How it ends, unless it goes on.
    async fn rested(&mut self, rest: &Rest) -> anyhow::Result<Option<End>> {
        if rest.status == WAITING && self.stopping.is_none() {
            return self.confirm().await;
        }
        let end = End::of(&rest.status, self.code.as_deref());
        Ok(Some(match self.stopping {
            Some(stopping) if end != End::Finished => stopping,
            _ => end,
        }))
    }

    async fn confirm(&mut self) -> anyhow::Result<Option<End>> {
        if self.options.yes {
            return self.accept().await;
        }
        if !input::can_be_typed() {
            notice("rejected: nobody can be asked here; --yes lets everything run");
            let end = self.reject(Some("Nobody could be asked."), false).await?;
            return Ok(end.or(Some(End::Waiting)));
        }
        loop {
            // As the server has them now: it is what runs.
            let actions = waiting::actions(self.api, self.id).await?;
            if actions.is_empty() {
                notice("rejected: what waits cannot be shown");
                return self.reject(Some(NOT_SHOWN), true).await;
            }
            let answer = tokio::select! {
                answer = ask::ask(&actions) => answer,
                () = self.stops.next() => Answer::Nobody,
                () = until(self.deadline) => return Ok(Some(End::Limit)),
            };
            match answer {
                Answer::Yes if !waiting::still_wait(self.api, self.id, &actions).await? => {
                    notice("not accepted: something else waits by now");
                }
                Answer::Yes => return self.accept().await,
                Answer::No(reason) => return self.reject(reason.as_deref(), true).await,
                Answer::Nobody => {
                    notice("the actions wait");
                    return Ok(Some(End::Waiting));
                }
            }
        }
    }

    async fn accept(&mut self) -> anyhow::Result<Option<End>> {
        self.progress.expect_another();
        let (api, id) = (self.api, self.id);
        self.done(async move { Ok(respond(api, id, waiting::Answer::Accept).await?) }).await
    }

    /// `goes_on`: the agent works on, and is told of it.
    async fn reject(&mut self, reason: Option<&str>, goes_on: bool) -> anyhow::Result<Option<End>> {
        self.progress.expect_another();
        let (api, id) = (self.api, self.id);
        self.done(async move {
            respond(api, id, waiting::Answer::Reject(reason)).await?;
            match goes_on {
                true => start(api, id, None).await,
                false => Ok(()),
            }
        })
        .await
    }
}

async fn told_to_stop(stops: &mut Stops, deadline: Option<Instant>) -> End {
    tokio::select! {
        () = stops.next() => End::Interrupted,
        () = until(deadline) => End::Limit,
    }
}

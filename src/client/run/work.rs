//! Work that is followed from its start to its end, with what whoever started it says meanwhile.

use std::io;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::ask::{self, Answer};
use super::input;
use super::{End, LEAVING, Options, until};
use crate::client::api::Api;
use crate::client::interrupt::Interrupt;
use crate::client::progress::{Progress, Rest, Step};
use crate::client::seen::{Action, Seen};
use crate::client::start::start;
use crate::client::stops::Stops;
use crate::client::stream::Stream;
use crate::client::told::{Manner, Screen, Shows, notice};
use crate::client::waiting::{self, WAITING, Waiting, respond};

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
        let ended = self.begin_and_follow(status, task).await;
        if ended.as_ref().is_err_and(|error| error.is::<io::Error>()) {
            // Nobody sees any more what the agent does, as after `| head`.
            let stopped = Interrupt::of(self.api, self.id).until_taken();
            let _ = tokio::time::timeout(LEAVING, stopped).await;
        }
        ended
    }

    async fn begin_and_follow(&mut self, status: &str, task: Option<&str>) -> anyhow::Result<End> {
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
                () = self.screen.silent() => {
                    self.screen.tell_silence();
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
                return Some(end);
            }
            (None, End::Interrupted) => notice("stopping; once more ends at once"),
            (None, _) => {
                let why = self.screen.why_silent().map_or_else(String::new, |why| format!("; {why}"));
                notice(&format!("the time is over: the run is stopped{why}"));
            }
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
            return Ok(self.answer(waiting::Answer::Accept, None, true).await?.end);
        }
        if !input::can_be_typed() {
            notice("rejected: nobody can be asked here; --yes lets everything run");
            let answer = waiting::Answer::Reject(Some("Nobody could be asked."));
            return Ok(self.answer(answer, None, false).await?.end.or(Some(End::Waiting)));
        }
        let mut refused = Vec::new();
        loop {
            let (waiting, said) = tokio::select! {
                asked = asked(self.api, self.id, &refused) => asked?,
                end = told_to_stop(self.stops, self.deadline) => return self.stopped_at_question(end).await,
            };
            let actions = match waiting {
                Waiting::These(actions) => actions,
                Waiting::Unseen => {
                    notice("rejected: what waits cannot be shown");
                    return Ok(self.answer(waiting::Answer::Reject(Some(NOT_SHOWN)), None, true).await?.end);
                }
                // Somebody else has answered.
                Waiting::Nothing => {
                    self.progress.expect_another();
                    return Ok(None);
                }
            };
            let answer = match &said {
                Answer::Yes => waiting::Answer::Accept,
                Answer::No(reason) => waiting::Answer::Reject(reason.as_deref()),
                Answer::Nobody => return self.stopped_at_question(End::Interrupted).await,
            };
            let Answered { is_taken, end } = self.answer(answer, Some(&actions), true).await?;
            if is_taken || self.stopping.is_some() {
                return Ok(end);
            }
            notice("that is no answer any more: something else waits by now, or nothing");
            refused = actions;
        }
    }

    /// What waits is left to wait; where somebody else has answered meanwhile, what runs is stopped.
    async fn stopped_at_question(&mut self, end: End) -> anyhow::Result<Option<End>> {
        let status = tokio::select! {
            status = tokio::time::timeout(GRACE, waiting::status(self.api, self.id)) => status.ok(),
            _ = told_to_stop(self.stops, None) => None,
        };
        match status {
            Some(Ok(status)) if status == WAITING => {
                notice("the actions wait");
                Ok(Some(if end == End::Interrupted { End::Waiting } else { end }))
            }
            Some(Ok(_)) => {
                self.progress.expect_another();
                Ok(self.stop(end))
            }
            Some(Err(_)) | None => {
                self.is_left = true;
                notice("it may still run");
                Ok(Some(end))
            }
        }
    }

    /// `goes_on`: the agent works on also where it is refused something, and is told of it.
    async fn answer(
        &mut self,
        answer: waiting::Answer<'_>,
        shown: Option<&[Action]>,
        goes_on: bool,
    ) -> anyhow::Result<Answered> {
        self.progress.expect_another();
        let (api, id, mut is_taken) = (self.api, self.id, false);
        let starts = goes_on && !matches!(answer, waiting::Answer::Accept);
        let answering = async {
            is_taken = respond(api, id, answer, shown).await?;
            if is_taken && starts { start(api, id, None).await } else { Ok(()) }
        };
        let end = self.done(answering).await?;
        Ok(Answered { is_taken, end })
    }
}

struct Answered {
    /// Otherwise something else waits by now, or nothing.
    is_taken: bool,
    /// If the answer was not waited for.
    end: Option<End>,
}

/// What waits, and what the user says of it.
async fn asked(api: &Api, id: &str, refused: &[Action]) -> anyhow::Result<(Waiting, Answer)> {
    let waiting = waiting::look(api, id, refused).await?;
    let said = match &waiting {
        Waiting::These(actions) => ask::ask(actions).await,
        Waiting::Unseen | Waiting::Nothing => Answer::Nobody,
    };
    Ok((waiting, said))
}

async fn told_to_stop(stops: &mut Stops, deadline: Option<Instant>) -> End {
    tokio::select! {
        () = stops.next() => End::Interrupted,
        () = until(deadline) => End::Limit,
    }
}

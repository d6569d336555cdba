//! A history that the provider refuses, for whatever reason: a part of it becomes words, or goes, and the request is made again. What
//! has helped is noted in the log; what has not has changed nothing. So no run fails as the one before it did, unless no history
//! would be taken.

use std::ops::Range;
use std::sync::Arc;

use types::event::{Condensation, Source};
use types::model::{Completion, FailureKind, ModelFailure};
use types::{EventBody, Message, Role};

use crate::agent::Agent;
use crate::bounds;
use crate::journal::Draft;
use crate::view::{Item, View, as_message, transcript};

/// Characters of what the provider has said.
const SAID: usize = 300;

/// A request without a part of the history.
pub struct Trial {
    /// How many rungs of each ladder are behind it.
    climbed: Climbed,
    items: Range<usize>,
    summary: String,
    /// What began it, and what the user is told if nothing helps.
    failure: ModelFailure,
}

type Climbed = [usize; 3];

const LADDERS: [&[Rung]; 3] = [TOO_LONG, NOT_TAKEN, FORBIDDEN];

/// What is left out, and what is kept of it in words.
#[derive(Clone, Copy)]
struct Rung {
    part: Part,
    /// Characters of each text, and bytes of all.
    words: Option<(usize, usize)>,
}

#[derive(Clone, Copy)]
enum Part {
    /// From the newest answer on, and what the user may have said while it was written: what came before was taken once.
    Newest,
    /// The same, if that is half of all.
    LongNewest,
    /// The beginning, so many eighths of all.
    Eighths(usize),
    /// All but what the user has said last.
    Rest,
    All,
}

const TOO_LONG: &[Rung] = &[
    Rung { part: Part::LongNewest, words: Some((4_000, 16 << 10)) },
    Rung { part: Part::Eighths(4), words: Some((500, 16 << 10)) },
    Rung { part: Part::Eighths(6), words: Some((500, 16 << 10)) },
    Rung { part: Part::Eighths(7), words: Some((500, 8 << 10)) },
    Rung { part: Part::Rest, words: Some((500, 4 << 10)) },
    Rung { part: Part::All, words: Some((500, 2 << 10)) },
];
const NOT_TAKEN: &[Rung] = &[
    Rung { part: Part::Newest, words: Some((20_000, 64 << 10)) },
    Rung { part: Part::Rest, words: Some((4_000, 64 << 10)) },
];
/// Words would be refused as well.
const FORBIDDEN: &[Rung] = &[Rung { part: Part::Newest, words: None }, Rung { part: Part::All, words: None }];

impl Agent {
    /// Asks again without a part of the history, if there is one left that may help; else the run fails as it has.
    pub(crate) fn try_without(
        &mut self,
        draft: &mut Draft<'_>,
        before: Option<Trial>,
        failure: ModelFailure,
    ) {
        let next = match &before {
            _ if self.run.pausing => None,
            Some(trial) => self.trial(draft, trial.climbed, &failure),
            None => self.trial(draft, Climbed::default(), &failure),
        };
        // What has nothing to do with the history is told as it is.
        let first = before.filter(|_| failure.kind != FailureKind::Other).map(|trial| trial.failure);
        let failure = first.unwrap_or(failure);
        match next.map(|next| Trial { failure: failure.clone(), ..next }) {
            Some(trial) => {
                let instead = Arc::new(as_message(&trial.summary));
                let messages = self.past.view.messages_but(&trial.items, &instead);
                self.call_model_with(draft, messages, Some(trial));
            }
            None => self.fail(draft, &failure.code, &failure.detail),
        }
    }

    /// Notes what has helped.
    pub(crate) fn keep_trial(&mut self, draft: &mut Draft<'_>, trial: Trial, completion: &Completion) {
        let id = draft.env.event_id();
        let response = Some(&completion.id).filter(|id| bounds::is_id(id)).unwrap_or(&id.0);
        let body = Condensation {
            forgotten_event_ids: self.past.view.event_ids(trial.items.clone()),
            summary: Some(trial.summary),
            summary_offset: Some(self.past.view.offset_of(trial.items.start)),
            llm_response_id: response.clone(),
        };
        self.record_as(draft, id, Source::Environment, EventBody::Condensation(body));
    }

    /// The next one that may help against this failure, or else against one that came before it.
    fn trial(&self, draft: &Draft<'_>, climbed: Climbed, failure: &ModelFailure) -> Option<Trial> {
        let own = match failure.kind {
            FailureKind::ContextWindow => 0,
            FailureKind::MalformedHistory | FailureKind::Refused => 1,
            FailureKind::ContentPolicy => 2,
            FailureKind::Other => return None,
        };
        let begun = climbed.iter().enumerate().filter(|(ladder, climbed)| *ladder != own && **climbed > 0);
        let said = draft.env.masked(&failure.detail);
        std::iter::once(own).chain(begun.map(|(ladder, _)| ladder)).find_map(|ladder| {
            let (rung, items, summary) = self.rung(ladder, climbed.get(ladder).copied()?, &said)?;
            let mut climbed = climbed;
            *climbed.get_mut(ladder)? = rung + 1;
            Some(Trial { climbed, items, summary, failure: failure.clone() })
        })
    }

    /// The first rung of this ladder, from that one on, that leaves out what may be the reason.
    fn rung(&self, ladder: usize, from: usize, said: &str) -> Option<(usize, Range<usize>, String)> {
        let rungs = LADDERS.get(ladder)?;
        rungs.iter().enumerate().skip(from).find_map(|(rung, what)| {
            let items = what.part.of(&self.past.view);
            let left_out = self.past.view.items.get(items.clone()).filter(|items| !items.is_empty())?;
            let summary = what.summary(left_out, said);
            let may_help = match ladder {
                0 => summary.len() < left_out.iter().map(Item::length).sum::<usize>(),
                1 => left_out.iter().any(|item| !item.is_plain()),
                _ => true,
            };
            may_help.then_some((rung, items, summary))
        })
    }
}

impl Part {
    /// Neither the system prompt nor a call that is still open is in it.
    fn of(self, view: &View) -> Range<usize> {
        let is_open = |item: &Item| matches!(item, Item::Turn(turn) if turn.is_open());
        let end = view.items.iter().position(is_open).unwrap_or(view.items.len());
        let start = usize::from(matches!(view.items.first(), Some(Item::System { .. })));
        let all = view.items.get(start..end).unwrap_or_default();
        let spoken = all.iter().rev().take_while(|item| item.is_plain() && !item.is_answer()).count();
        let whole = all.iter().map(Item::length).sum::<usize>();
        let answer = all.iter().rposition(Item::is_answer).unwrap_or(0);
        let newest =
            all.iter().take(answer).rposition(|item| !item.is_of_the_user()).map_or(0, |before| before + 1);
        match self {
            Self::Newest => start + newest..end,
            Self::LongNewest => {
                let length = all.iter().skip(newest).map(Item::length).sum::<usize>();
                if length >= whole / 2 { start + newest..end } else { end..end }
            }
            Self::Eighths(share) => {
                let mut left = whole / 8 * share;
                let is_within = |item: &&Item| {
                    let within = left > 0;
                    left = left.saturating_sub(item.length());
                    within
                };
                let count = all.iter().take_while(is_within).count();
                start..start + count.min(all.len() - spoken)
            }
            Self::Rest => start..end.saturating_sub(spoken).max(start),
            Self::All => start..end,
        }
    }
}

impl Rung {
    fn summary(self, left_out: &[Item], said: &str) -> String {
        let said: String = said.chars().take(SAID).collect();
        let why = format!("The model's provider has refused this part as it was ({said})");
        match self.words {
            Some((longest, room)) => {
                format!("{why}. In words:\n\n{}", transcript(left_out, longest, room).trim_end())
            }
            None => format!("{why}, so it was left out, and with it what the user has said there."),
        }
    }
}

impl Item {
    fn is_answer(&self) -> bool {
        match self {
            Self::Turn(_) => true,
            Self::Text { message, .. } => message.role == Role::Assistant,
            Self::System { .. } | Self::Summary { .. } => false,
        }
    }

    fn is_of_the_user(&self) -> bool {
        matches!(self, Self::Text { message, .. } if message.role == Role::User)
    }

    /// Text and nothing else, which no provider refuses for its form.
    fn is_plain(&self) -> bool {
        let is_text = |message: &Message| message.content.iter().all(|piece| piece.as_text().is_some());
        match self {
            Self::Turn(_) => false,
            Self::System { message } | Self::Text { message, .. } | Self::Summary { message, .. } => {
                is_text(message) && message.thinking_blocks.is_empty()
            }
        }
    }
}

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
    rung: usize,
    items: Range<usize>,
    summary: String,
    /// What began it, and what the user is told if nothing helps.
    failure: ModelFailure,
}

/// What is left out, and what is kept of it in words.
#[derive(Clone, Copy)]
struct Rung {
    part: Part,
    /// Characters of each text, and bytes of all.
    words: Option<(usize, usize)>,
}

#[derive(Clone, Copy)]
enum Part {
    /// From the newest answer on: what came before it was taken once.
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
        let is_of_history = failure.kind != FailureKind::Other;
        let (rung, tried, failure) = match before.filter(|_| is_of_history) {
            Some(trial) => (trial.rung + 1, trial.items, trial.failure),
            None => (0, 0..0, failure),
        };
        match self.trial(draft, rung, &tried, &failure).filter(|_| !self.run.pausing) {
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

    /// The first from this rung on that leaves out something else than was tried.
    fn trial(
        &self,
        draft: &Draft<'_>,
        from: usize,
        tried: &Range<usize>,
        failure: &ModelFailure,
    ) -> Option<Trial> {
        let rungs = match failure.kind {
            FailureKind::ContextWindow => TOO_LONG,
            FailureKind::MalformedHistory | FailureKind::Refused => NOT_TAKEN,
            FailureKind::ContentPolicy => FORBIDDEN,
            FailureKind::Other => return None,
        };
        let view = &self.past.view;
        rungs.iter().enumerate().skip(from).find_map(|(rung, what)| {
            let items = what.part.of(view);
            if items == *tried {
                return None;
            }
            let left_out = view.items.get(items.clone()).filter(|items| !items.is_empty())?;
            let summary = what.summary(left_out, &draft.env.masked(&failure.detail));
            let is_worth_it = match failure.kind {
                FailureKind::ContextWindow => {
                    summary.len() < left_out.iter().map(Item::length).sum::<usize>()
                }
                FailureKind::ContentPolicy => true,
                _ => left_out.iter().any(|item| !item.is_plain()),
            };
            is_worth_it.then(|| Trial { rung, items, summary, failure: failure.clone() })
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
        let newest = all.iter().rposition(Item::is_answer).unwrap_or(0);
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

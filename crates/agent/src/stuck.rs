//! Noticing that the agent goes round in circles.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use types::event::{Action, Source};
use types::{Event, EventBody};

/// How many steps back are looked at.
const MEMORY: usize = 20;
const SAME_RESULT: usize = 4;
const SAME_ERROR: usize = 3;
const MONOLOGUE: usize = 3;
const ALTERNATING: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    /// The same failing call for the third time: a hint may help.
    Nudge,
    Stuck,
}

/// What happened since the last user message: contents as hashes, ids and times left out.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    marks: VecDeque<Mark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Mark {
    Did(u64),
    Saw(u64),
    Failed(u64),
    Said,
    Nudged,
}

impl Trail {
    pub fn absorb(&mut self, event: &Event) {
        if is_user_message(event) {
            self.marks.clear();
            return;
        }
        let mark = match &event.body {
            EventBody::ActionEvent(action) => Mark::Did(content_of(action)),
            EventBody::ObservationEvent(seen) => Mark::Saw(hash(&seen.observation)),
            EventBody::UserRejectObservation(seen) => Mark::Saw(hash(&seen.rejection_reason)),
            EventBody::AgentErrorEvent(failed) => Mark::Failed(hash(&failed.error)),
            EventBody::MessageEvent(_) if event.source == Source::Agent => Mark::Said,
            EventBody::MessageEvent(_) => Mark::Nudged,
            _ => return,
        };
        if self.marks.len() == MEMORY {
            self.marks.pop_front();
        }
        self.marks.push_back(mark);
    }

    pub fn verdict(&self) -> Verdict {
        let (did, seen) = (self.actions(), self.results());
        if self.monologue() >= MONOLOGUE || repeats(&did, &seen) || alternates(&did, &seen) {
            return Verdict::Stuck;
        }
        let failures = equal_failures(&did, &seen);
        if failures > SAME_ERROR {
            return Verdict::Stuck;
        }
        let nudged = self.marks.back() == Some(&Mark::Nudged);
        if failures == SAME_ERROR && !nudged { Verdict::Nudge } else { Verdict::Fine }
    }

    /// Newest first.
    fn actions(&self) -> Vec<Mark> {
        self.marks.iter().rev().copied().filter(|mark| matches!(mark, Mark::Did(_))).collect()
    }

    /// Newest first.
    fn results(&self) -> Vec<Mark> {
        self.marks.iter().rev().copied().filter(|m| matches!(m, Mark::Saw(_) | Mark::Failed(_))).collect()
    }

    /// Messages of the agent in a row, whatever the environment said between them.
    fn monologue(&self) -> usize {
        let talk = self.marks.iter().rev().take_while(|mark| matches!(mark, Mark::Said | Mark::Nudged));
        talk.filter(|mark| **mark == Mark::Said).count()
    }
}

fn repeats(did: &[Mark], seen: &[Mark]) -> bool {
    let (Some(did), Some(seen)) = (did.get(..SAME_RESULT), seen.get(..SAME_RESULT)) else { return false };
    let observed = seen.iter().all(|mark| matches!(mark, Mark::Saw(_)));
    observed && all_equal(did) && all_equal(seen)
}

fn alternates(did: &[Mark], seen: &[Mark]) -> bool {
    let (Some(did), Some(seen)) = (did.get(..ALTERNATING), seen.get(..ALTERNATING)) else { return false };
    let every_other = |marks: &[Mark]| marks.iter().zip(marks.iter().skip(2)).all(|(a, b)| a == b);
    every_other(did) && every_other(seen)
}

/// How often in a row, up to now, the same action failed.
fn equal_failures(did: &[Mark], seen: &[Mark]) -> usize {
    let same = did.iter().take_while(|mark| Some(*mark) == did.first());
    same.zip(seen).take_while(|(_, result)| matches!(result, Mark::Failed(_))).count()
}

fn all_equal(marks: &[Mark]) -> bool {
    marks.iter().all(|mark| Some(mark) == marks.first())
}

fn is_user_message(event: &Event) -> bool {
    event.source == Source::User && matches!(event.body, EventBody::MessageEvent(_))
}

/// A call that could not be validated is known by what the model wrote.
fn content_of(action: &Action) -> u64 {
    let mut hasher = DefaultHasher::new();
    action.tool_name.hash(&mut hasher);
    action.thought.iter().filter_map(|piece| piece.as_text()).for_each(|text| text.hash(&mut hasher));
    match &action.action {
        Some(valid) => valid.hash(&mut hasher),
        None => action.tool_call.arguments.hash(&mut hasher),
    }
    hasher.finish()
}

fn hash<T: Hash>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(marks: &[Mark]) -> Verdict {
        Trail { marks: marks.iter().copied().collect() }.verdict()
    }

    #[test]
    fn the_same_action_with_the_same_result_is_stuck_at_the_fourth_time() {
        let pair = [Mark::Did(1), Mark::Saw(2)];
        assert_eq!(verdict(&pair.repeat(3)), Verdict::Fine);
        assert_eq!(verdict(&pair.repeat(4)), Verdict::Stuck);
        let mut changed = pair.repeat(4);
        changed[3] = Mark::Saw(9);
        assert_eq!(verdict(&changed), Verdict::Fine);
    }

    #[test]
    fn the_same_failing_call_is_nudged_once_and_then_stuck() {
        let pair = [Mark::Did(1), Mark::Failed(2)];
        assert_eq!(verdict(&pair.repeat(2)), Verdict::Fine);
        assert_eq!(verdict(&pair.repeat(3)), Verdict::Nudge);
        let mut nudged = pair.repeat(3);
        nudged.push(Mark::Nudged);
        assert_eq!(verdict(&nudged), Verdict::Fine);
        nudged.extend(pair);
        assert_eq!(verdict(&nudged), Verdict::Stuck);
    }

    #[test]
    fn three_messages_of_the_agent_in_a_row_are_stuck() {
        let talk = [Mark::Said, Mark::Nudged];
        assert_eq!(verdict(&talk.repeat(2)), Verdict::Fine);
        assert_eq!(verdict(&talk.repeat(3)), Verdict::Stuck);
        let broken = [Mark::Said, Mark::Nudged, Mark::Did(1), Mark::Saw(1), Mark::Said, Mark::Said];
        assert_eq!(verdict(&broken), Verdict::Fine);
    }

    #[test]
    fn two_actions_in_turn_are_stuck_after_six() {
        let round = [Mark::Did(1), Mark::Saw(1), Mark::Did(2), Mark::Saw(2)];
        assert_eq!(verdict(&round.repeat(2)), Verdict::Fine);
        assert_eq!(verdict(&round.repeat(3)), Verdict::Stuck);
    }
}

//! Goals: an agent works towards one round after round, and after each round its model judges how far it has come.

use serde::{Deserialize, Serialize};

/// How it stands with a goal. State updates tell it under the key `goal`, and the newest one counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// Whether it is being worked on.
    pub active: bool,
    pub status: GoalStatus,
    /// Rounds that were judged.
    pub iteration: u32,
    pub max_iterations: u32,
    pub objective: String,
    /// On the last round, where that has just been judged.
    #[serde(default)]
    pub verdict: Option<Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoalStatus {
    Running,
    /// It is reached.
    Complete,
    /// It is not, and all rounds were used.
    Capped,
    /// It may be gone on with.
    Interrupted,
}

/// What the model says of a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// How sure it is that the goal is reached, from 0 to 1.
    pub score: f64,
    pub complete: bool,
    pub missing: String,
}

impl Goal {
    /// One that nothing was done for.
    #[must_use]
    pub fn new(objective: String, max_iterations: u32) -> Self {
        let (active, status) = (true, GoalStatus::Running);
        Self { active, status, iteration: 0, max_iterations, objective, verdict: None }
    }

    /// As it stands when work on it goes on; `None` where it has come to its end. One more round is always to be judged.
    #[must_use]
    pub fn resumed(&self) -> Option<Self> {
        match self.status {
            GoalStatus::Complete | GoalStatus::Capped => None,
            GoalStatus::Running | GoalStatus::Interrupted => Some(Self {
                iteration: self.iteration.min(self.max_iterations.saturating_sub(1)),
                ..Self::new(self.objective.clone(), self.max_iterations)
            }),
        }
    }

    #[must_use]
    pub fn interrupted(&self) -> Self {
        Self { active: false, status: GoalStatus::Interrupted, verdict: None, ..self.clone() }
    }

    /// After one more round.
    #[must_use]
    pub fn judged(&self, verdict: Verdict) -> Self {
        let iteration = self.iteration.saturating_add(1);
        let status = match verdict.complete {
            true => GoalStatus::Complete,
            false if iteration >= self.max_iterations => GoalStatus::Capped,
            false => GoalStatus::Running,
        };
        let active = status == GoalStatus::Running;
        Self { active, status, iteration, verdict: Some(verdict), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn clients_are_told_all_fields_also_those_that_are_null() {
        let told = json!({"active": true, "status": "running", "iteration": 0, "max_iterations": 3, "objective": "o",
            "verdict": null});
        assert_eq!(serde_json::to_value(Goal::new("o".to_owned(), 3)).unwrap(), told);
        assert_eq!(serde_json::from_value::<Goal>(told).unwrap(), Goal::new("o".to_owned(), 3));
    }

    #[test]
    fn a_goal_is_complete_or_capped_or_goes_on() {
        let verdict = |complete| Verdict { score: 0.5, complete, missing: String::new() };
        let goal = Goal::new("o".to_owned(), 2);
        assert_eq!(goal.judged(verdict(true)).status, GoalStatus::Complete);
        let second = goal.judged(verdict(false));
        assert_eq!((second.status, second.active, second.iteration), (GoalStatus::Running, true, 1));
        let last = second.judged(verdict(false));
        assert_eq!((last.status, last.active, last.iteration), (GoalStatus::Capped, false, 2));
        assert_eq!((last.resumed(), goal.judged(verdict(true)).resumed()), (None, None));
    }

    #[test]
    fn who_goes_on_never_passes_the_cap() {
        let at_the_cap = Goal { iteration: 7, ..Goal::new("o".to_owned(), 5) }.interrupted();
        let resumed = at_the_cap.resumed().unwrap();
        assert_eq!((resumed.iteration, resumed.active, resumed.status), (4, true, GoalStatus::Running));
    }
}

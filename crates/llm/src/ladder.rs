//! What is left out after a refusal, one thing at a time and each once: the same request would be refused again.

use serde_json::Value;
use types::agent::LlmConfig;

use crate::plan::Tweaks;
use crate::problem::Problem;
use crate::refusal::{Adjustment, Adjustments};

/// Changes in one call.
const MOST: usize = 8;
/// Options that a user sets for how a model writes: they are left out only where that is wanted.
const SAMPLING: [&str; 4] = ["temperature", "top_p", "top_k", "seed"];
/// Below this a model that failed would write the same again.
const COLD: f64 = 0.2;

#[derive(Clone)]
pub(crate) struct Ladder {
    pub tweaks: Tweaks,
    pub adjustments: Adjustments,
    steps: usize,
}

impl Ladder {
    /// Beginning with what is known of the server.
    pub(crate) fn new(adjustments: Adjustments) -> Self {
        Self { tweaks: Tweaks::default(), adjustments, steps: 0 }
    }

    /// Changes what the problem speaks of; true if the request, whose last body this was, is to be made again at once.
    pub(crate) fn step(&mut self, llm: &LlmConfig, problem: &Problem, body: &[u8]) -> bool {
        if problem.is_no_response() || problem.is_unreadable_call() {
            self.tweaks.warmer |= llm.temperature.is_some_and(|temperature| temperature < COLD);
        }
        if self.steps >= MOST {
            return false;
        }
        let steps = self.steps;
        if problem.refuses_cache_markers() && !self.tweaks.without_cache_markers {
            self.tweaks.without_cache_markers = true;
            self.steps += 1;
        } else if let Some(adjustment) = self.adjustment(llm, problem, body) {
            self.adjustments.insert(adjustment);
            self.steps += 1;
        }
        self.steps > steps
    }

    /// What the model of this server answers with, if it is to be remembered anew.
    pub(crate) fn learned(&self) -> Option<Adjustments> {
        let lasting = self.adjustments.iter().copied().filter(|adjustment| adjustment.is_lasting());
        let lasting: Adjustments = lasting.collect();
        Some(lasting).filter(|lasting| self.steps > 0 && !lasting.is_empty())
    }

    fn adjustment(&self, llm: &LlmConfig, problem: &Problem, body: &[u8]) -> Option<Adjustment> {
        let body = || serde_json::from_slice::<Value>(body).ok();
        let found = problem.adjustment(body)?;
        let is_new = !self.adjustments.contains(&found);
        let allowed = match found {
            Adjustment::Without(key) => {
                !llm.litellm_extra_body.contains_key(key) && (llm.drop_params || !SAMPLING.contains(&key))
            }
            _ => true,
        };
        Some(found).filter(|_| is_new && allowed)
    }
}

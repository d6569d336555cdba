//! Answers that did not end by themselves: the run goes on behind them, as long as not all answers are of that kind.

use types::model::Ending;

use crate::agent::Agent;
use crate::journal::Draft;

const REPHRASE: &str = "The model provider withheld your last answer because of its content rules. Rephrase it, \
leave out what may have caused this, or tell the user that you cannot do this part.";

const CUT_OFF: &str = "The model reached the limit of its output three times in a row and each time nothing could \
be done with what it had written. Raise the limit (max_output_tokens), lower the effort of its reasoning, or ask for smaller steps.";

const WITHHELD: &str =
    "The provider withheld the model's answer three times in a row because of its content rules.";

const PUT_OFF: &str = "The provider paused the model's answer again and again and never let it end.";

/// Answers in a row, of which nothing could be done, that were cut off at the limit of the output.
const MOST_CUT: u32 = 3;
/// That were withheld.
pub(crate) const MOST_WITHHELD: u32 = 3;
/// That were paused.
const MOST_PAUSED: u32 = 8;

impl Agent {
    /// Only what comes in a row is counted.
    pub(crate) fn count_ending(&mut self, ending: Ending) {
        let run = &mut self.run;
        match ending {
            Ending::Done => (run.cut, run.withheld, run.paused) = (0, 0, 0),
            Ending::Cut { .. } => (run.withheld, run.paused) = (0, 0),
            Ending::Withheld => (run.cut, run.paused) = (0, 0),
            Ending::Paused => (run.cut, run.withheld) = (0, 0),
        }
    }

    /// `hint`: what else the model is told.
    pub(crate) fn go_on_from_cut(&mut self, draft: &mut Draft<'_>, hint: Option<&str>) {
        self.run.cut += 1;
        if self.run.cut >= MOST_CUT {
            return self.fail(draft, "LLMOutputLimitError", CUT_OFF);
        }
        hint.into_iter().for_each(|hint| self.hint(draft, hint));
        self.step_done(draft);
    }

    pub(crate) fn ask_to_rephrase(&mut self, draft: &mut Draft<'_>) {
        if !self.rephrases(draft) {
            self.fail(draft, "LLMContentPolicyViolationError", WITHHELD);
        }
    }

    /// Whether the model is given another chance.
    pub(crate) fn rephrases(&mut self, draft: &mut Draft<'_>) -> bool {
        self.run.withheld += 1;
        if self.run.withheld >= MOST_WITHHELD {
            return false;
        }
        self.hint(draft, REPHRASE);
        self.step_done(draft);
        true
    }

    pub(crate) fn go_on_from_pause(&mut self, draft: &mut Draft<'_>) {
        self.run.paused += 1;
        if self.run.paused > MOST_PAUSED {
            return self.fail(draft, "LLMNoResponseError", PUT_OFF);
        }
        self.step_done(draft);
    }
}

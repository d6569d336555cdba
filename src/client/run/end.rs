//! How a run ended, as a script learns it.

use std::process::ExitCode;

/// What `--help` and the documents say of it.
pub const STATUSES: &str = "Exit status:
  0    the agent has finished
  1    an error: of the model, of the server, or of the run
  2    nothing was begun: the command line makes no sense
  3    the agent goes in circles, or has come to a limit (--max-iterations, --timeout)
  4    something was not confirmed, or waits for somebody: the conversation can go on
  64   nothing was begun: the settings of the server in this process cannot be used
  130  interrupted (Ctrl-C)";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Finished,
    Failed,
    Limit,
    Waiting,
    Interrupted,
}

impl End {
    /// Of a conversation that rests; `code`: of the error that was told last.
    pub fn of(status: &str, code: Option<&str>) -> Self {
        match (status, code) {
            ("finished", _) => Self::Finished,
            ("stuck", _) | ("error", Some("MaxIterationsReached")) => Self::Limit,
            ("idle" | "paused" | "waiting_for_confirmation", _) => Self::Waiting,
            _ => Self::Failed,
        }
    }

    pub fn status(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Finished => 0,
            Self::Failed => 1,
            Self::Limit => 3,
            Self::Waiting => 4,
            Self::Interrupted => 130,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_can_tell_how_a_run_ended() {
        for (status, code, end) in [
            ("finished", None, End::Finished),
            ("stuck", None, End::Limit),
            ("error", Some("MaxIterationsReached"), End::Limit),
            ("error", Some("LLMAuthenticationError"), End::Failed),
            ("error", None, End::Failed),
            ("waiting_for_confirmation", None, End::Waiting),
            ("paused", None, End::Waiting),
            ("deleting", None, End::Failed),
        ] {
            assert_eq!(End::of(status, code), end, "{status} {code:?}");
        }
    }
}

//! How many files this process may have open, and how they are shared out: what strangers can take never leaves the
//! store without any.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More would be of no use, and some programs that are started here go through all that they may have.
const ENOUGH: u64 = 65_536;
/// For what is not counted below: the store's logs and drafts, downloads, calls of models, the runtime.
const RESERVE: u64 = 256;
/// What one command or shell takes: its pipes or its terminal, and a handle on its process.
const EACH: u64 = 4;

const MOST_CONNECTIONS: usize = 10_000;
const MOST_COMMANDS: usize = 1_000;
const MOST_SHELLS: usize = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    limit: u64,
}

impl Descriptors {
    /// Raises what this process may have to what it is allowed to have. Its children inherit that.
    pub fn raise() -> Self {
        let before = getrlimit(Resource::Nofile);
        let allowed = before.maximum.unwrap_or(ENOUGH).min(ENOUGH);
        let now = before.current.unwrap_or(ENOUGH);
        if now >= allowed {
            return Self { limit: now };
        }
        match setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), ..before }) {
            Ok(()) => Self { limit: allowed },
            Err(error) => {
                tracing::warn!(%error, "the limit of open files cannot be raised");
                Self { limit: now }
            }
        }
    }

    /// Of clients, at one time.
    pub fn connections(self) -> usize {
        share(self.to_share() / 2, MOST_CONNECTIONS)
    }

    /// Commands over the API, at one time.
    pub fn commands(self) -> usize {
        share(self.to_share() / 4 / EACH, MOST_COMMANDS)
    }

    /// Shells of conversations that are kept although no agent runs.
    pub fn shells(self) -> usize {
        share(self.to_share() / 4 / EACH, MOST_SHELLS)
    }

    pub fn limit(self) -> u64 {
        self.limit
    }

    fn to_share(self) -> u64 {
        self.limit - RESERVE.min(self.limit / 2)
    }
}

fn share(number: u64, most: usize) -> usize {
    usize::try_from(number).unwrap_or(most).clamp(1, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_together_leave_the_reserve() {
        for limit in [64, 256, 1_024, 4_096, 65_536, 1 << 20] {
            let files = Descriptors { limit };
            let taken = files.connections() as u64 + EACH * (files.commands() + files.shells()) as u64;
            assert!(taken + RESERVE.min(limit / 2) <= limit, "{files:?} gives {taken} away");
            assert!(files.connections() > 0 && files.commands() > 0 && files.shells() > 0);
        }
        let many = Descriptors { limit: ENOUGH };
        assert_eq!((many.connections(), many.commands(), many.shells()), (10_000, 1_000, 2_000));
    }
}

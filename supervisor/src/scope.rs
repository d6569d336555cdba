//! Which sandboxes are to be looked at.

use std::collections::BTreeSet;

use types::SandboxId;

/// So many are not looked at one by one: all are, at one time, which asks the store and the driver less.
const ONE_BY_ONE: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Of(BTreeSet<SandboxId>),
    All,
}

impl Default for Scope {
    /// None of them.
    fn default() -> Self {
        Self::Of(BTreeSet::new())
    }
}

impl Scope {
    /// `None`: it may be any of them.
    pub fn of(sandbox: Option<SandboxId>) -> Self {
        sandbox.map_or(Self::All, |sandbox| Self::Of(BTreeSet::from([sandbox])))
    }

    pub fn add(&mut self, other: Self) {
        match (self, other) {
            (Self::Of(some), Self::Of(more)) => some.extend(more),
            (every, Self::All) => *every = Self::All,
            (Self::All, Self::Of(_)) => {}
        }
    }

    /// All of them where it is many.
    pub fn widened(self) -> Self {
        match self {
            Self::Of(some) if some.len() <= ONE_BY_ONE => Self::Of(some),
            Self::Of(_) | Self::All => Self::All,
        }
    }

    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl FromIterator<SandboxId> for Scope {
    fn from_iter<I: IntoIterator<Item = SandboxId>>(sandboxes: I) -> Self {
        Self::Of(sandboxes.into_iter().collect())
    }
}

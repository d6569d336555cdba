//! Defects that the simulator must find, each the opposite of a rule that something depends on. They are in builds with the
//! feature `mutants` alone, and there only the one that was chosen.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Stale incarnations write on.
    UnfencedWriter,
    /// Of the answers that services give, some are never sent.
    DroppedAnswer,
    /// A message that was asked for before is stored again.
    AskedAgain,
    /// An append that was not answered is made again where the log ends by now, whoever has written until there.
    AdoptedTail,
    /// Who wakes a sandbox is told why it failed before.
    OldFailure,
    /// A tool runs while the call that it answers is being stored.
    RunsFirst,
    /// Leases count as lost also while nobody serves workers, which could not renew them.
    LostWithoutDeputies,
    /// A sandbox is charged for what was certainly not stored.
    ChargedTries,
    /// Workers may write fences of other incarnations.
    ForeignEpochs,
    /// What is the last of a log or a key is what any replica says, however far it lags behind.
    LastOfAny,
    /// That there is no more is what any replica says.
    EmptyPage,
    /// An Idempotency-Key is free for whoever has it until its call has been answered.
    FreedKey,
    /// A sandbox is paused although its worker was called meanwhile.
    PauseIgnoresCalls,
    /// Whatever has the name of a conversation is taken for it.
    IndexByName,
    /// What is stored in a conversation while it becomes known is not looked for.
    AdoptBeforeInsert,
    /// Who deletes a conversation removes whichever has its name by then.
    DeletionAgainstCreation,
    /// What is old in a log goes before the fence is written again that is among it.
    DropsFirst,
    /// Bodies of records go before the records that name them.
    BodiesFirst,
    /// As many sandboxes run as are asked for.
    EndlessRoom,
}

impl Mutant {
    pub const ALL: [Self; 19] = [
        Self::UnfencedWriter,
        Self::DroppedAnswer,
        Self::AskedAgain,
        Self::AdoptedTail,
        Self::OldFailure,
        Self::RunsFirst,
        Self::LostWithoutDeputies,
        Self::ChargedTries,
        Self::ForeignEpochs,
        Self::LastOfAny,
        Self::EmptyPage,
        Self::FreedKey,
        Self::PauseIgnoresCalls,
        Self::IndexByName,
        Self::AdoptBeforeInsert,
        Self::DeletionAgainstCreation,
        Self::DropsFirst,
        Self::BodiesFirst,
        Self::EndlessRoom,
    ];
}

/// Whether this is a build with that defect, and it was chosen.
#[cfg(feature = "mutants")]
#[must_use]
pub fn is(mutant: Mutant) -> bool {
    CHOSEN.get() == Some(&mutant)
}

#[cfg(not(feature = "mutants"))]
#[must_use]
pub const fn is(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
static CHOSEN: std::sync::OnceLock<Mutant> = std::sync::OnceLock::new();

/// Has this process have a defect. The first choice holds.
#[cfg(feature = "mutants")]
pub fn choose(mutant: Mutant) {
    let _ = CHOSEN.set(mutant);
}

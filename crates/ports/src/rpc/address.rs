//! Where the calls of one service go.

use std::fmt;
use std::marker::PhantomData;

use types::service::{OfControlPlane, OfWorker};
use types::subjects::{self, Every};
use types::{Epoch, SandboxId};

/// A subject on which nothing but calls of the service `S` is sent.
pub struct Address<S> {
    subject: String,
    service: PhantomData<fn(S)>,
}

impl<S: OfWorker> Address<S> {
    /// The worker of a sandbox; where there may be others of the same sandbox, one incarnation alone.
    #[must_use]
    pub fn of_worker(sandbox: &SandboxId, incarnation: Option<Epoch>) -> Self {
        Self::named(subjects::command_to(sandbox, incarnation, S::NAME))
    }
}

impl<S: OfControlPlane> Address<S> {
    /// The control plane, for the worker of a sandbox.
    #[must_use]
    pub fn of_control_plane(sandbox: &SandboxId) -> Self {
        Self::named(subjects::calls::<S>(sandbox))
    }

    /// The same for the workers of all sandboxes: what the control plane answers.
    #[must_use]
    pub fn of_all_workers() -> Self {
        Self::named(subjects::calls::<S>(Every))
    }

    /// The control plane, for one incarnation, which may use no other epoch than its own.
    #[must_use]
    pub fn of_control_plane_for(sandbox: &SandboxId, incarnation: Epoch) -> Self {
        Self::named(subjects::calls_of::<S>(sandbox, incarnation))
    }

    /// What the control plane answers of [`Address::of_control_plane_for`].
    #[must_use]
    pub fn of_all_incarnations() -> Self {
        Self::named(subjects::calls_of::<S>(Every, Every))
    }
}

impl<S> Address<S> {
    pub(crate) fn named(subject: String) -> Self {
        Self { subject, service: PhantomData }
    }

    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl<S> fmt::Display for Address<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.subject)
    }
}

#[cfg(test)]
mod tests {
    use types::brokering::ModelCall;
    use types::calls::{GitCall, RecordCall};

    use super::*;

    #[test]
    fn addresses_are_the_subjects_that_workers_have_rights_on() {
        let sandbox = SandboxId::shared();
        let records = Address::<RecordCall>::of_control_plane(&sandbox);
        assert_eq!(records.subject(), subjects::records(&sandbox));
        assert_eq!(Address::<RecordCall>::of_all_workers().subject(), subjects::records(Every));
        assert_eq!(Address::<ModelCall>::of_all_workers().subject(), subjects::models(Every));
        let git = Address::<GitCall>::of_worker(&sandbox, Some(Epoch(3)));
        assert_eq!(git.subject(), "mh.cmd.default.git.3");
    }
}

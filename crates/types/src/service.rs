//! The services that are called over the bus: what each is named, what it is asked and what it may answer. A call that
//! goes to another service than its own, or expects an answer of another one, does not compile.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a service is asked.
pub trait Service: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its token in subjects.
    const NAME: &'static str;

    /// Whether the call changes nothing, so that it may be dropped half-way when nobody waits for its answer any more.
    /// All others are finished, however late it is.
    fn only_reads(&self) -> bool {
        false
    }

    /// Whether its answer is all that its caller will ever know of what it has done. A caller that looks or asks again finds that
    /// by itself.
    fn is_told_once(&self) -> bool {
        !self.only_reads()
    }
}

/// Served by the worker of each sandbox.
pub trait OfWorker: Service {}

/// Served by the control plane, for the workers: they see and do only what it lets them.
pub trait OfControlPlane: Service {}

/// One of the answers of the service `S`.
pub trait AnswerTo<S>: Serialize + DeserializeOwned + Send + 'static {}

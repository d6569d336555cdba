//! What the API server's refusals mean to a caller. Clients are told nothing of what is inside of the cluster; its operators
//! find the server's words in the log.

use kubernetes::Error;
use types::placement::FailureReason::{DriverUnavailable, NoCapacity, StartFailed, VolumeUnavailable};

use crate::{Cause, StartError};

const LACKING: &str = "The supervisor may not do in the cluster what it has to.";

/// Of something that was to be made for a sandbox.
pub fn start(error: Error) -> StartError {
    match error {
        Error::Unavailable(told)
        | Error::AlreadyExists(told)
        | Error::Conflict(told)
        | Error::Expired(told) => StartError::Unavailable(told),
        Error::Forbidden(told) => {
            tracing::warn!(told, "the cluster refuses what a sandbox needs");
            StartError::Refused(refusal(&told))
        }
        Error::NotFound(told) => {
            tracing::warn!(told, "something that a sandbox needs is not there");
            StartError::Refused(Cause::new(DriverUnavailable, "The namespace of the sandboxes is not there."))
        }
        Error::Invalid(told) | Error::Other(told) => {
            tracing::warn!(told, "the cluster does not take what a sandbox needs");
            StartError::Failed("The cluster does not take the sandbox as it is described.".to_owned())
        }
    }
}

/// Of a worker that was to be told what it is to do.
pub fn tell(error: Error) -> StartError {
    match error {
        // It has ended meanwhile, or the machine does not know it yet.
        Error::NotFound(told) | Error::Invalid(told) | Error::Other(told) => StartError::Unavailable(told),
        error => start(error),
    }
}

/// The same of its volume.
pub fn start_of_files(error: Error) -> StartError {
    match start(error) {
        StartError::Refused(Cause { reason: NoCapacity, message }) => {
            StartError::Refused(Cause { reason: VolumeUnavailable, message })
        }
        other => other,
    }
}

/// By the words that API servers use.
fn refusal(told: &str) -> Cause {
    let has = |words: &str| told.contains(words);
    let (reason, message) = if has("User \"") && has("\" cannot ") {
        (DriverUnavailable, LACKING)
    } else if has("exceeded quota") || has("status unknown for quota") {
        (NoCapacity, "A quota of the cluster is used up.")
    } else if has("insufficient quota to match these scopes") {
        (StartFailed, "The cluster has no quota for sandboxes like this.")
    } else if has("failed quota") || has(" usage per ") || has(" ratio per ") {
        (StartFailed, "The sandbox is larger or smaller than the cluster allows.")
    } else if has("violates PodSecurity") {
        (StartFailed, "The cluster's rules of pod security do not allow the sandbox.")
    } else if has("admission webhook") || has("ValidatingAdmissionPolicy") {
        (StartFailed, "A rule of the cluster does not allow the sandbox.")
    } else if has("is being terminated") {
        (DriverUnavailable, "The namespace of the sandboxes is being removed.")
    } else if has("RuntimeClass") {
        (StartFailed, "The cluster does not have the sandbox' runtime.")
    } else if has("PriorityClass") {
        (StartFailed, "The cluster does not have the sandbox' priority.")
    } else if has("serviceaccount") || has("service account") {
        (StartFailed, "The sandbox' service account is not there.")
    } else {
        (DriverUnavailable, LACKING)
    };
    Cause::new(reason, message)
}

#[cfg(test)]
mod tests {
    use types::placement::FailureReason;

    use super::*;

    #[test]
    fn each_refusal_is_told_by_its_kind_and_nothing_of_the_cluster_is() {
        let quota = r#"pods "x" is forbidden: exceeded quota: secret-name, requested: pods=1, used: pods=10, limited: pods=10"#;
        let must =
            r#"pods "x" is forbidden: failed quota: secret-name: must specify limits.memory for: worker"#;
        let security = r#"pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true (secret-name)"#;
        let webhook = r#"admission webhook "secret-name" denied the request: no"#;
        let ending = r#"pods "x" is forbidden: unable to create new content in namespace secret-name because it is being terminated"#;
        let right = r#"pods is forbidden: User "system:serviceaccount:n:secret-name" cannot create resource "pods" in API group "" in the namespace "n""#;
        let account = r#"pods "x" is forbidden: error looking up service account n/secret-name: serviceaccount "secret-name" not found"#;
        let runtime = r#"pods "x" is forbidden: pod rejected: RuntimeClass "secret-name" not found"#;
        let too_large =
            r#"pods "x" is forbidden: maximum memory usage per Pod is 1Gi, but limit is 2Gi, of secret-name"#;
        let too_small = r#"persistentvolumeclaims "x" is forbidden: minimum storage usage per PersistentVolumeClaim is 20Gi, but request is 10Gi"#;
        let of_no_scope = r#"pods "x" is forbidden: insufficient quota to match these scopes: [{PriorityClass In [secret-name]}]"#;
        let not_counted = r#"pods "x" is forbidden: status unknown for quota: secret-name, resources: pods"#;
        for (told, reason) in [
            (too_large, FailureReason::StartFailed),
            (too_small, FailureReason::StartFailed),
            (of_no_scope, FailureReason::StartFailed),
            (not_counted, FailureReason::NoCapacity),
            (quota, FailureReason::NoCapacity),
            (must, FailureReason::StartFailed),
            (security, FailureReason::StartFailed),
            (webhook, FailureReason::StartFailed),
            (ending, FailureReason::DriverUnavailable),
            (right, FailureReason::DriverUnavailable),
            (account, FailureReason::StartFailed),
            (runtime, FailureReason::StartFailed),
        ] {
            let StartError::Refused(cause) = start(Error::Forbidden(told.to_owned())) else {
                panic!("{told}")
            };
            assert_eq!(cause.reason, reason, "{told}");
            assert!(!cause.message.contains("secret-name"), "{}", cause.message);
        }
    }

    #[test]
    fn a_quota_on_volumes_is_one_on_files() {
        let told =
            r#"persistentvolumeclaims "x" is forbidden: exceeded quota: q, requested: requests.storage=10Gi"#;
        let StartError::Refused(cause) = start_of_files(Error::Forbidden(told.to_owned())) else { panic!() };
        assert_eq!(cause.reason, FailureReason::VolumeUnavailable);
    }

    #[test]
    fn a_lost_race_is_tried_again() {
        let lost = start(Error::Conflict("changed".to_owned()));
        assert_eq!(lost, StartError::Unavailable("changed".to_owned()));
    }
}

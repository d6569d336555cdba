//! What the supervisor needs of a cluster of Kubernetes.

use supervisor::StartError;
use supervisor::drivers::WorkerSettings;

use super::Finding::{self, Broken, Fine};
use crate::cluster::pods;
use crate::cluster::settings::Cluster;

pub async fn findings(
    cluster: &Cluster,
    worker: WorkerSettings,
    mark: Option<String>,
) -> Vec<(&'static str, Finding)> {
    let pods = match pods::connect(cluster, worker, mark).await {
        Ok(pods) => pods,
        Err(error) => return vec![("api", Broken(format!("{error:#}; set KUBECONFIG, or run in a pod")))],
    };
    let checked = match pods.check().await {
        Ok(checked) => checked,
        Err(error) => return vec![("api", Broken(error.to_string()))],
    };
    let (version, namespace) = (&checked.version, &checked.namespace);
    let mut findings = vec![("api", Fine(format!("{version}, sandboxes are in namespace {namespace}")))];
    if !checked.lacks.is_empty() {
        let text = format!(
            "who asks here may not {}: give the supervisor's service account these rights in {namespace}",
            checked.lacks.join(", ")
        );
        findings.push(("rights", Broken(text)));
        return findings;
    }
    findings.push(("rights", Fine("all that a supervisor needs".to_owned())));
    if let Err(error) = pods.ask().await {
        findings.push(("sandbox", Broken(told(&error, "the cluster would not take one"))));
        return findings;
    }
    findings.push(match pods.try_out().await {
        Ok(()) => ("sandbox", Fine("one was started: it has bash, keeps files and reaches NATS".to_owned())),
        Err(error) => ("sandbox", Broken(told(&error, "one was started and ended"))),
    });
    findings
}

fn told(error: &StartError, what: &str) -> String {
    format!("{what}: {error} (the log above has the cluster's own words)")
}

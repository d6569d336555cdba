//! Values that cannot be meant are refused, with a sentence that says which.

use super::{CHART, NAMESPACE, RELEASE, Tools};

/// What is given, and what the sentence must name.
const REFUSED: [(&[&str], &str); 30] = [
    (&["gatewya.replicas=3"], "gatewya"),
    (&["gateway.replica=3"], "replica"),
    (&["gateway.replicas=0"], "gateway"),
    (&["gateway.sandboxPolicy=each"], "sandboxPolicy"),
    (&["gateway.settings.oh_sandbox=1"], "oh_sandbox"),
    (
        &["gateway.settings.OH_KEYS_DIR=/elsewhere"],
        "gateway.settings.OH_KEYS_DIR: the chart itself gives this one",
    ),
    (&["supervisor.settings.OH_SANDBOX_DRIVER=docker"], "supervisor.settings.OH_SANDBOX_DRIVER"),
    (
        &[
            "gateway.settings.OH_JWT_SECRET=a",
            "gateway.settingsFromSecrets.OH_JWT_SECRET.name=s",
            "gateway.settingsFromSecrets.OH_JWT_SECRET.key=k",
        ],
        "it has another value already",
    ),
    (
        &["gateway.extraEnv[0].name=LOG_LEVEL", "gateway.extraEnv[0].value=debug"],
        "gateway.extraEnv names LOG_LEVEL",
    ),
    (&["gateway.drain.terminationGracePeriodSeconds=20"], "30 more than preStopSeconds"),
    (
        &["gateway.autoscaling.enabled=true", "gateway.autoscaling.maxReplicas=1"],
        "maxReplicas is less than minReplicas",
    ),
    (
        &["gateway.autoscaling.enabled=true", "gateway.autoscaling.targetCPUUtilizationPercentage=null"],
        "takes targetCPUUtilizationPercentage or targetSockets",
    ),
    (&["nats.replicas=2"], "replicas"),
    (&["nats.enabled=false"], "there is no NATS"),
    (&["nats.external.url=nats://nats:4222"], "set nats.enabled to false"),
    (&["nats.enabled=false", "nats.external.url=http://nats"], "url"),
    (&["nats.enabled=false", "nats.external.url=nats://user:secret@nats"], "url"),
    (&["nats.enabled=false", "nats.external.url=nats://nats:4222"], "nats.external.peers must say"),
    (
        &["nats.enabled=false", "nats.external.url=nats://nats:4222", "networkPolicy.enabled=false"],
        "give secrets.existing.gateway and secrets.existing.supervisor",
    ),
    (&["nats.tls.enabled=true"], "takes a certificate"),
    (&["nats.tls.enabled=true", "nats.tls.certManager.enabled=true"], "issuerRef.name"),
    (&["secrets.existing.gateway=mine"], "must name all Secrets or none"),
    (&["sandboxes.profile=privileged"], "profile"),
    (&["sandboxes.cpus=0.1"], "sandboxes.requestCpus is more than sandboxes.cpus"),
    (&["sandboxes.memoryMib=256"], "sandboxes.requestMemoryMib is more than"),
    (&["sandboxes.namespace.create=true"], "takes sandboxes.namespace.name"),
    (&["sandboxes.resourceQuota.enabled=true"], "give sandboxes one of their own"),
    (&["ingress.enabled=true", "ingress.hosts[0]=a.example"], "networkPolicy.clients"),
    (&["cluster=Two_Words"], "cluster"),
    (
        &[
            "httpRoute.enabled=true",
            "httpRoute.parentRefs[0].name=g",
            "networkPolicy.clients[0].namespaceSelector.matchLabels.a=b",
        ],
        "takes the API gateway.networking.k8s.io/v1",
    ),
];

#[test]
fn values_that_cannot_be_meant_are_refused_by_name() {
    let Some(tools) = Tools::find() else { return };
    for (given, named) in REFUSED {
        let mut command = tools.command("HELM");
        command.args(["template", RELEASE, CHART, "--namespace", NAMESPACE]);
        let output = command.args(given.iter().flat_map(|value| ["--set", value])).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(named), "{given:?}: {said}");
        assert!(
            !said.contains("nil pointer") && !said.contains("error calling include: template"),
            "{given:?}: {said}"
        );
    }
}

#[test]
fn a_cluster_that_is_too_old_is_refused() {
    let Some(tools) = Tools::find() else { return };
    let output = tools.helm(&["template", RELEASE, CHART, "--kube-version", "1.29.9"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("kubeVersion"));
    super::told(tools.helm(&["template", RELEASE, CHART, "--kube-version", "1.30.0-gke.100"]));
}

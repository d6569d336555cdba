//! What the supervisor is told of sandboxes that are pods, and the driver that is made of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::settings::{Invalid, Source};

/// How pods are made.
#[cfg_attr(not(feature = "kubernetes"), expect(dead_code, reason = "only checked there"))]
pub struct Pods {
    pub namespace: Option<String>,
    /// `None` with other drivers only.
    pub program_image: Option<String>,
    pub owner: Option<String>,
    pub service_account: Option<String>,
    /// Whether commands have a user of their own.
    pub is_baseline: bool,
    pub by_secret: bool,
    pub storage_class: Option<String>,
    pub volume_mib: Option<u64>,
    pub access_mode: Option<&'static str>,
    pub request_memory_mib: Option<u64>,
    pub request_cpus: Option<f64>,
    pub pull_secrets: Vec<String>,
    pub node_selector: BTreeMap<String, String>,
    /// Each an object with fields of a toleration.
    pub tolerations: Vec<Value>,
    pub priority_class: Option<String>,
    pub pending: Option<Duration>,
    /// Files that say where the API is and who asks.
    pub kubeconfig: Option<String>,
}

impl Pods {
    /// # Errors
    /// The first setting that cannot be used.
    pub fn from_source(source: &Source, are_used: bool) -> Result<Self, Invalid> {
        let program_image = source.text("kubernetes_program_image")?;
        if are_used && program_image.is_none() {
            let what = "must name the image with this program, which the pods of sandboxes take it from";
            return Err(Invalid::new("kubernetes_program_image", what));
        }
        Ok(Self {
            namespace: source.text("kubernetes_namespace")?,
            program_image,
            owner: source.text("kubernetes_owner")?,
            service_account: source.text("kubernetes_service_account")?,
            is_baseline: source.choice("kubernetes_profile")? == Some("baseline"),
            by_secret: source.choice("kubernetes_handover")? == Some("secret"),
            storage_class: source.text("kubernetes_storage_class")?,
            volume_mib: source.whole("kubernetes_volume_mib")?,
            access_mode: source.choice("kubernetes_access_mode")?,
            request_memory_mib: source.whole("kubernetes_request_memory_mib")?,
            request_cpus: source.amount("kubernetes_request_cpus")?,
            pull_secrets: parts(&source.text("kubernetes_pull_secrets")?.unwrap_or_default()),
            node_selector: node_selector(source.text("kubernetes_node_selector")?)?,
            tolerations: tolerations(source.text("kubernetes_tolerations")?)?,
            priority_class: source.text("kubernetes_priority_class")?,
            pending: source.whole("kubernetes_pending_seconds")?.map(Duration::from_secs),
            kubeconfig: source.variable("KUBECONFIG").map(str::to_owned),
        })
    }
}

fn parts(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn node_selector(text: Option<String>) -> Result<BTreeMap<String, String>, Invalid> {
    let pair = |part: String| {
        let (label, value) = part.split_once('=')?;
        let label = label.trim();
        (!label.is_empty()).then(|| (label.to_owned(), value.trim().to_owned()))
    };
    let pairs = parts(&text.unwrap_or_default()).into_iter().map(pair).collect::<Option<_>>();
    pairs.ok_or_else(|| {
        Invalid::new("kubernetes_node_selector", "must be label=value, several parted by commas")
    })
}

fn tolerations(text: Option<String>) -> Result<Vec<Value>, Invalid> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let wrong = || {
        Invalid::new(
            "kubernetes_tolerations",
            "must be a JSON array of objects with `key`, `operator`, `value`, `effect` and `tolerationSeconds`",
        )
    };
    let all: Vec<Value> = serde_json::from_str(&text).map_err(|_| wrong())?;
    let is_known = |(field, value): (&String, &Value)| match field.as_str() {
        "key" | "operator" | "value" | "effect" => value.is_string(),
        "tolerationSeconds" => value.is_u64(),
        _ => false,
    };
    let is_one = |value: &Value| value.as_object().is_some_and(|fields| fields.iter().all(is_known));
    if all.iter().all(is_one) { Ok(all) } else { Err(wrong()) }
}

#[cfg(feature = "kubernetes")]
pub use driver::connect;

#[cfg(feature = "kubernetes")]
mod driver {
    use supervisor::drivers::WorkerSettings;
    use supervisor::drivers::kubernetes::{ApiAccess, Config, Handover, Pods, Profile};

    use super::super::settings::Cluster;

    /// The driver, which has asked nobody anything yet.
    ///
    /// # Errors
    /// When there is no access to an API, or the settings are none of a pod.
    pub async fn connect(
        cluster: &Cluster,
        worker: WorkerSettings,
        mark: Option<String>,
    ) -> anyhow::Result<Pods> {
        let namespace = cluster.sandboxes.pods.namespace.clone();
        let config = Config { mark, ..config(cluster, worker)? };
        let files = cluster.sandboxes.pods.kubeconfig.clone();
        let access = files.map_or(ApiAccess::Inferred, |files| ApiAccess::Files(files.into()));
        Ok(Pods::new(config, access, namespace).await?)
    }

    fn config(cluster: &Cluster, worker: WorkerSettings) -> anyhow::Result<Config> {
        let (sandboxes, pods) = (&cluster.sandboxes, &cluster.sandboxes.pods);
        let program = pods.program_image.clone().unwrap_or_default();
        let mut config = Config::new(cluster.name.clone(), sandboxes.image.clone(), program);
        config.worker = worker;
        config.owner.clone_from(&pods.owner);
        config.service_account.clone_from(&pods.service_account);
        config.profile = if pods.is_baseline { Profile::Baseline } else { Profile::Restricted };
        config.handover = if pods.by_secret { Handover::Secret } else { Handover::Attach };
        config.volume.storage_class.clone_from(&pods.storage_class);
        if let Some(mebibytes) = pods.volume_mib {
            config.volume.mebibytes = mebibytes;
        }
        if let Some(mode) = pods.access_mode {
            mode.clone_into(&mut config.volume.access_mode);
        }
        let resources = &mut config.resources;
        if let Some(mebibytes) = sandboxes.memory_mib.and_then(|mebibytes| u64::try_from(mebibytes).ok()) {
            resources.memory_mib = mebibytes;
        }
        if let Some(cpus) = sandboxes.cpus {
            resources.cpus = cpus;
        }
        if let Some(mebibytes) = pods.request_memory_mib {
            resources.request_memory_mib = mebibytes;
        }
        if let Some(cpus) = pods.request_cpus {
            resources.request_cpus = cpus;
        }
        config.pull_secrets.clone_from(&pods.pull_secrets);
        config.node_selector.clone_from(&pods.node_selector);
        config.tolerations =
            pods.tolerations.iter().cloned().map(serde_json::from_value).collect::<Result<_, _>>()?;
        config.priority_class.clone_from(&pods.priority_class);
        config.runtime.clone_from(&sandboxes.runtime);
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(variables: &[(&str, &str)]) -> Result<Pods, Invalid> {
        let environment = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Pods::from_source(&Source::new(environment, serde_json::json!({})), true)
    }

    #[test]
    fn what_pods_cannot_be_is_refused_by_the_name_of_the_setting() {
        const IMAGE: (&str, &str) = ("OH_KUBERNETES_PROGRAM_IMAGE", "control:1");
        assert!(pods(&[IMAGE]).is_ok());
        let missing = pods(&[]).err().expect("no program").to_string();
        assert!(missing.starts_with("OH_KUBERNETES_PROGRAM_IMAGE "), "{missing}");
        for (name, value) in [
            ("OH_KUBERNETES_PROFILE", "privileged"),
            ("OH_KUBERNETES_HANDOVER", "environment"),
            ("OH_KUBERNETES_ACCESS_MODE", "ReadOnlyMany"),
            ("OH_KUBERNETES_VOLUME_MIB", "0"),
            ("OH_KUBERNETES_PENDING_SECONDS", "1"),
            ("OH_KUBERNETES_NODE_SELECTOR", "disk"),
            ("OH_KUBERNETES_NODE_SELECTOR", "=ssd"),
            ("OH_KUBERNETES_TOLERATIONS", "{}"),
            ("OH_KUBERNETES_TOLERATIONS", r#"[{"keys": "a"}]"#),
            ("OH_KUBERNETES_TOLERATIONS", r#"[{"key": 1}]"#),
        ] {
            let refused = pods(&[IMAGE, (name, value)]).err().unwrap_or_else(|| panic!("{name}={value}"));
            assert!(refused.to_string().starts_with(name), "{refused}");
        }
        let chosen = pods(&[
            IMAGE,
            ("OH_KUBERNETES_NODE_SELECTOR", "disk=ssd, pool = agents"),
            ("OH_KUBERNETES_PULL_SECRETS", "a, b,"),
            (
                "OH_KUBERNETES_TOLERATIONS",
                r#"[{"key": "agents", "operator": "Exists", "tolerationSeconds": 5}]"#,
            ),
        ]);
        let chosen = chosen.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(chosen.node_selector["pool"], "agents");
        assert_eq!((chosen.pull_secrets.len(), chosen.tolerations.len()), (2, 1));
    }
}

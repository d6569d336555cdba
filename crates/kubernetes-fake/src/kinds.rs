//! The kinds of objects that the server knows; a test can tell it of more.

/// What is known of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Empty for the core.
    pub group: &'static str,
    pub version: &'static str,
    pub plural: &'static str,
    pub kind: &'static str,
    pub namespaced: bool,
    pub short: &'static [&'static str],
    /// Whether its status is a sub-resource.
    pub has_status: bool,
}

const fn kind(
    (group, version): (&'static str, &'static str),
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
) -> Kind {
    Kind { group, version, plural, kind, namespaced: true, short, has_status: false }
}

impl Kind {
    const fn of_cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }

    const fn with_status(mut self) -> Self {
        self.has_status = true;
        self
    }

    /// `pods`, `deployments.apps`.
    #[must_use]
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    #[must_use]
    pub fn singular(&self) -> String {
        self.kind.to_lowercase()
    }

    /// Whether it is this kind of the core.
    #[must_use]
    pub fn is(&self, plural: &str) -> bool {
        self.group.is_empty() && self.plural == plural
    }

    #[must_use]
    pub fn is_of(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }
}

const CORE: (&str, &str) = ("", "v1");
const APPS: (&str, &str) = ("apps", "v1");
const RBAC: (&str, &str) = ("rbac.authorization.k8s.io", "v1");

/// What the server knows by itself.
pub const KNOWN: [Kind; 30] = [
    kind(CORE, "Namespace", "namespaces", &["ns"]).of_cluster().with_status(),
    kind(CORE, "Node", "nodes", &["no"]).of_cluster().with_status(),
    kind(CORE, "PersistentVolume", "persistentvolumes", &["pv"]).of_cluster().with_status(),
    kind(CORE, "Pod", "pods", &["po"]).with_status(),
    kind(CORE, "PersistentVolumeClaim", "persistentvolumeclaims", &["pvc"]).with_status(),
    kind(CORE, "Secret", "secrets", &[]),
    kind(CORE, "ConfigMap", "configmaps", &["cm"]),
    kind(CORE, "ServiceAccount", "serviceaccounts", &["sa"]),
    kind(CORE, "Service", "services", &["svc"]).with_status(),
    kind(CORE, "Endpoints", "endpoints", &["ep"]),
    kind(CORE, "Event", "events", &["ev"]),
    kind(CORE, "ResourceQuota", "resourcequotas", &["quota"]).with_status(),
    kind(CORE, "LimitRange", "limitranges", &["limits"]),
    kind(APPS, "Deployment", "deployments", &["deploy"]).with_status(),
    kind(APPS, "ReplicaSet", "replicasets", &["rs"]).with_status(),
    kind(APPS, "StatefulSet", "statefulsets", &["sts"]).with_status(),
    kind(APPS, "DaemonSet", "daemonsets", &["ds"]).with_status(),
    kind(("batch", "v1"), "Job", "jobs", &[]).with_status(),
    kind(("batch", "v1"), "CronJob", "cronjobs", &["cj"]).with_status(),
    kind(RBAC, "Role", "roles", &[]),
    kind(RBAC, "RoleBinding", "rolebindings", &[]),
    kind(RBAC, "ClusterRole", "clusterroles", &[]).of_cluster(),
    kind(RBAC, "ClusterRoleBinding", "clusterrolebindings", &[]).of_cluster(),
    kind(("networking.k8s.io", "v1"), "NetworkPolicy", "networkpolicies", &["netpol"]),
    kind(("networking.k8s.io", "v1"), "Ingress", "ingresses", &["ing"]).with_status(),
    kind(("policy", "v1"), "PodDisruptionBudget", "poddisruptionbudgets", &["pdb"]).with_status(),
    kind(("autoscaling", "v2"), "HorizontalPodAutoscaler", "horizontalpodautoscalers", &["hpa"])
        .with_status(),
    kind(("scheduling.k8s.io", "v1"), "PriorityClass", "priorityclasses", &["pc"]).of_cluster(),
    kind(("storage.k8s.io", "v1"), "StorageClass", "storageclasses", &["sc"]).of_cluster(),
    kind(("node.k8s.io", "v1"), "RuntimeClass", "runtimeclasses", &[]).of_cluster(),
];

//! A cluster of a test's own, in a namespace that takes restricted pods alone; the supervisor has its service account and no
//! right beside those that it needs.

use std::sync::Arc;
use std::time::Duration;

use kubernetes::Client;
use kubernetes_fake::{Server, Settings};
use manyhands_supervisor::drivers::WorkerSettings;
use manyhands_supervisor::drivers::kubernetes::{ApiAccess, Config, Handover, Pods};
use manyhands_supervisor::{Driver, Found, Instance, StartError};
use serde_json::{Value, json};
use tempfile::TempDir;
use types::SandboxId;

use super::machine;
use super::suite::Place;

pub const NAMESPACE: &str = "sandboxes";
pub const PODS: (&str, &str) = ("", "pods");
const CLAIMS: (&str, &str) = ("", "persistentvolumeclaims");
/// How long a test waits for an answer of an API server that is away.
const PATIENCE: Duration = Duration::from_millis(500);

pub struct World {
    pub server: Server,
    pub config: Config,
    pub driver: Pods,
    pub folder: Arc<TempDir>,
}

/// The same where workers are told by a Secret.
pub struct BySecret(World);

pub async fn world(script: &str) -> World {
    world_with(script, Settings::default(), |_| {}).await
}

pub async fn world_with(script: &str, settings: Settings, change: impl FnOnce(&mut Config)) -> World {
    let server = Server::with(settings).await;
    server.namespace(NAMESPACE, json!({ "pod-security.kubernetes.io/enforce": "restricted" }));
    server.put(("", "configmaps"), NAMESPACE, "mh-sandboxes", json!({}));
    server.put(("", "serviceaccounts"), NAMESPACE, "mh-sandbox", json!({}));
    let folder = Arc::new(tempfile::tempdir().unwrap());
    machine::run(&server, &folder, script);
    place(server, folder, change).await
}

async fn place(server: Server, folder: Arc<TempDir>, change: impl FnOnce(&mut Config)) -> World {
    let cluster = format!("Test_{}", SandboxId::random().as_str().get(..12).unwrap());
    let mut config = Config::new(cluster, "agents/image:1".to_owned(), "control:1".to_owned());
    config.owner = Some("mh-sandboxes".to_owned());
    config.service_account = Some("mh-sandbox".to_owned());
    config.worker =
        WorkerSettings { nats_urls: vec!["tls://localhost:4222".to_owned()], ..Default::default() };
    change(&mut config);
    give_rights(&server, config.handover);
    let driver = connect(&server, &config).await;
    World { server, config, driver, folder }
}

/// Those that the chart gives.
fn give_rights(server: &Server, handover: Handover) {
    let rule = |resource: &str, verbs: &[&str]| json!({ "apiGroups": [""], "resources": [resource], "verbs": verbs });
    let mut rules = vec![
        rule("pods", &["get", "list", "watch", "create", "delete", "patch"]),
        rule("pods/log", &["get"]),
        rule("persistentvolumeclaims", &["get", "list", "create", "delete"]),
        rule("events", &["list"]),
        json!({ "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mh-sandboxes"], "verbs": ["get"] }),
    ];
    rules.push(match handover {
        Handover::Attach => rule("pods/attach", &["get", "create"]),
        Handover::Secret => rule("secrets", &["create"]),
    });
    let rbac = "rbac.authorization.k8s.io";
    server.put((rbac, "roles"), NAMESPACE, "supervisor", json!({ "rules": rules }));
    let binding = json!({
        "subjects": [{ "kind": "ServiceAccount", "name": "supervisor", "namespace": NAMESPACE }],
        "roleRef": { "apiGroup": rbac, "kind": "Role", "name": "supervisor" },
    });
    server.put((rbac, "rolebindings"), NAMESPACE, "supervisor", binding);
}

pub async fn connect(server: &Server, config: &Config) -> Pods {
    let token = server.token_of(NAMESPACE, "supervisor").into();
    let access = ApiAccess::Token { url: server.url(), token };
    Pods::new(config.clone(), access, Some(NAMESPACE.to_owned())).await.unwrap()
}

impl World {
    /// Of one who does not wait long.
    pub async fn impatient(&self) -> Pods {
        connect(&self.server, &self.config).await.with_patience(PATIENCE)
    }

    /// Whoever may do everything.
    pub async fn operator(&self) -> Client {
        let access = ApiAccess::Token { url: self.server.url(), token: self.server.admin_token().into() };
        Client::new(access, Some(NAMESPACE.to_owned())).await.unwrap()
    }

    /// The only one, or the newest.
    pub fn pod(&self) -> Arc<Value> {
        let pods = self.server.objects(PODS, NAMESPACE);
        pods.into_iter()
            .max_by_key(|pod| pod["metadata"]["labels"]["manyhands.io/epoch"].to_string())
            .unwrap()
    }

    pub fn name(&self) -> String {
        self.pod()["metadata"]["name"].as_str().unwrap().to_owned()
    }

    pub fn pods(&self) -> usize {
        self.server.objects(PODS, NAMESPACE).len()
    }

    pub async fn found(&self, instance: &Instance) -> Option<Found> {
        let all = self.driver.find(&instance.sandbox).await.unwrap();
        all.into_iter().find(|found| found.instance == *instance)
    }
}

impl Place for World {
    type Driver = Pods;

    async fn begin(script: &str) -> Self {
        world(script).await
    }

    fn driver(&self) -> &Pods {
        &self.driver
    }

    async fn another(&self) -> Pods {
        connect(&self.server, &self.config).await
    }

    async fn marked(&self, mark: &str) -> Pods {
        let config = Config { mark: Some(mark.to_owned()), ..self.config.clone() };
        connect(&self.server, &config).await
    }

    async fn beside(&self) -> Self {
        let handover = self.config.handover;
        place(self.server.clone(), self.folder.clone(), |config| config.handover = handover).await
    }

    async fn volumes(&self) -> usize {
        let label = self.config.cluster.to_lowercase().replace('_', "-");
        let claims = self.server.objects(CLAIMS, NAMESPACE);
        claims
            .iter()
            .filter(|claim| claim["metadata"]["labels"]["manyhands.io/cluster"] == label.as_str())
            .count()
    }

    async fn remove_all(&self) -> ports::Result<()> {
        self.driver.remove_all().await
    }

    async fn try_out(&self) -> Result<(), StartError> {
        self.driver.try_out().await
    }
}

impl Place for BySecret {
    type Driver = Pods;

    async fn begin(script: &str) -> Self {
        let change = |config: &mut Config| config.handover = Handover::Secret;
        Self(world_with(script, Settings::default(), change).await)
    }

    fn driver(&self) -> &Pods {
        self.0.driver()
    }

    async fn another(&self) -> Pods {
        self.0.another().await
    }

    async fn marked(&self, mark: &str) -> Pods {
        self.0.marked(mark).await
    }

    async fn beside(&self) -> Self {
        Self(self.0.beside().await)
    }

    async fn volumes(&self) -> usize {
        self.0.volumes().await
    }

    async fn remove_all(&self) -> ports::Result<()> {
        Place::remove_all(&self.0).await
    }

    async fn try_out(&self) -> Result<(), StartError> {
        Place::try_out(&self.0).await
    }
}

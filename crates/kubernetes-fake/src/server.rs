//! The server as a test has it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::api::create::by_cluster;
use crate::cluster::{Cluster, Key, User};
use crate::controllers;
use crate::faults::{Away, Fault, Faults};
use crate::http::{Door, listen};
use crate::pods::handle::{Hook, Pod};
use crate::pods::nodes;
use crate::settings::Settings;
use crate::value::set;

/// Runs as long as its runtime.
#[derive(Clone)]
pub struct Server {
    cluster: Arc<Cluster>,
    faults: Arc<Faults>,
    hook: Arc<Mutex<Option<Hook>>>,
    address: SocketAddr,
    open: SocketAddr,
}

/// Namespaces that are there at first.
const NAMESPACES: [&str; 2] = ["default", "kube-system"];

impl Server {
    pub async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    /// # Panics
    /// Without free ports.
    pub async fn with(settings: Settings) -> Self {
        let cluster = Arc::new(Cluster::new(settings));
        for name in NAMESPACES {
            Self::make_namespace(&cluster, name, json!({}));
        }
        cluster.settings.nodes.iter().for_each(|node| nodes::add(&cluster, node));
        for (at, class) in cluster.settings.storage_classes.iter().enumerate() {
            let default = json!({ "storageclass.kubernetes.io/is-default-class": (at == 0).to_string() });
            let object = json!({ "metadata": { "annotations": default }, "provisioner": "fake", "allowVolumeExpansion": true });
            cluster.with(|state| {
                by_cluster(state, &cluster.kind("storage.k8s.io", "storageclasses"), "", class, object)
            });
        }
        let faults = Arc::new(Faults::default());
        let hook = Arc::default();
        tokio::spawn(controllers::run(cluster.clone(), Arc::clone(&hook)));
        let door = |is_open| Arc::new(Door { cluster: cluster.clone(), faults: faults.clone(), is_open });
        let address = listen(door(false)).await;
        let open = listen(door(true)).await;
        Self { cluster: cluster.clone(), faults, hook, address, open }
    }

    fn make_namespace(cluster: &Cluster, name: &str, labels: Value) {
        cluster.with(|state| {
            by_cluster(
                state,
                &cluster.kind("", "namespaces"),
                "",
                name,
                json!({ "metadata": { "labels": labels } }),
            );
            for (plural, of) in [("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")] {
                by_cluster(state, &cluster.kind("", plural), name, of, json!({}));
            }
        });
    }

    /// What pods are made of from now on.
    pub fn on_pod<F>(&self, hook: impl Fn(Pod) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        *self.hook.lock() = Some(Arc::new(move |pod| Box::pin(hook(pod))));
    }

    /// A namespace with labels, such as those that say which pods it takes.
    pub fn namespace(&self, name: &str, labels: Value) {
        Self::make_namespace(&self.cluster, name, labels);
    }

    /// Where clients with tokens connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where everybody may do everything: kubectl and helm send tokens over TLS alone.
    #[must_use]
    pub fn open_url(&self) -> String {
        format!("http://{}", self.open)
    }

    /// A token that may do everything.
    #[must_use]
    pub fn admin_token(&self) -> String {
        self.token(User::master())
    }

    /// One of a service account, whether or not that is there.
    #[must_use]
    pub fn token_of(&self, namespace: &str, account: &str) -> String {
        self.token(User::of_account(namespace, account))
    }

    fn token(&self, user: User) -> String {
        let token = uuid::Uuid::new_v4().to_string();
        self.cluster.tokens.lock().insert(token.clone(), user);
        token
    }

    /// A file for `KUBECONFIG`; without a token: of the open door.
    #[must_use]
    pub fn kubeconfig(&self, token: Option<&str>, namespace: &str) -> String {
        let (server, user) = match token {
            Some(token) => (self.url(), json!({ "token": token })),
            None => (self.open_url(), json!({})),
        };
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "fake", "cluster": { "server": server } }],
            "users": [{ "name": "fake", "user": user }],
            "contexts": [{ "name": "fake", "context": { "cluster": "fake", "user": "fake", "namespace": namespace } }],
            "current-context": "fake",
        })
        .to_string()
    }

    /// An object as it is now; of the core: `("", "pods")`.
    ///
    /// # Panics
    /// If there is no such kind.
    #[must_use]
    pub fn object(&self, (group, plural): (&str, &str), namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.cluster.get(&self.cluster.kind(group, plural), namespace, name)
    }

    /// All of a kind, of a namespace or, where that is empty, of all.
    ///
    /// # Panics
    /// If there is no such kind.
    #[must_use]
    pub fn objects(&self, (group, plural): (&str, &str), namespace: &str) -> Vec<Arc<Value>> {
        let kind = self.cluster.kind(group, plural);
        let found = self.cluster.with(|state| state.of(&kind, namespace));
        found.into_iter().map(|(_, object)| object).collect()
    }

    /// Puts an object there that nobody checks, as controllers of others do.
    ///
    /// # Panics
    /// If there is no such kind.
    pub fn put(&self, (group, plural): (&str, &str), namespace: &str, name: &str, object: Value) {
        let kind = self.cluster.kind(group, plural);
        self.cluster.with(|state| by_cluster(state, &kind, namespace, name, object));
    }

    /// Changes one so, past all checks; whether it was there.
    ///
    /// # Panics
    /// If there is no such kind.
    pub fn change(
        &self,
        (group, plural): (&str, &str),
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> bool {
        let key = Key::new(&self.cluster.kind(group, plural), namespace, name);
        self.cluster.with(|state| state.change(&key, change).is_some())
    }

    /// Until [`Server::is_back`].
    pub fn is_away(&self, how: Away) {
        self.faults.set_away(Some(how));
    }

    pub fn is_back(&self) {
        self.faults.set_away(None);
    }

    /// For the next request of a verb (`create`, `list`, `deletecollection`, …) to a resource (`pods`, `pods/attach`).
    pub fn plan(&self, verb: &str, resource: &str, fault: Fault) {
        self.faults.plan(verb, resource, fault);
    }

    /// How many requests of a verb to a resource there were.
    #[must_use]
    pub fn asked(&self, verb: &str, resource: &str) -> usize {
        self.faults.asked(verb, resource)
    }

    /// All that has happened is forgotten: who watches from before must begin anew.
    pub fn compact(&self) {
        self.cluster.with(|state| state.compact());
        self.cluster.nudge();
    }

    /// Watches are told nothing, and do not end, until they are let go on.
    pub fn stall_watches(&self, is_stalled: bool) {
        self.cluster.with(|state| state.is_stalled = is_stalled);
        self.cluster.nudge();
    }

    /// Lists that take any version are answered with what is there now, until it is thawed.
    pub fn freeze_cache(&self) {
        self.cluster.with(|state| state.freeze_cache());
    }

    pub fn thaw_cache(&self) {
        self.cluster.with(|state| state.cache = None);
    }

    /// Nothing is heard of a node from now on, and it hears nothing; what runs there goes on.
    pub fn lose_node(&self, node: &str) {
        nodes::lose(&self.cluster, node);
    }

    pub fn return_node(&self, node: &str) {
        nodes::back(&self.cluster, node);
    }

    /// Says in a node's specification that it is down for certain.
    pub fn out_of_service(&self, node: &str) {
        let taint = json!([{ "key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute" }]);
        self.change(("", "nodes"), "", node, |node| set(node, &["spec", "taints"], taint));
    }

    /// How many processes of pods there are, whatever the API says.
    #[must_use]
    pub fn living(&self) -> usize {
        self.cluster.live.lock().values().filter(|live| !*live.ended().borrow()).count()
    }
}

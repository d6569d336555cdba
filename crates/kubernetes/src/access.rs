//! How an API server is reached, and as whom.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use secrecy::SecretString;
use tokio::time::timeout;

use crate::{Error, Objects, PATIENCE, Result};

/// Until a connection stands.
const CONNECTING: Duration = Duration::from_secs(5);

/// Where the API server is, and who asks.
pub enum Access {
    /// What `~/.kube/config` names, or else the service account of the own pod.
    Inferred,
    /// What a file names, or several, parted as in `PATH`.
    Files(OsString),
    Token {
        url: String,
        token: SecretString,
    },
}

/// A namespace of a cluster.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: kube::Client,
    pub(crate) namespace: String,
    pub(crate) patience: Duration,
}

impl Client {
    /// In `namespace`, or in the one that the access names. Nobody is asked yet.
    ///
    /// # Errors
    /// `Other`, when there is no access.
    pub async fn new(access: Access, namespace: Option<String>) -> Result<Self> {
        let mut config = match access {
            Access::Inferred => Config::infer().await.map_err(|error| Error::Other(error.to_string()))?,
            Access::Files(files) => named(&files).await?,
            Access::Token { url, token } => {
                let url = url.parse().map_err(|_| Error::Other("no URL of an API server".to_owned()))?;
                let mut config = Config::new(url);
                config.auth_info.token = Some(token);
                config
            }
        };
        // It would try up to fifteen times, also what has made something.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECTING);
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        let inner = kube::Client::try_from(config)?;
        Ok(Self { inner, namespace, patience: PATIENCE })
    }

    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The same for what is waited for less, or not at all longer than before.
    #[must_use]
    pub fn with_patience_of_at_most(self, most: Duration) -> Self {
        Self { patience: self.patience.min(most), ..self }
    }

    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    #[must_use]
    pub fn objects<K: crate::Object>(&self) -> Objects<K> {
        Objects::new(self)
    }

    /// Of the API server, such as `v1.34.1`.
    ///
    /// # Errors
    /// `Unavailable`; `Forbidden` for whom it does not know.
    pub async fn version(&self) -> Result<String> {
        let version = self.answer(self.inner.apiserver_version()).await?;
        Ok(version.git_version)
    }

    pub(crate) async fn answer<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T> {
        let answer = timeout(self.patience, call).await.map_err(|_| Error::late(self.patience))?;
        Ok(answer?)
    }
}

/// As kubectl reads several: what comes first counts.
async fn named(files: &OsStr) -> Result<Config> {
    let other = |error: &dyn std::fmt::Display| Error::Other(error.to_string());
    let mut all = Kubeconfig::default();
    for file in std::env::split_paths(files).filter(|file| !file.as_os_str().is_empty()) {
        let one = Kubeconfig::read_from(file).map_err(|error| other(&error))?;
        all = all.merge(one).map_err(|error| other(&error))?;
    }
    let config = Config::from_custom_kubeconfig(all, &KubeConfigOptions::default()).await;
    config.map_err(|error| other(&error))
}

//! What the gateway is told at start.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use http::Uri;
use secrecy::SecretString;
use telemetry::metrics::Metrics;
use types::calls::Marketplace;

use crate::ingress::Origin;
use crate::ticket::Ticket;

/// What the gateway is told at start.
pub struct Config {
    pub site: Site,
    /// The session API keys. With none, and no bearer tokens, everybody who reaches the server may use it.
    pub keys: vault::Keys,
    /// What cookies are signed with, by derivation.
    pub secret_key: SecretString,
    /// The working directory of conversations that name none.
    pub workspace_path: PathBuf,
    /// The tools conversations may use, in the order they are listed.
    pub tools: Vec<ToolEntry>,
    pub editor: Editor,
    pub init: Init,
    pub limits: Limits,
    /// What this process counts; `/metrics` shows all of it.
    pub metrics: Metrics,
}

/// What the operator says about the server and about who may use it. The settings hold it as it is used.
#[derive(Clone, Default)]
pub struct Site {
    /// The bearer tokens that are accepted; `None`: none.
    pub bearer: Option<Bearer>,
    /// Cookies signed with these are still accepted.
    pub previous_secret_keys: Vec<SecretString>,
    /// Origins of web pages allowed beside those of loopback hosts, as browsers send them.
    pub allow_cors_origins: Vec<String>,
    /// Further allowed origins: a regular expression that must match all of the origin.
    pub allow_cors_origin_regex: Option<String>,
    /// Host names, beside loopback and IP addresses, under which a server without keys is reached;
    /// without a port. Their pages are not allowed by this.
    pub allowed_hosts: Vec<String>,
    /// One more host name whose pages are allowed: how a container names the machine it runs on.
    pub docker_host: Option<String>,
    /// Whether `X-Forwarded-Proto` and `X-Forwarded-Host` are believed.
    pub trust_forwarded_headers: bool,
    /// A path all routes are also found below, as `/prefix`; empty for none.
    pub root_path: String,
    /// An origin of its own, at which pages of extensions' programs are served; none: they are not.
    pub app_backend_public_url: Option<String>,
    /// Where a proxy shows the server: its origin and the path.
    pub web_url: Option<String>,
    /// Catalogues of skills beside those that clients name.
    pub marketplaces: Vec<Marketplace>,
    /// Whether stored secrets are shown in plain text to who asks for that and may write.
    pub plaintext_secrets: bool,
    /// When the machine below is put to sleep, in seconds; only shown.
    pub runtime_idle_timeout_seconds: Option<f64>,
    pub build_git_sha: String,
    pub build_git_ref: String,
    /// Shown in place of the console.
    pub ui: Option<Ui>,
    /// What the page at `/` is given the session key for.
    pub ticket: Ticket,
}

/// A user interface that is shown from the server's own origin.
#[derive(Clone)]
pub struct Ui {
    pub folder: PathBuf,
}

/// Whether a text is an http or https URL with a host, and with nothing else but a port.
#[must_use]
pub fn is_origin(url: &str) -> bool {
    let is_bare = |uri: Uri| {
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        matches!(uri.path(), "" | "/") && uri.query().is_none() && !has_user
    };
    Origin::of(url).is_some() && !url.contains('#') && url.parse().is_ok_and(is_bare)
}

/// What is said to who would tell a server its settings.
#[derive(Clone, Default)]
pub struct Init {
    /// Whether it was started without them.
    pub has_waited: bool,
    /// What has to be shown; `None`: nothing. No key opens what has an empty set of them.
    pub key: Option<vault::Keys>,
}

/// A folder of a repository.
///
/// # Errors
/// What is wrong with a path that leads out of it.
pub fn check_repo_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        Err("must not be empty")
    } else if path.contains('\\') {
        Err("must use '/' separators")
    } else if path.starts_with('/') {
        Err("must be relative, not absolute")
    } else if Path::new(path).components().any(|part| part == Component::ParentDir) {
        Err("cannot contain '..' path traversal")
    } else {
        Ok(())
    }
}

/// The editor in the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Editor {
    Disabled,
    /// Nobody could reach it where it would run.
    Unreachable,
    /// On this machine.
    Here {
        port: u16,
        /// A path all of its pages are below.
        base_path: Option<String>,
    },
}

/// Which bearer tokens count: JWTs of one issuer for one audience, signed with one algorithm.
#[derive(Clone)]
pub struct Bearer {
    pub keys: BearerKeys,
    pub issuer: String,
    pub audience: String,
    /// How far the issuer's clock may be off.
    pub leeway: Duration,
}

#[derive(Clone)]
pub enum BearerKeys {
    /// HS256 with any of these.
    Secrets(Vec<SecretString>),
    Public {
        signature: Signature,
        file: KeyPlace,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    EdDsa,
    Rs256,
}

/// A file that is read again when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// One or more public keys; any of them counts.
    Pem(PathBuf),
    /// A set of keys by the `kid` that tokens name.
    Jwks(PathBuf),
}

/// Bounds on what clients may take up.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections; more wait to be accepted.
    pub connections: usize,
    /// Open connections of which nobody knows whose they are; the oldest makes way for one more.
    pub strangers: usize,
    /// As many of them may come from one address.
    pub strangers_of_a_peer: usize,
    /// Open connections from one address, whoever's they are; what is asked on more of them is answered 429.
    pub connections_of_a_peer: usize,
    /// How often may be called.
    pub rates: Rates,
    /// Sockets on one conversation; more are closed with 1013.
    pub sockets_per_conversation: usize,
    /// Streams of all conversations of one tenant; more are refused, or closed with 1013.
    pub streams_per_tenant: usize,
    pub headers: usize,
    /// Bytes of a request's line and headers.
    pub header_bytes: usize,
    /// Bytes of a JSON body.
    pub json_bytes: usize,
    /// Until a request's headers are complete.
    pub header_timeout: Duration,
    /// How slowly a request's body may come.
    pub body_rate: BodyRate,
    /// How long a client may take nothing of what it is sent.
    pub write_timeout: Duration,
    /// How often the client of a socket is asked whether it is there.
    pub ping_every: Duration,
    /// What requests in flight get to finish when the server stops.
    pub drain: Duration,
}

/// Requests a second, of each; `None`: any number.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    pub of_an_address: Option<u32>,
    /// Of a session key, or a bearer token.
    pub of_a_key: Option<u32>,
    pub of_a_tenant: Option<u32>,
}

/// What has to come of a body.
#[derive(Clone, Copy, Debug)]
pub struct BodyRate {
    /// With 0 it may come as slowly as it likes, if only something comes within each hour.
    pub bytes_per_second: u32,
    /// How long nothing may come of one that has come fast enough so far.
    pub patience: Duration,
}

impl Default for BodyRate {
    fn default() -> Self {
        Self { bytes_per_second: 256, patience: Duration::from_secs(30) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            strangers: 1_024,
            strangers_of_a_peer: 256,
            connections_of_a_peer: usize::MAX,
            rates: Rates::default(),
            sockets_per_conversation: 10_000,
            streams_per_tenant: 100,
            headers: 128,
            header_bytes: 64 * 1024,
            json_bytes: 32 * 1024 * 1024,
            header_timeout: Duration::from_secs(60),
            body_rate: BodyRate::default(),
            write_timeout: Duration::from_secs(60),
            ping_every: Duration::from_secs(20),
            drain: Duration::from_secs(10),
        }
    }
}

/// A tool as the catalogue shows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ToolEntry {
    pub name: String,
    /// Whether a user picks it, rather than another part of the system.
    pub user_selectable: bool,
    pub usable: Option<bool>,
    pub description: Option<String>,
    pub in_default_set: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_no_more_than_scheme_host_and_port() {
        for url in
            ["https://apps.example", "https://apps.example/", "http://127.0.0.1:9999", "http://[::1]:9"]
        {
            assert!(is_origin(url), "{url}");
        }
        for url in [
            "https://apps.example/x",
            "https://apps.example?x",
            "https://apps.example/#x",
            "https://u:p@apps.example",
            "apps.example",
            "ftp://apps.example",
            "",
        ] {
            assert!(!is_origin(url), "{url}");
        }
    }
}

//! The settings of `serve`: `OH_*` variables over a JSON file over defaults, checked before anything starts.

mod bearer;
mod bounds;
#[cfg(test)]
mod fuzz;
mod marketplaces;
mod names;
mod objects;
mod page;
mod source;
mod table;
mod webhooks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use control::webhooks::Hook;
use embedded::Fsync;
use outbound::{Host, Private};
use secrecy::SecretString;
use serde_json::{Value, json};
use worker::services::{CATALOGUE, ExtensionConfig, PublicSource};

pub use bounds::Bounds;
pub use page::page;
pub use source::Source;

const NAMES_FILE: &str = "OPENHANDS_AGENT_SERVER_CONFIG_PATH";
/// Where the config file is looked for when that does not say.
const DEFAULT_FILE: &str = "workspace/openhands_agent_server_config.json";

/// A setting that cannot be used. Names the setting, never shows its value.
#[derive(Debug, thiserror::Error)]
#[error("{name} {what}")]
pub struct Invalid {
    name: String,
    what: String,
}

impl Invalid {
    pub fn new(field: &str, what: impl Into<String>) -> Self {
        Self::named(source::variable_of(field), what)
    }

    /// By the name that was given.
    fn named(name: String, what: impl Into<String>) -> Self {
        Self { name, what: what.into() }
    }
}

pub struct Settings {
    /// Where it listens, unless the command line says.
    pub host: Option<String>,
    pub session_api_keys: Vec<SecretString>,
    /// Whether it may listen beyond loopback though nobody is asked for credentials.
    pub allow_open_server: bool,
    pub site: gateway::config::Site,
    /// What clients may ask for.
    pub bounds: Bounds,
    /// `None`: a key of this machine's own is made and kept beside the data.
    pub secret_key: Option<SecretString>,
    pub conversations_path: PathBuf,
    pub conversation_worktree_root: PathBuf,
    pub bash_events_dir: PathBuf,
    pub bash_events_retention: Option<Duration>,
    pub workspace_path: PathBuf,
    /// Whether folders of new conversations become git repositories, so that clients can be shown what changes.
    pub makes_repositories: bool,
    pub max_concurrent_runs: usize,
    /// `None`: one process calls them, and a cluster does not.
    pub private_addresses: Option<Private>,
    /// Those that may be on a private address in any case.
    pub private_hosts: Vec<Host>,
    /// `None`: there is no editor in the browser.
    pub editor: Option<Editor>,
    /// Whether it waits to be told its settings, and who may tell them: see [`gateway::dormant`].
    pub init: gateway::config::Init,
    /// Where skills and plugins are.
    pub extensions: ExtensionConfig,
    /// Who is told of conversations.
    pub webhooks: Vec<Hook>,
    /// What programs that are started here inherit of the environment.
    pub inherited: child_environment::Rule,
    pub fsync: Fsync,
    pub log_level: String,
    pub log_json: bool,
    /// `name=value,…`, for the collector of spans; a key, as a rule.
    pub collector_headers: Option<String>,
}

/// An editor in the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Editor {
    pub port: u16,
    /// A path all of its pages are below.
    pub base_path: Option<String>,
}

impl Settings {
    /// # Errors
    /// The first setting that cannot be used.
    pub fn from_source(source: &Source) -> Result<Self, Invalid> {
        source.refuse_misspelt()?;
        source.choice("conversation_runtime")?;
        let path = |field, default: &str| {
            source.text(field).map(|text| text.map_or_else(|| PathBuf::from(default), PathBuf::from))
        };
        Ok(Self {
            host: source.text("host")?,
            session_api_keys: session_api_keys(source)?,
            allow_open_server: source.flag("allow_open_server")?.unwrap_or(false),
            site: site(source)?,
            bounds: Bounds::read(source)?,
            secret_key: source.text("secret_key")?.map(Into::into),
            conversations_path: path("conversations_path", "workspace/conversations")?,
            conversation_worktree_root: path("conversation_worktree_root", "/tmp/conversation-worktrees")?,
            bash_events_dir: path("bash_events_dir", "workspace/bash_events")?,
            bash_events_retention: source.whole("bash_events_retention_seconds")?.map(Duration::from_secs),
            workspace_path: path("workspace_path", "workspace/project")?,
            makes_repositories: true,
            max_concurrent_runs: count(source.whole("max_concurrent_runs")?)
                .unwrap_or(worker::Config::CONCURRENT_RUNS),
            editor: editor(source)?,
            private_addresses: private_addresses(source)?,
            private_hosts: private_hosts(source)?,
            init: init(source)?,
            extensions: extensions(source)?,
            webhooks: webhooks::read(source)?,
            inherited: child_environment::Rule::new(&source.list("pass_env")?)
                .map_err(|error| Invalid::new("pass_env", error.to_string()))?,
            fsync: match source.choice("fsync")? {
                Some("interval") => Fsync::Interval,
                _ => Fsync::Always,
            },
            log_level: log_level(source),
            log_json: ["LOG_JSON", "CI", "GITHUB_ACTIONS"].iter().any(|name| is_on(source, name)),
            collector_headers: collector_headers(source),
        })
    }

    /// Nobody is asked for credentials.
    pub fn is_open(&self) -> bool {
        self.session_api_keys.is_empty() && self.site.bearer.is_none()
    }

    /// # Errors
    /// A server that waits for its settings without a key, and would yet not be guarded as one that is open: it has tokens.
    pub fn check_waiting(&self) -> Result<(), Invalid> {
        let is_unguarded = self.init.has_waited && self.init.key.is_none() && !self.is_open();
        match is_unguarded {
            true => Err(Invalid::new(
                "deferred_init",
                "needs OH_SECRET_KEY or a session key beside bearer tokens: nobody can show a token before there are settings",
            )),
            false => Ok(()),
        }
    }

    /// Whoever reaches it may do all, or say who may.
    pub fn lets_everyone(&self) -> bool {
        match self.init.has_waited {
            true => self.init.key.is_none(),
            false => self.is_open(),
        }
    }

    /// Where the server keeps what clients have no business with: journal, records, keys, lock.
    pub fn state_dir(&self) -> PathBuf {
        self.conversations_path.parent().unwrap_or(Path::new(".")).join(".manyhands")
    }
}

fn site(source: &Source) -> Result<gateway::config::Site, Invalid> {
    let build = |name: &str| source.variable(name).unwrap_or("unknown").to_owned();
    Ok(gateway::config::Site {
        bearer: bearer::read(source)?,
        previous_secret_keys: secret(source.list("previous_secret_keys")?),
        allow_cors_origins: source.list("allow_cors_origins")?,
        allow_cors_origin_regex: source.text("allow_cors_origin_regex")?,
        allowed_hosts: source.list("allowed_hosts")?,
        docker_host: source.variable("DOCKER_HOST_ADDR").map(str::to_owned),
        trust_forwarded_headers: source.flag("trust_forwarded_headers")?.unwrap_or(false),
        app_backend_public_url: ingress(source)?,
        marketplaces: marketplaces::read(source)?,
        plaintext_secrets: source.flag("plaintext_secrets")?.unwrap_or(true),
        root_path: root_path(source.text("web_url")?.as_deref()),
        web_url: source.text("web_url")?.as_deref().and_then(shown_at),
        runtime_idle_timeout_seconds: source.amount("runtime_idle_timeout_seconds")?,
        build_git_sha: build("OPENHANDS_BUILD_GIT_SHA"),
        ui: None,
        ticket: gateway::ticket::Ticket::default(),
        build_git_ref: build("OPENHANDS_BUILD_GIT_REF"),
    })
}

/// Reads the config file that the environment names, and lays the environment over it.
///
/// # Errors
/// A readable text about a file that cannot be read, or is named and not there.
pub fn load(environment: BTreeMap<String, String>) -> anyhow::Result<Source> {
    let file = match named_file(&environment)? {
        Some(named) => named,
        None => read_file(Path::new(DEFAULT_FILE))?.unwrap_or_else(|| json!({})),
    };
    Ok(Source::new(environment, file))
}

/// The same where the current folder is what an agent works on: a file that lies there says nothing of the server.
///
/// # Errors
/// As [`load`].
pub fn load_named(environment: BTreeMap<String, String>) -> anyhow::Result<Source> {
    let file = named_file(&environment)?.unwrap_or_else(|| json!({}));
    Ok(Source::new(environment, file))
}

/// Whether a cluster is meant, rather than a server of one process.
///
/// # Errors
/// It is, and this program has no such parts: it would take what lies here for what is stored.
pub fn means_cluster(source: &Source, has_cluster: bool) -> Result<bool, Invalid> {
    let is_meant = source.text("nats_url")?.is_some();
    match is_meant && !has_cluster {
        true => Err(Invalid::new(
            "nats_url",
            "is of a cluster, and this program was built without the feature `cluster`: unset it, or build with that",
        )),
        false => Ok(is_meant),
    }
}

/// What the file holds that is named. One that is not there was meant to say something, such as who has a key.
fn named_file(environment: &BTreeMap<String, String>) -> anyhow::Result<Option<Value>> {
    let path = environment.get(NAMES_FILE).filter(|path| !path.trim().is_empty());
    let Some(path) = path.map(Path::new) else { return Ok(None) };
    let read = read_file(path)?;
    read.map(Some).with_context(|| format!("{NAMES_FILE} names {}, which is not there", path.display()))
}

/// `OH_SESSION_API_KEYS…`, else the older `SESSION_API_KEY`.
fn session_api_keys(source: &Source) -> Result<Vec<SecretString>, Invalid> {
    let keys = secret(source.list("session_api_keys")?);
    if !keys.is_empty() {
        return Ok(keys);
    }
    Ok(source.variable("SESSION_API_KEY").map(SecretString::from).into_iter().collect())
}

fn secret(keys: Vec<String>) -> Vec<SecretString> {
    keys.into_iter().map(Into::into).collect()
}

fn editor(source: &Source) -> Result<Option<Editor>, Invalid> {
    let port = source.whole("vscode_port")?.and_then(|port| u16::try_from(port).ok()).unwrap_or(8001);
    let editor = Editor { port, base_path: source.text("vscode_base_path")? };
    Ok(source.flag("enable_vscode")?.unwrap_or(true).then_some(editor))
}

/// An origin for pages that are kept apart: nothing else will do.
fn ingress(source: &Source) -> Result<Option<String>, Invalid> {
    const FIELD: &str = "app_backend_public_url";
    let Some(url) = source.text(FIELD)? else { return Ok(None) };
    match gateway::config::is_origin(&url) {
        true => Ok(Some(url)),
        false => {
            Err(Invalid::new(FIELD, "must be an http or https URL of a host, without user, path or query"))
        }
    }
}

/// The key is the secret key, else the first session key. A blank one was meant to be a key: nobody can show it.
fn init(source: &Source) -> Result<gateway::config::Init, Invalid> {
    let key = source.text("secret_key")?.map(SecretString::from);
    let key = key.or(session_api_keys(source)?.into_iter().next());
    let keys = key.into_iter().collect::<Vec<_>>();
    let is_closed = !keys.is_empty() || source.is_blank("secret_key");
    Ok(gateway::config::Init {
        has_waited: source.flag("deferred_init")?.unwrap_or(false),
        key: is_closed.then(|| vault::Keys::new(&keys)),
    })
}

fn extensions(source: &Source) -> Result<ExtensionConfig, Invalid> {
    let mut extensions = ExtensionConfig::in_home(source.variable("HOME").unwrap_or("/").into());
    extensions.places = true;
    if let Some(persistence) = source.text("persistence_dir")? {
        let absolute = std::path::absolute(persistence);
        extensions.home.persistence =
            absolute.map_err(|error| Invalid::new("persistence_dir", format!("cannot be used: {error}")))?;
    }
    if let Some(reference) = source.variable("EXTENSIONS_REF") {
        extensions.public =
            PublicSource::Repository { url: CATALOGUE.to_owned(), reference: reference.to_owned() };
    }
    if let Some(folder) = source.variable("EXTENSIONS_PATH") {
        extensions.public = PublicSource::Folder(folder.into());
    }
    Ok(extensions)
}

/// Also by its older name, which was about models alone.
fn private_addresses(source: &Source) -> Result<Option<Private>, Invalid> {
    let of = |allowed: bool| if allowed { Private::Allowed } else { Private::Refused };
    let by_older_name = source.flag("allow_private_model_hosts")?;
    let said = source.choice("private_addresses")?.map(|word| word == "allow");
    Ok(said.or(by_older_name).map(of))
}

fn private_hosts(source: &Source) -> Result<Vec<Host>, Invalid> {
    let named = source.list("private_hosts")?;
    let hosts = named.iter().map(|text| Host::parse(text)).collect::<Option<_>>();
    hosts.ok_or_else(|| Invalid::new("private_hosts", "must be hosts: `name` or `name:port`"))
}

/// The bounds of a setting fit in a `usize`.
pub fn count(number: Option<u64>) -> Option<usize> {
    number.map(|number| usize::try_from(number).unwrap_or(usize::MAX))
}

/// `/prefix` of `https://host/prefix/`.
fn root_path(web_url: Option<&str>) -> String {
    let after_scheme = web_url.and_then(|url| url.split_once("://")).map_or("", |(_, rest)| rest);
    let path = after_scheme.split_once('/').map_or("", |(_, path)| path);
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    if path.is_empty() { String::new() } else { format!("/{path}") }
}

/// `https://host/prefix` of `https://host/prefix/?a=b`.
fn shown_at(web_url: &str) -> Option<String> {
    let (scheme, rest) = web_url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().filter(|host| !host.is_empty())?;
    Some(format!("{scheme}://{host}{}", root_path(Some(web_url))))
}

fn log_level(source: &Source) -> String {
    if is_on(source, "DEBUG") {
        "debug".to_owned()
    } else {
        source.variable("LOG_LEVEL").unwrap_or("info").to_owned()
    }
}

fn collector_headers(source: &Source) -> Option<String> {
    ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]
        .iter()
        .find_map(|name| source.variable(name).map(str::to_owned))
}

fn is_on(source: &Source, variable: &str) -> bool {
    source.variable(variable).is_some_and(|text| ["1", "true"].contains(&text.to_lowercase().as_str()))
}

/// `None`: it is not there.
fn read_file(path: &Path) -> anyhow::Result<Option<Value>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => anyhow::bail!("cannot read the config file {}: {error}", path.display()),
    };
    // The parser's message could show a part of a secret; line and column are enough.
    let parsed: Value = serde_json::from_str(&text)
        .map_err(|e| anyhow::anyhow!("{}:{}:{}: not valid JSON", path.display(), e.line(), e.column()))?;
    anyhow::ensure!(parsed.is_object(), "{}: must hold a JSON object", path.display());
    Ok(Some(parsed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn settings(variables: &[(&str, &str)], file: Value) -> Result<Settings, Invalid> {
        let environment = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::from_source(&Source::new(environment, file))
    }

    #[test]
    fn an_empty_environment_gives_the_documented_defaults() {
        let settings = settings(&[], json!({})).unwrap();
        assert!(settings.session_api_keys.is_empty() && settings.secret_key.is_none());
        assert_eq!(settings.conversations_path, Path::new("workspace/conversations"));
        assert_eq!(settings.state_dir(), Path::new("workspace/.manyhands"));
        let documented = table::find("max_concurrent_runs").unwrap().default;
        assert_eq!(settings.max_concurrent_runs.to_string(), documented);
        assert_eq!(settings.fsync, Fsync::Always);
    }

    #[test]
    fn a_config_file_that_is_named_has_to_be_there_and_a_blank_name_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.json");
        let named = |name: &str| BTreeMap::from([(NAMES_FILE.to_owned(), name.to_owned())]);
        for load in [load, load_named] {
            let refused =
                load(named(&path.display().to_string())).err().expect("it is not there").to_string();
            assert!(refused.contains(NAMES_FILE) && refused.contains("server.json"), "{refused}");
            assert_eq!(load(named(" ")).unwrap().file(), &json!({}));
        }
        std::fs::write(&path, r#"{"session_api_keys": ["k"]}"#).unwrap();
        let read = load(named(&path.display().to_string())).unwrap();
        assert_eq!(Settings::from_source(&read).unwrap().session_api_keys.len(), 1);
    }

    #[test]
    fn a_build_without_clusters_takes_nothing_here_for_one() {
        let refused = |variables: &[(&str, &str)], file: Value| {
            let environment = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let source = Source::new(environment, file);
            assert!(means_cluster(&source, true).unwrap());
            means_cluster(&source, false).unwrap_err().to_string()
        };
        for refusal in [
            refused(&[("OH_NATS_URL", "nats://n:4222")], json!({})),
            refused(&[], json!({"nats_url": "nats://n:4222"})),
        ] {
            assert!(refusal.starts_with("OH_NATS_URL ") && refusal.contains("`cluster`"), "{refusal}");
        }
        let nothing = Source::new(BTreeMap::from([("OH_NATS_URL".to_owned(), " ".to_owned())]), json!({}));
        assert!(!means_cluster(&nothing, false).unwrap());
    }

    #[test]
    fn of_the_web_url_its_path_counts_and_its_host_for_who_is_there() {
        assert_eq!(root_path(Some("https://x.example/pre/fix/?a=b")), "/pre/fix");
        assert_eq!(root_path(Some("https://x.example")), "");
        assert_eq!(root_path(None), "");
        assert_eq!(shown_at("https://x.example/pre/fix/?a=b").as_deref(), Some("https://x.example/pre/fix"));
        assert_eq!(shown_at("https://x.example:1?a").as_deref(), Some("https://x.example:1"));
        assert_eq!((shown_at("x.example"), shown_at("https:///a")), (None, None));
    }

    #[test]
    fn the_old_session_key_counts_only_without_new_ones() {
        let old = settings(&[("SESSION_API_KEY", "old")], json!({})).unwrap();
        assert_eq!(old.session_api_keys[0].expose_secret(), "old");
        let both =
            settings(&[("SESSION_API_KEY", "old"), ("OH_SESSION_API_KEYS_0", "new")], json!({})).unwrap();
        assert_eq!(both.session_api_keys.len(), 1);
        assert_eq!(both.session_api_keys[0].expose_secret(), "new");
    }

    #[test]
    fn private_hosts_are_hosts() {
        let said = |value| settings(&[("OH_PRIVATE_HOSTS_0", value)], json!({}));
        assert_eq!(said("models.svc:8000").unwrap().private_hosts.len(), 1);
        assert!(said("http://models.svc/v1").err().unwrap().to_string().contains("OH_PRIVATE_HOSTS"));
    }

    #[test]
    fn whether_private_addresses_are_called_is_said_by_either_name_and_first_by_the_newer() {
        let said = |variables| settings(variables, json!({})).unwrap().private_addresses;
        assert_eq!(said(&[]), None);
        assert_eq!(said(&[("OH_PRIVATE_ADDRESSES", "refuse")]), Some(Private::Refused));
        assert_eq!(said(&[("OH_ALLOW_PRIVATE_MODEL_HOSTS", "1")]), Some(Private::Allowed));
        let both = [("OH_PRIVATE_ADDRESSES", "refuse"), ("OH_ALLOW_PRIVATE_MODEL_HOSTS", "1")];
        assert_eq!(said(&both), Some(Private::Refused));
    }

    #[test]
    fn a_blank_secret_key_leaves_the_settings_to_nobody() {
        let key = |variables| settings(variables, json!({})).unwrap().init.key;
        assert!(key(&[]).is_none());
        assert!(key(&[("OH_SECRET_KEY", " ")]).is_some_and(|keys| keys.is_empty()));
        assert!(
            key(&[("OH_SECRET_KEY", ""), ("SESSION_API_KEY", "s")]).is_some_and(|keys| keys.accepts("s"))
        );
        let both = [("OH_SECRET_KEY", "secret"), ("SESSION_API_KEY", "s")];
        assert!(key(&both).is_some_and(|keys| keys.accepts("secret") && !keys.accepts("s")));
    }

    #[test]
    fn a_server_that_waits_is_not_guarded_by_tokens() {
        let waiting = |more: &[(&str, &str)]| {
            let secret = "s".repeat(32);
            let tokens = [
                ("OH_DEFERRED_INIT", "1"),
                ("OH_JWT_ALGORITHM", "HS256"),
                ("OH_JWT_SECRET", &secret),
                ("OH_JWT_ISSUER", "i"),
                ("OH_JWT_AUDIENCE", "a"),
            ];
            settings(&[&tokens, more].concat(), json!({})).unwrap()
        };
        let unguarded = waiting(&[]);
        assert!(unguarded.lets_everyone() && !unguarded.is_open());
        assert!(unguarded.check_waiting().unwrap_err().to_string().starts_with("OH_DEFERRED_INIT "));
        for key in [("OH_SECRET_KEY", "k"), ("OH_SESSION_API_KEYS_0", "k")] {
            let guarded = waiting(&[key]);
            assert!(!guarded.lets_everyone() && guarded.check_waiting().is_ok());
        }
    }

    #[test]
    fn what_this_server_cannot_do_is_refused_at_start() {
        assert!(settings(&[("OH_CONVERSATION_RUNTIME", "docker")], json!({})).is_err());
        assert!(settings(&[("OH_MAX_CONCURRENT_RUNS", "0")], json!({})).is_err());
        assert!(settings(&[("OH_FSYNC", "never")], json!({})).is_err());
        assert!(settings(&[("OH_PASS_ENV_0", "OH_SECRET_KEY")], json!({})).is_err());
    }
}

//! What a gateway and the control plane beside it are given, from the settings.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, SocketAddr};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, ensure};
use control::Mode;
use control::webhooks::Hook;
use gateway::config::{BearerKeys, KeyPlace, Ui};
use gateway::ticket::Ticket;
use outbound::Outbound;
use secrecy::{ExposeSecret, SecretString};
use telemetry::metrics::Metrics;
use tokio::net::lookup_host;
use vault::Vault;

use crate::descriptors::Descriptors;
use crate::serve::{Options, Reach};
use crate::settings::{Invalid, Settings};

/// Where it is said, on the command line first; else loopback unless there are keys. One that waits for its settings asks for a key of its own.
pub async fn address(reach: &Reach, settings: &Settings) -> anyhow::Result<SocketAddr> {
    let is_open = settings.lets_everyone();
    let usual = if is_open { "127.0.0.1" } else { "0.0.0.0" };
    let host = reach.host.as_deref().or(settings.host.as_deref()).unwrap_or(usual);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let ip = match bare.parse::<IpAddr>() {
        Ok(ip) => ip,
        Err(_) => {
            let mut found =
                lookup_host((bare, 0)).await.with_context(|| format!("cannot resolve the host {host}"))?;
            found.next().with_context(|| format!("the host {host} has no address"))?.ip()
        }
    };
    check_reach(ip, may_be_open(reach, settings), is_open)?;
    Ok(SocketAddr::new(ip, reach.port))
}

/// Whether the operator says that something else guards the port.
pub fn may_be_open(reach: &Reach, settings: &Settings) -> bool {
    reach.allow_open_server || settings.allow_open_server
}

/// # Errors
/// A sentence, where everyone could run commands.
pub fn check_reach(ip: IpAddr, may_be_open: bool, is_open: bool) -> anyhow::Result<()> {
    ensure!(
        !is_open || ip.is_loopback() || may_be_open,
        "refusing to listen on {ip} without a session key or bearer tokens: everyone who reaches it could run commands here. \
         Set OH_SESSION_API_KEYS_0, or pass --allow-open-server if something else guards the port."
    );
    Ok(())
}

/// The user interface that is shown from the server's own origin.
///
/// # Errors
/// A sentence, where there is none.
pub fn ui(options: &Options) -> anyhow::Result<Option<Ui>> {
    let Some(folder) = &options.static_dir else { return Ok(None) };
    let folder = std::path::absolute(folder)?;
    let first = folder.join("index.html");
    ensure!(first.is_file(), "--static-dir has no page to show: {} is no file", first.display());
    Ok(Some(Ui { folder }))
}

/// The text of a ticket for the first session key, which the gateway is given with the settings.
///
/// # Errors
/// A sentence, where there is nothing that it could open, or nobody to read it.
pub fn ticket(
    options: &Options,
    settings: &mut Settings,
    ip: IpAddr,
) -> anyhow::Result<Option<SecretString>> {
    if !options.ticket {
        return Ok(None);
    }
    let key = settings
        .session_api_keys
        .first()
        .context("--ticket needs a session key: set OH_SESSION_API_KEYS_0")?;
    ensure!(
        ip.is_loopback() || ip.is_unspecified(),
        "--ticket needs a server that listens on loopback: what it shows must not be listened to"
    );
    ensure!(
        io::stdout().is_terminal(),
        "--ticket shows a key to who reads the terminal, and this is none: leave it out, and the page asks for the key"
    );
    let (ticket, text) = Ticket::issue(key.clone());
    settings.site.ticket = ticket;
    Ok(Some(text))
}

/// Where the key is that a machine makes for itself.
pub fn key_file(settings: &Settings) -> PathBuf {
    settings.state_dir().join("secret_key")
}

/// Opens secrets of this key and of those before it.
pub fn vault(current: &SecretString, settings: &Settings) -> Vault {
    // The peer seals with the session key when it has no other: its data stays readable.
    let previous: Vec<SecretString> =
        settings.site.previous_secret_keys.iter().chain(&settings.session_api_keys).cloned().collect();
    Vault::new(current, &previous)
}

/// What the gateway is told; `workspace_path` is absolute.
pub fn gateway(
    secret_key: SecretString,
    settings: &Settings,
    metrics: Metrics,
    files: Descriptors,
    workspace_path: PathBuf,
    has_own_worker: bool,
) -> gateway::Config {
    gateway::Config {
        site: settings.site.clone(),
        editor: editor(settings, has_own_worker),
        keys: vault::Keys::new(&settings.session_api_keys),
        secret_key,
        workspace_path,
        tools: crate::catalogue::tools(),
        init: settings.init.clone(),
        limits: settings.bounds.over(limits(files)),
        metrics,
    }
}

/// A configuration that can work.
///
/// # Errors
/// The setting that cannot be used after all: what it names is no good.
pub fn checked(config: gateway::Config) -> Result<gateway::Checked, Invalid> {
    let key_file = match config.site.bearer.as_ref().map(|bearer| &bearer.keys) {
        Some(BearerKeys::Public { file: KeyPlace::Jwks(_), .. }) => "jwt_jwks_file",
        _ => "jwt_public_key_file",
    };
    gateway::check(config).map_err(|error| match error {
        gateway::Error::Bearer(why) => Invalid::new(key_file, format!("cannot be used: {why}")),
        _ => Invalid::new("allow_cors_origin_regex", "must be a regular expression"),
    })
}

/// They are told with the first session key, as clients show it.
///
/// # Errors
/// Where it cannot be sent.
pub fn webhooks(settings: &Settings) -> anyhow::Result<Vec<Hook>> {
    let hooks = settings.webhooks.iter().cloned();
    let Some(key) = settings.session_api_keys.first() else { return Ok(hooks.collect()) };
    let with_key = hooks.map(|hook| hook.with_header("X-Session-API-Key", key.expose_secret()));
    let what = "OH_SESSION_API_KEYS_0 cannot be sent to webhooks: it has letters that no header may have";
    with_key.collect::<Option<_>>().context(what)
}

/// In a cluster nobody reaches a port of a sandbox.
fn editor(settings: &Settings, has_own_worker: bool) -> gateway::config::Editor {
    match &settings.editor {
        None => gateway::config::Editor::Disabled,
        Some(_) if !has_own_worker => gateway::config::Editor::Unreachable,
        Some(editor) => {
            gateway::config::Editor::Here { port: editor.port, base_path: editor.base_path.clone() }
        }
    }
}

/// What the control plane beside it is told.
pub fn control(
    gateway: &gateway::Config,
    conversations_path: PathBuf,
    worktree_root: PathBuf,
    mode: Mode,
    tenant_budget_usd: Option<f64>,
    outbound: Outbound,
    webhooks: Vec<Hook>,
) -> control::Config {
    control::Config {
        conversations_path,
        // Of this process, and not of where each worker stands.
        worktree_root: plain(&worktree_root).unwrap_or(worktree_root),
        mode,
        tenant_budget_usd,
        outbound,
        github_url: control::GITHUB.into(),
        openai: control::OpenAi::default(),
        webhooks,
        copies_left_after: control::conversations::COPIES_LEFT_AFTER,
        drain: gateway.limits.drain,
        metrics: gateway.metrics.work.clone(),
        calls: gateway.metrics.calls.clone(),
    }
}

/// The absolute path without `..`: of what workers make, only that is believed.
fn plain(path: &Path) -> io::Result<PathBuf> {
    let mut plain = PathBuf::new();
    for step in std::path::absolute(path)?.components() {
        match step {
            Component::ParentDir => drop(plain.pop()),
            step => plain.push(step),
        }
    }
    Ok(plain)
}

/// Strangers may hold half of the connections, and one of them half of that.
fn limits(files: Descriptors) -> gateway::config::Limits {
    let (usual, connections) = (gateway::config::Limits::default(), files.connections());
    gateway::config::Limits {
        connections,
        strangers: usual.strangers.min((connections / 2).max(1)),
        strangers_of_a_peer: usual.strangers_of_a_peer.min((connections / 4).max(1)),
        ..usual
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::settings::Source;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        reach: Reach,
    }

    async fn listens_on(arguments: &[&str], variables: &[(&str, &str)]) -> Option<String> {
        let line = Line::parse_from(["manyhands"].iter().chain(arguments));
        let environment: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let settings = Settings::from_source(&Source::new(environment, json!({}))).unwrap();
        address(&line.reach, &settings).await.ok().map(|address| address.ip().to_string())
    }

    #[tokio::test]
    async fn without_keys_it_listens_beyond_loopback_only_where_it_is_told_that_it_may() {
        let (key, may) = (("OH_SESSION_API_KEYS_0", "k"), ("OH_ALLOW_OPEN_SERVER", "true"));
        let all = ("OH_HOST", "0.0.0.0");
        for (arguments, variables, expected) in [
            (&[][..], &[][..], Some("127.0.0.1")),
            (&["--host", "0.0.0.0"], &[], None),
            (&["--host", "0.0.0.0", "--allow-open-server"], &[], Some("0.0.0.0")),
            (&["--allow-open-server"], &[], Some("127.0.0.1")),
            (&["--port", "9"], &[may], Some("127.0.0.1")),
            (&["--host", "0.0.0.0"], &[may], Some("0.0.0.0")),
            (&[], &[all], None),
            (&["--port", "9"], &[all, may], Some("0.0.0.0")),
            (&["--allow-open-server"], &[all], Some("0.0.0.0")),
            (&["--host", "127.0.0.1"], &[all, may], Some("127.0.0.1")),
            (&[], &[key], Some("0.0.0.0")),
            (&[], &[key, ("OH_HOST", "127.0.0.1")], Some("127.0.0.1")),
        ] {
            assert_eq!(
                listens_on(arguments, variables).await.as_deref(),
                expected,
                "{arguments:?} {variables:?}"
            );
        }
    }

    #[test]
    fn the_folder_of_working_trees_may_be_named_from_where_the_server_stands() {
        let stands = std::env::current_dir().unwrap();
        for (named, meant) in [
            ("../trees", stands.parent().unwrap().join("trees")),
            ("./trees/a/..", stands.join("trees")),
            ("/a/../../trees", PathBuf::from("/trees")),
        ] {
            assert_eq!(plain(Path::new(named)).unwrap(), meant, "{named}");
        }
    }
}

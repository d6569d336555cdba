//! What a gateway is given, from the settings.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, ensure};
use secrecy::SecretString;
use telemetry::metrics::Metrics;
use tokio::net::lookup_host;
use vault::Vault;

use crate::descriptors::Descriptors;
use crate::serve::Options;
use crate::settings::Settings;

/// Loopback unless there are keys, or the operator insists.
pub async fn address(options: &Options, settings: &Settings) -> anyhow::Result<SocketAddr> {
    let open = settings.is_open();
    let host = options.host.as_deref().unwrap_or(if open { "127.0.0.1" } else { "0.0.0.0" });
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let ip = match bare.parse::<IpAddr>() {
        Ok(ip) => ip,
        Err(_) => {
            let mut found =
                lookup_host((bare, 0)).await.with_context(|| format!("cannot resolve the host {host}"))?;
            found.next().with_context(|| format!("the host {host} has no address"))?.ip()
        }
    };
    ensure!(
        !open || ip.is_loopback() || options.allow_open_server,
        "refusing to listen on {host} without a session key or bearer tokens: everyone who reaches it could run commands here. \
         Set OH_SESSION_API_KEYS_0, or pass --allow-open-server if something else guards the port."
    );
    Ok(SocketAddr::new(ip, options.port))
}

/// Opens secrets of this key and of those before it.
pub fn vault(current: &SecretString, settings: &Settings) -> Vault {
    // The peer seals with the session key when it has no other: its data stays readable.
    let previous: Vec<SecretString> =
        settings.previous_secret_keys.iter().chain(&settings.session_api_keys).cloned().collect();
    Vault::new(current, &previous)
}

/// # Errors
/// When the working directory is not known.
pub fn config(
    secret_key: SecretString,
    settings: &Settings,
    metrics: Metrics,
    files: Descriptors,
) -> anyhow::Result<gateway::Config> {
    Ok(gateway::Config {
        keys: vault::Keys::new(&settings.session_api_keys),
        bearer: settings.bearer.clone(),
        secret_key,
        previous_secret_keys: settings.previous_secret_keys.clone(),
        allow_cors_origins: settings.allow_cors_origins.clone(),
        allow_cors_origin_regex: settings.allow_cors_origin_regex.clone(),
        allowed_hosts: settings.allowed_hosts.clone(),
        docker_host: settings.docker_host.clone(),
        trust_forwarded_headers: settings.trust_forwarded_headers,
        root_path: settings.root_path.clone(),
        conversations_path: settings.conversations_path.clone(),
        workspace_path: std::path::absolute(&settings.workspace_path)?,
        tools: crate::catalogue::tools(),
        runtime_idle_timeout_seconds: settings.runtime_idle_timeout,
        build_git_sha: settings.build_git_sha.clone(),
        build_git_ref: settings.build_git_ref.clone(),
        limits: limits(files),
        metrics,
        placement: gateway::config::Placement::Single,
        tenant_budget_usd: None,
    })
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

//! Where NATS is, for pods that can ask nobody for the address of a name.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use kubernetes::types::HostAlias;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::StartError;

const PATIENCE: Duration = Duration::from_secs(5);

/// Of the hosts of these URLs that are names.
///
/// # Errors
/// `Unavailable` while a name has no address.
pub async fn of(urls: &[String]) -> Result<Vec<HostAlias>, StartError> {
    let mut names: BTreeMap<IpAddr, Vec<String>> = BTreeMap::new();
    for (host, port) in urls.iter().filter_map(|url| host_of(url)) {
        if host.parse::<IpAddr>().is_ok() {
            continue;
        }
        let found = timeout(PATIENCE, lookup_host((host, port))).await;
        let unknown =
            |why: String| StartError::Unavailable(format!("the address of {host} is not known: {why}"));
        let found = found.map_err(|_| unknown("no answer".to_owned()))?;
        for address in found.map_err(|error| unknown(error.to_string()))? {
            let of_address = names.entry(address.ip()).or_default();
            if !of_address.iter().any(|name| name == host) {
                of_address.push(host.to_owned());
            }
        }
    }
    let alias = |(ip, names): (IpAddr, _)| HostAlias { ip: ip.to_string(), hostnames: Some(names) };
    Ok(names.into_iter().map(alias).collect())
}

/// `None`: no address of the network.
fn host_of(url: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    if scheme == "unix" {
        return None;
    }
    let authority = rest.split('/').next().unwrap_or(rest);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 4222),
    };
    Some((host.trim_start_matches('[').trim_end_matches(']'), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_which_host_and_port() {
        assert_eq!(host_of("tls://nats.manyhands.svc:4222"), Some(("nats.manyhands.svc", 4222)));
        assert_eq!(host_of("nats://nats"), Some(("nats", 4222)));
        assert_eq!(host_of("nats://[::1]:4223"), Some(("::1", 4223)));
        assert_eq!(host_of("nats://[::1]"), Some(("::1", 4222)));
        assert_eq!(host_of("unix:///door/nats.sock"), None);
    }

    #[tokio::test]
    async fn a_pod_is_told_the_addresses_of_names_and_needs_none_of_addresses() {
        let urls =
            ["nats://localhost:4222", "nats://localhost:4223", "nats://127.0.0.1:1"].map(str::to_owned);
        let hosts = of(&urls).await.unwrap();
        assert!(!hosts.is_empty());
        assert!(
            hosts.iter().all(|host| host.hostnames.as_deref() == Some(&["localhost".to_owned()])),
            "{hosts:?}"
        );
        let nowhere = of(&["nats://nowhere.invalid:4222".to_owned()]).await;
        assert!(matches!(nowhere, Err(StartError::Unavailable(_))));
    }
}

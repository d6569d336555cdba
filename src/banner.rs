//! What the server says on standard output once it takes requests.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use embedded::Fsync;
use secrecy::{ExposeSecret, SecretString};

use crate::settings::Settings;

pub fn print(address: SocketAddr, settings: &Settings) {
    of_gateway(address, settings);
    println!("  data   {}", data(settings));
}

/// What a cluster's gateway says, which keeps nothing itself.
pub fn of_gateway(address: SocketAddr, settings: &Settings) {
    println!("Manyhands {} is ready", env!("CARGO_PKG_VERSION"));
    println!("  url    http://{address}");
    println!("  docs   http://{address}/docs");
    println!("  keys   {}", keys(settings));
}

/// Where the page opens with the session key, once.
pub fn link(address: SocketAddr, settings: &Settings, ticket: &SecretString) {
    let ip = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let (here, path) = (SocketAddr::new(ip, address.port()), &settings.site.root_path);
    println!("  open   http://{here}{path}/#ticket={}", ticket.expose_secret());
}

/// What a server says that waits for its settings.
pub fn of_waiting(address: SocketAddr) {
    println!("Manyhands {} waits for its settings (POST /api/init)", env!("CARGO_PKG_VERSION"));
    println!("  url    http://{address}");
}

fn keys(settings: &Settings) -> String {
    let tokens = if settings.site.bearer.is_some() { ", bearer tokens" } else { "" };
    match settings.session_api_keys.len() {
        0 if settings.is_open() => {
            "off: whoever reaches this address may use it (set OH_SESSION_API_KEYS_0 to change that)"
                .to_owned()
        }
        1 => format!("on: 1 session key{tokens}"),
        n => format!("on: {n} session keys{tokens}"),
    }
}

fn data(settings: &Settings) -> String {
    let place = settings.conversations_path.parent().unwrap_or(&settings.conversations_path);
    let place = std::path::absolute(place).unwrap_or_else(|_| place.to_owned());
    let durability = match settings.fsync {
        Fsync::Always => "on the disk before it is acknowledged",
        Fsync::Interval => "on the disk within 50 ms of being acknowledged",
    };
    format!("{} ({durability})", place.display())
}

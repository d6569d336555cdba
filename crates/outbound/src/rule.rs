//! Which addresses are called.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// Whether addresses are called that only this machine or its own network can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Private {
    #[default]
    Allowed,
    Refused,
}

/// Why an address is not called. It does not say which: a URL may hold a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("is not an http or https URL")]
    Scheme,
    #[error(
        "leads to a private address, which is called only where OH_PRIVATE_ADDRESSES is `allow` or OH_PRIVATE_HOSTS names it"
    )]
    Private,
    #[error("leads to an address at which a cloud describes its machines, which is never called")]
    Metadata,
}

/// Outside of the link-local networks: of Alibaba, of Azure and of Oracle.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
/// How the networks begin in which AWS, Google, Oracle and Scaleway have theirs.
const METADATA_V6: [[u16; 2]; 4] = [[0xfd00, 0xec2], [0xfd20, 0xce], [0xfd00, 0xc1], [0xfd00, 0x42]];

impl Private {
    /// Whether `url` may be called, as far as it says itself. Names are looked at when they are connected to.
    ///
    /// # Errors
    /// Where it may not.
    pub fn check(self, url: &Url) -> Result<(), Refused> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refused::Scheme);
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host.parse().map_or(Ok(()), |address| self.check_address(address))
    }

    pub(crate) fn check_address(self, address: IpAddr) -> Result<(), Refused> {
        if is_metadata(address) {
            return Err(Refused::Metadata);
        }
        if self == Self::Refused && !is_public(address) {
            return Err(Refused::Private);
        }
        Ok(())
    }
}

fn is_metadata(address: IpAddr) -> bool {
    let is_metadata_v4 = |address: Ipv4Addr| address.is_link_local() || METADATA_V4.contains(&address);
    match address {
        IpAddr::V4(address) => is_metadata_v4(address),
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            let is_own = address.is_unicast_link_local() || METADATA_V6.contains(&[first, second]);
            is_own
                || inside(address).is_some_and(is_metadata_v4)
                || translated_locally(address).into_iter().flatten().any(is_metadata_v4)
        }
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    let is_for_protocols = (first, second, third) == (192, 0, 0);
    let is_for_benchmarks = first == 198 && (18..20).contains(&second);
    !(first == 0
        || first >= 224
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || is_shared
        || is_for_protocols
        || is_for_benchmarks)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inside) = inside(address) {
        return is_public_v4(inside);
    }
    // 2000::/3 is all that was ever given out.
    let [first, ..] = address.segments();
    first & 0xe000 == 0x2000
}

/// The older address that a newer one leads to: written into it, by 6to4, or by NAT64.
fn inside(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let translated = || match address.segments() {
        [0x2002, high, low, ..] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        }
        _ => None,
    };
    address.to_ipv4().or_else(translated)
}

/// What an address of `64:ff9b:1::/48` may lead to, whose parts each network translates as it likes: by its prefix of 48, 56, 64
/// or 96 bits (RFC 6052).
fn translated_locally(address: Ipv6Addr) -> Option<[Ipv4Addr; 4]> {
    match address.octets() {
        [0, 0x64, 0xff, 0x9b, 0, 1, a, b, _, c, d, e, f, w, x, y] => Some([
            Ipv4Addr::new(a, b, c, d),
            Ipv4Addr::new(b, c, d, e),
            Ipv4Addr::new(c, d, e, f),
            Ipv4Addr::new(f, w, x, y),
        ]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(private: Private, host: &str) -> Result<(), Refused> {
        private.check(&Url::parse(&format!("http://{host}/v1")).unwrap())
    }

    #[test]
    fn what_only_the_own_network_reaches_is_private_however_it_is_written() {
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "2130706433",
            "0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::ffff:10.0.0.1]",
            "[fd00::1]",
            "[fd00:43::42]",
            "[64:ff9b:1::a00:1]",
            "[ff02::1]",
            "[2002:a00:1::1]",
        ] {
            assert_eq!(check(Private::Refused, host), Err(Refused::Private), "{host}");
            assert_eq!(check(Private::Allowed, host), Ok(()), "{host}");
        }
        for host in [
            "1.1.1.1",
            "100.128.0.1",
            "172.32.0.1",
            "[2606:4700::1111]",
            "[64:ff9b::101:101]",
            "models.example",
        ] {
            assert_eq!(check(Private::Refused, host), Ok(()), "{host}");
        }
    }

    #[test]
    fn addresses_of_metadata_are_never_called() {
        for host in [
            "169.254.169.254",
            "0xa9fea9fe",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[fd00:ec2::23]",
            "[fd20:ce::254]",
            "[fd00:c1::a9fe:a9fe]",
            "[fd00:42::42]",
            "[64:ff9b:1::a9fe:a9fe]",
            "[64:ff9b:1:a9fe:a9:fe00::]",
            "[64:ff9b:1:a9:fe:a9fe::]",
            "[64:ff9b:1:0:a9:fea9:fe00:0]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::1]",
        ] {
            assert_eq!(check(Private::Allowed, host), Err(Refused::Metadata), "{host}");
            assert_eq!(check(Private::Refused, host), Err(Refused::Metadata), "{host}");
        }
    }

    #[test]
    fn only_http_is_spoken() {
        for url in ["file:///etc/passwd", "ftp://models.example/", "data:,x"] {
            assert_eq!(Private::Allowed.check(&Url::parse(url).unwrap()), Err(Refused::Scheme), "{url}");
        }
    }
}

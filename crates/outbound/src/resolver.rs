//! Resolves names to those of their addresses that may be called, in the moment they are connected to. A name that leads to
//! where a cloud describes its machines is called at no address: nobody has it do so by mistake.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::rule::{Private, Refused};

pub(crate) struct Resolver(pub Private);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = allowed(private, found)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// # Errors
/// Why none of them is called.
fn allowed(private: Private, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
    let (mut allowed, mut refused) = (Vec::new(), None);
    for address in found {
        match private.check_address(address.ip()) {
            Ok(()) => allowed.push(address),
            // Machines of the own network have one of these, too, which leads nowhere without its interface.
            Err(why) if is_link_local_v6(address.ip()) => refused = refused.or(Some(why)),
            Err(Refused::Metadata) => return Err(Refused::Metadata),
            Err(why) => refused = Some(why),
        }
    }
    match refused {
        Some(why) if allowed.is_empty() => Err(why),
        _ => Ok(allowed),
    }
}

fn is_link_local_v6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_those_of_its_addresses_that_may_be_called() {
        let (public, private) = (at("1.1.1.1"), at("10.0.0.1"));
        let both = || [public, private].into_iter();
        assert_eq!(allowed(Private::Refused, both()), Ok(vec![public]));
        assert_eq!(allowed(Private::Allowed, both()), Ok(vec![public, private]));
        assert_eq!(allowed(Private::Refused, [private].into_iter()), Err(Refused::Private));
    }

    #[test]
    fn a_name_that_also_leads_to_metadata_is_not_called() {
        for private in [Private::Refused, Private::Allowed] {
            for found in [["1.1.1.1", "169.254.169.254"], ["169.254.169.254", "10.0.0.1"]] {
                let found = found.map(at);
                assert_eq!(allowed(private, found.into_iter()), Err(Refused::Metadata), "{found:?}");
            }
        }
    }

    #[test]
    fn a_name_of_the_own_network_is_called_at_its_other_address() {
        let own = || [at("fe80::1"), at("192.168.1.5")].into_iter();
        assert_eq!(allowed(Private::Allowed, own()), Ok(vec![at("192.168.1.5")]));
        assert_eq!(allowed(Private::Allowed, [at("fe80::1")].into_iter()), Err(Refused::Metadata));
    }

    fn at(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 0)
    }
}

//! The rule of addresses, however an address is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use reqwest::Url;

use crate::rule::Private;

/// The forms of version 6 in which an address of version 4 is reached.
fn forms(address: Ipv4Addr) -> [Ipv6Addr; 4] {
    let [a, b, c, d] = address.octets().map(u16::from);
    let (high, low) = (a << 8 | b, c << 8 | d);
    [
        Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
        Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
    ]
}

fn near_the_bounds() -> impl Strategy<Value = Ipv4Addr> {
    let first = prop::sample::select(&[0_u8, 10, 100, 127, 168, 169, 172, 192, 198, 203, 224, 255][..]);
    prop_oneof![
        any::<u32>().prop_map(Ipv4Addr::from),
        (first, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d)),
    ]
}

proptest! {
    #[test]
    fn what_is_not_called_is_not_called_in_another_form_either(address in near_the_bounds()) {
        for rule in [Private::Allowed, Private::Refused] {
            if rule.check_address(IpAddr::V4(address)).is_err() {
                for form in forms(address) {
                    prop_assert!(rule.check_address(IpAddr::V6(form)).is_err(), "{address} as {form}");
                }
            }
        }
    }

    #[test]
    fn the_writing_of_a_number_makes_no_difference(address in near_the_bounds()) {
        let plain = Private::Refused.check(&Url::parse(&format!("http://{address}/")).unwrap());
        let number = u32::from(address);
        let [a, b, c, d] = address.octets();
        for host in [
            format!("{number}"),
            format!("{number:#x}"),
            format!("{a:#o}.{b}.{c}.{d}").replace("0o", "0"),
            format!("{a}.{}", number & 0x00ff_ffff),
            format!("%{:02x}{}", b'0' + a / 100 % 10, &format!("{a:03}.{b}.{c}.{d}")[1..]),
        ] {
            // What the parser takes for a name is looked at when it is resolved.
            let Ok(url) = Url::parse(&format!("http://{host}/")) else { continue };
            if url.host_str().is_some_and(|host| host == address.to_string()) {
                prop_assert_eq!(Private::Refused.check(&url), plain, "{}", host);
            }
        }
    }

    #[test]
    fn any_text_is_a_url_that_may_be_called_or_is_refused(text in any::<String>(), rest in "[a-z0-9.:@/\\[\\]%]{0,40}") {
        for text in [text, format!("http://{rest}")] {
            if let Ok(url) = Url::parse(&text) {
                let _ = Private::Refused.check(&url);
            }
        }
    }
}

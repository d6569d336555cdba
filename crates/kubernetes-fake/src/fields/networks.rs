//! What network policies say of addresses.

use std::net::IpAddr;

use serde_json::Value;

use crate::status::Cause;
use crate::value::Look;

/// An address and how many bits of it count.
fn parse(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (IpAddr, u32) = (address.parse().ok()?, bits.parse().ok()?);
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some((address, bits))
}

/// Go takes IPv6 addresses that stand for IPv4 ones for these.
fn number(address: IpAddr) -> (bool, u128) {
    match address.to_canonical() {
        IpAddr::V4(address) => (true, u128::from(address.to_bits()) << 96),
        IpAddr::V6(address) => (false, address.to_bits()),
    }
}

fn is_strictly_within((inner, inner_bits): (IpAddr, u32), (outer, bits): (IpAddr, u32)) -> bool {
    let ((inner_is_v4, inner), (outer_is_v4, outer)) = (number(inner), number(outer));
    let mask = if bits == 0 { 0 } else { u128::MAX << (128 - bits) };
    inner_is_v4 == outer_is_v4 && inner & mask == outer & mask && inner_bits > bits
}

pub fn check(policy: &Value, causes: &mut Vec<Cause>) {
    for (list, side) in [("ingress", "from"), ("egress", "to")] {
        for (at, rule) in policy.list(&format!("/spec/{list}")).iter().enumerate() {
            for (peer_at, peer) in rule.list(&format!("/{side}")).iter().enumerate() {
                let path = format!("spec.{list}[{at}].{side}[{peer_at}].ipBlock");
                block(&path, &peer["ipBlock"], causes);
            }
        }
    }
}

fn block(path: &str, block: &Value, causes: &mut Vec<Cause>) {
    if block.is_null() {
        return;
    }
    let Some(cidr) = parse(block.text("/cidr")) else {
        let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        return causes.push(Cause::invalid(format!("{path}.cidr"), &block["cidr"], why));
    };
    for (at, except) in block.list("/except").iter().enumerate() {
        let inner = except.as_str().and_then(parse);
        if !inner.is_some_and(|inner| is_strictly_within(inner, cidr)) {
            let why = "must be a strict subset of `cidr`";
            causes.push(Cause::invalid(format!("{path}.except[{at}]"), except, why));
        }
    }
}

#[test]
fn what_is_left_out_must_be_a_part() {
    let within = |inner, outer| is_strictly_within(parse(inner).unwrap(), parse(outer).unwrap());
    assert!(
        within("10.1.0.0/16", "10.0.0.0/8") && within("10.0.0.0/8", "0.0.0.0/0") && within("::/96", "::/0")
    );
    assert!(!within("10.0.0.0/8", "10.0.0.0/8") && !within("11.0.0.0/16", "10.0.0.0/8"));
    assert!(!within("::ffff:0:0/96", "::/0"), "it counts as IPv4");
}

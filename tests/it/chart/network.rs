//! Evaluates network policies as Kubernetes describes them: who reaches whom. What no policy selects is open; what one selects is
//! closed, but for what a rule of any allows; and both ends must allow it.

use std::net::IpAddr;

use serde_json::Value;

use super::{items, text};

/// Somebody who calls or is called.
#[derive(Clone, Debug)]
pub struct End {
    pub name: &'static str,
    pub address: IpAddr,
    /// Of what is no pod of this cluster there is none.
    pub pod: Option<Labelled>,
}

#[derive(Clone, Debug)]
pub struct Labelled {
    pub namespace: String,
    /// An object of labels.
    pub labels: Value,
    /// The numbers of ports by their names.
    pub ports: Vec<(String, u64)>,
}

#[derive(Clone, Copy)]
pub enum Way {
    In,
    Out,
}

impl Way {
    fn names(self) -> [&'static str; 3] {
        match self {
            Self::In => ["Ingress", "ingress", "from"],
            Self::Out => ["Egress", "egress", "to"],
        }
    }
}

/// Whether `from` gets through to `to`.
pub fn reaches(policies: &[&Value], from: &End, to: &End, protocol: &str, port: u64) -> bool {
    let call = Call { protocol, port, to };
    allows(policies, Way::Out, from, to, &call) && allows(policies, Way::In, to, from, &call)
}

struct Call<'a> {
    protocol: &'a str,
    port: u64,
    to: &'a End,
}

fn allows(policies: &[&Value], way: Way, own: &End, peer: &End, call: &Call<'_>) -> bool {
    let Some(pod) = &own.pod else { return true };
    let [kind, rules, peers] = way.names();
    let selecting = policies.iter().filter(|policy| {
        let spec = &policy["spec"];
        policy["metadata"]["namespace"] == pod.namespace
            && items(&spec["policyTypes"]).any(|one| one == kind)
            && selects(&spec["podSelector"], &pod.labels)
    });
    let mut selecting = selecting.peekable();
    if selecting.peek().is_none() {
        return true;
    }
    let of = |policy: &Value| text(&policy["metadata"]["namespace"]).to_owned();
    selecting.any(|policy| {
        items(&policy["spec"][rules])
            .any(|rule| is_peer(&rule[peers], peer, &of(policy)) && is_port(&rule["ports"], call))
    })
}

/// No list, or an empty one, is everybody.
fn is_peer(peers: &Value, peer: &End, namespace: &str) -> bool {
    let mut peers = items(peers).peekable();
    peers.peek().is_none() || peers.any(|one| is_one(one, peer, namespace))
}

fn is_one(one: &Value, peer: &End, namespace: &str) -> bool {
    if let Some(block) = one.get("ipBlock") {
        let holds = |cidr: &Value| holds(text(cidr), peer.address);
        return holds(&block["cidr"]) && !items(&block["except"]).any(holds);
    }
    let Some(pod) = &peer.pod else { return false };
    let of_namespace = serde_json::json!({"kubernetes.io/metadata.name": pod.namespace});
    let is_there = match one.get("namespaceSelector") {
        Some(selector) => selects(selector, &of_namespace),
        None => pod.namespace == namespace,
    };
    is_there && one.get("podSelector").is_none_or(|selector| selects(selector, &pod.labels))
}

fn is_port(ports: &Value, call: &Call<'_>) -> bool {
    let mut ports = items(ports).peekable();
    ports.peek().is_none()
        || ports.any(|one| {
            let protocol = one.get("protocol").map_or("TCP", text);
            let named = |name: &str| {
                let ports = call.to.pod.iter().flat_map(|pod| &pod.ports);
                ports.into_iter().find(|(known, _)| known == name).map(|(_, number)| *number)
            };
            let first = one["port"].as_u64().or_else(|| named(text(&one["port"])));
            let last = one["endPort"].as_u64().or(first);
            let is_any = one.get("port").is_none();
            protocol == call.protocol
                && (is_any
                    || first.zip(last).is_some_and(|(first, last)| (first..=last).contains(&call.port)))
        })
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let has = |key: &str, value: &Value| labels.get(key) == Some(value);
    let by_labels = selector["matchLabels"].as_object();
    let by_labels = by_labels.is_none_or(|wanted| wanted.iter().all(|(key, value)| has(key, value)));
    let by_expressions = items(&selector["matchExpressions"]).all(|one| {
        let label = labels.get(text(&one["key"]));
        let is_in = || label.is_some_and(|label| items(&one["values"]).any(|value| value == label));
        match text(&one["operator"]) {
            "In" => is_in(),
            "NotIn" => !is_in(),
            "Exists" => label.is_some(),
            "DoesNotExist" => label.is_none(),
            other => panic!("no such operator: {other}"),
        }
    });
    by_labels && by_expressions
}

/// Whether the network has the address.
fn holds(cidr: &str, address: IpAddr) -> bool {
    let (network, length) = cidr.split_once('/').unwrap();
    let (network, length): (IpAddr, u32) = (network.parse().unwrap(), length.parse().unwrap());
    // One of version 4 that is written as one of version 6 goes over version 4 all the same.
    let address = address.to_canonical();
    let same = |one: u128, other: u128, bits: u32| length == 0 || (one ^ other) >> (bits - length) == 0;
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            same(u32::from(network).into(), u32::from(address).into(), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => same(network.into(), address.into(), 128),
        _ => false,
    }
}

#[test]
fn policies_are_read_as_kubernetes_describes_them() {
    let end = |name, namespace: &str, labels: Value, address: &str| End {
        name,
        address: address.parse().unwrap(),
        pod: Some(Labelled { namespace: namespace.to_owned(), labels, ports: vec![("web".to_owned(), 80)] }),
    };
    let one = end("one", "a", serde_json::json!({"app": "one"}), "10.0.0.1");
    let other = end("other", "b", serde_json::json!({"app": "other"}), "10.0.0.2");
    let outside = End { name: "outside", address: "1.1.1.1".parse().unwrap(), pod: None };
    assert!(reaches(&[], &one, &other, "TCP", 1), "what nothing selects is open");
    let policy = |namespace: &str, spec: Value| serde_json::json!({"metadata": {"namespace": namespace}, "spec": spec});
    let closed = policy("a", serde_json::json!({"podSelector": {}, "policyTypes": ["Egress"]}));
    assert!(!reaches(&[&closed], &one, &other, "TCP", 1) && reaches(&[&closed], &other, &one, "TCP", 1));
    let rules = |peer: Value| {
        let rule =
            serde_json::json!([{"to": [peer], "ports": [{"port": "web"}, {"port": 90, "endPort": 92}]}]);
        policy(
            "a",
            serde_json::json!({"podSelector": {"matchLabels": {"app": "one"}}, "policyTypes": ["Egress"], "egress": rule}),
        )
    };
    let here = rules(serde_json::json!({"podSelector": {}}));
    assert!(!reaches(&[&closed, &here], &one, &other, "TCP", 80), "of the own namespace alone");
    let there = rules(
        serde_json::json!({"namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["b"]}]}}),
    );
    let both = [&closed, &there];
    assert!(reaches(&both, &one, &other, "TCP", 80) && reaches(&both, &one, &other, "TCP", 91));
    assert!(!reaches(&both, &one, &other, "UDP", 80) && !reaches(&both, &one, &other, "TCP", 93));
    let block = rules(serde_json::json!({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["1.0.0.0/8"]}}));
    assert!(reaches(&[&block], &one, &other, "TCP", 80) && !reaches(&[&block], &one, &outside, "TCP", 80));
    let inward =
        policy("b", serde_json::json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}));
    assert!(reaches(&[&inward, &there], &one, &other, "TCP", 80), "an empty rule is everybody");
}

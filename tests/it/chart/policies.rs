//! Who reaches whom by the chart's network policies, as a whole: nothing beside what stands here.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::network::{End, Labelled, reaches};
use super::{Objects, Tools, items, text};

/// Of all parts, of names, of the API server, of the web, of ssh.
const PORTS: [(&str, u64); 13] = [
    ("TCP", 22),
    ("UDP", 53),
    ("TCP", 53),
    ("TCP", 80),
    ("TCP", 443),
    ("TCP", 4222),
    ("TCP", 4318),
    ("TCP", 6222),
    ("TCP", 6443),
    ("TCP", 8000),
    ("TCP", 8222),
    ("TCP", 9100),
    ("TCP", 9464),
];

/// The pods of the chart, by their own labels.
fn parts(objects: &Objects) -> Vec<End> {
    let names = ["gateway", "supervisor", "nats", "init", "test"];
    let address = |number: usize| format!("10.244.1.{}", number + 1).parse().unwrap();
    let end = |(number, name): (usize, &'static str)| {
        let pod = objects.pod(name);
        let declared = pod.containers().flat_map(|container| items(&container["ports"]));
        let ports = declared
            .filter_map(|port| Some((text(&port["name"]).to_owned(), port["containerPort"].as_u64()?)));
        let namespace = text(pod.namespace).to_owned();
        let pod = Labelled { namespace, labels: pod.labels.clone(), ports: ports.collect() };
        End { name, address: address(number), pod: Some(pod) }
    };
    names.into_iter().enumerate().map(end).collect()
}

/// A sandbox as the supervisor makes it.
fn worker(objects: &Objects) -> End {
    let supervisor = objects.pod("supervisor");
    let variables: Vec<_> = supervisor.containers().flat_map(|container| items(&container["env"])).collect();
    let variable = |name: &str| {
        let found = variables.iter().find(|one| one["name"] == name);
        text(&found.unwrap()["value"]).to_owned()
    };
    let labels = json!({
        "app.kubernetes.io/name": "manyhands",
        "app.kubernetes.io/component": "worker",
        "app.kubernetes.io/managed-by": "manyhands-supervisor",
        "manyhands.io/cluster": variable("OH_CLUSTER"),
        "manyhands.io/sandbox": "aaaaaaaaaaaaaaaaaaaa",
    });
    pod("worker", &variable("OH_KUBERNETES_NAMESPACE"), labels, "10.244.2.1")
}

fn pod(name: &'static str, namespace: &str, labels: Value, address: &str) -> End {
    let pod = Labelled { namespace: namespace.to_owned(), labels, ports: Vec::new() };
    End { name, address: address.parse().unwrap(), pod: Some(pod) }
}

fn outside(name: &'static str, address: &str) -> End {
    End { name, address: address.parse().unwrap(), pod: None }
}

fn others() -> Vec<End> {
    let instance = json!({"app.kubernetes.io/name": "manyhands", "app.kubernetes.io/component": "gateway", "app.kubernetes.io/instance": "other"});
    vec![
        pod("neighbour", "agents", json!({"app": "neighbour"}), "10.244.3.1"),
        pod("other release", "agents", instance, "10.244.3.2"),
        pod("ingress", "gateways", json!({"app": "envoy"}), "10.244.3.3"),
        pod("prometheus", "monitoring", json!({"app": "prometheus"}), "10.244.3.4"),
        pod("collector", "telemetry", json!({"app": "collector"}), "10.244.3.5"),
        pod("dns", "kube-system", json!({"k8s-app": "kube-dns"}), "10.244.3.6"),
        pod("model", "models", json!({"app": "vllm"}), "10.244.3.7"),
        outside("api server", "10.96.0.1"),
        outside("metadata", "169.254.169.254"),
        outside("metadata of version 6", "fd00:ec2::254"),
        outside("metadata, mapped", "::ffff:169.254.169.254"),
        outside("web", "1.1.1.1"),
        outside("web of version 6", "2606:4700::1111"),
    ]
}

/// All that is reached by a part or of a part, as `one -> other port port`. What strangers do among themselves is none of ours.
fn reached(objects: &Objects) -> BTreeSet<String> {
    let policies: Vec<_> = objects.of("NetworkPolicy").collect();
    let mut ours = parts(objects);
    ours.push(worker(objects));
    let all: Vec<End> = ours.iter().cloned().chain(others()).collect();
    let mut found = BTreeSet::new();
    for (number, from) in all.iter().enumerate() {
        for (other, to) in all.iter().enumerate() {
            let is_ours = number < ours.len() || other < ours.len();
            let open = PORTS
                .iter()
                .filter(|(protocol, port)| is_ours && reaches(&policies, from, to, protocol, *port));
            let open: Vec<_> = open
                .map(
                    |(protocol, port)| {
                        if *protocol == "UDP" { format!("{port}/udp") } else { port.to_string() }
                    },
                )
                .collect();
            if !open.is_empty() {
                found.insert(format!("{} -> {} {}", from.name, to.name, open.join(" ")));
            }
        }
    }
    found
}

fn lines(texts: &[&str]) -> BTreeSet<String> {
    texts
        .iter()
        .flat_map(|text| text.lines())
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

const DNS: &str = "
    gateway -> dns 53/udp 53
    init -> dns 53/udp 53
    nats -> dns 53/udp 53
    supervisor -> dns 53/udp 53
    test -> dns 53/udp 53";
const PARTS: &str = "
    gateway -> nats 4222
    gateway -> test 9100
    gateway -> web 443
    gateway -> web of version 6 443
    init -> nats 4222
    nats -> nats 6222
    supervisor -> nats 4222
    test -> gateway 8000
    worker -> nats 4222";

#[test]
fn the_parts_reach_what_they_need_and_nothing_else_does() {
    let Some(tools) = Tools::find() else { return };
    let narrowed = tools.render("default", &["--set", "networkPolicy.kubernetesApi.cidrs={10.96.0.1/32}"]);
    let wanted = lines(&[DNS, PARTS, "supervisor -> api server 443 6443", "init -> api server 443 6443"]);
    assert_eq!(reached(&narrowed), wanted);
}

#[test]
fn whoever_does_not_say_where_the_api_server_is_opens_its_ports_to_the_supervisor_alone() {
    let Some(tools) = Tools::find() else { return };
    let narrowed = tools.render("default", &["--set", "networkPolicy.kubernetesApi.cidrs={10.96.0.1/32}"]);
    let more: Vec<_> =
        reached(&tools.render("default", &[])).difference(&reached(&narrowed)).cloned().collect();
    assert!(!more.is_empty());
    for line in more {
        assert!(line.starts_with("supervisor -> ") || line.starts_with("init -> "), "{line}");
        assert!(line.ends_with(" 443 6443") || line.ends_with(" 53/udp 53 443 6443"), "{line}");
    }
}

#[test]
fn in_production_the_ingress_the_collectors_and_a_model_are_let_through() {
    let Some(tools) = Tools::find() else { return };
    let more = "
        supervisor -> api server 443 6443
        init -> api server 443 6443
        ingress -> gateway 8000
        prometheus -> gateway 9464
        prometheus -> supervisor 9464
        gateway -> collector 4318
        supervisor -> collector 4318
        gateway -> model 8000";
    assert_eq!(reached(&tools.render("production", &[])), lines(&[DNS, PARTS, more]));
}

#[test]
fn a_sandbox_reaches_nats_and_nothing_else_whatever_the_values_are() {
    let Some(tools) = Tools::find() else { return };
    for set in ["default", "small", "production", "gvisor"] {
        for apart in [false, true] {
            let own: &[&str] = if apart { &["--set", "sandboxes.namespace.name=elsewhere"] } else { &[] };
            let objects = tools.render(set, own);
            let found = reached(&objects);
            let of_workers: Vec<_> = found.iter().filter(|line| line.contains("worker")).collect();
            assert_eq!(of_workers, ["worker -> nats 4222"], "{set}");
        }
    }
}

#[test]
fn without_the_policies_everybody_reaches_everybody() {
    let Some(tools) = Tools::find() else { return };
    let found = reached(&tools.render("default", &["--set", "networkPolicy.enabled=false"]));
    assert!(
        found.iter().any(|line| line.starts_with("worker -> metadata 22")),
        "the evaluation sees what is open"
    );
}

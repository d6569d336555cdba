//! The chart, rendered as users render it, by two releases of helm: what it refuses, and what the objects are that it makes. No cluster
//! is asked. `tests/kubernetes/environment.sh` has the tools.

mod admission;
#[cfg(feature = "kubernetes")]
mod keys;
mod lint;
#[cfg(feature = "cluster")]
mod nats;
mod network;
mod policies;
mod refusals;
mod restricted;
mod rights;
mod schemas;
mod settings;
mod snapshot;
mod upgrade;
mod values;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use testing::may_skip;

const CHART: &str = "charts/manyhands";
const RELEASE: &str = "mh";
const NAMESPACE: &str = "agents";
/// The files of `ci/`, and what a user gets who gives none.
const SETS: [&str; 5] = ["default", "small", "production", "gvisor", "adversarial"];

/// YAML as JSON.
const READ: &str =
    "import json, sys, yaml; json.dump([one for one in yaml.safe_load_all(sys.stdin) if one], sys.stdout)";

/// What renders and checks.
struct Tools(BTreeMap<String, String>);

impl Tools {
    /// `None` where they cannot be had, and that may be.
    fn find() -> Option<Self> {
        let asked = Command::new("tests/kubernetes/environment.sh").arg("tools").output().unwrap();
        let (told, why) = (String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr));
        if !asked.status.success() {
            may_skip("the chart", &why);
            return None;
        }
        let pairs = told.lines().filter_map(|line| line.split_once('='));
        Some(Self(pairs.map(|(name, path)| (name.to_owned(), path.to_owned())).collect()))
    }

    fn command(&self, name: &str) -> Command {
        Command::new(&self.0[name])
    }

    fn helm(&self, arguments: &[&str]) -> Output {
        self.command("HELM").args(arguments).output().unwrap()
    }

    /// The text that helm makes of the chart, of a set of values and of others.
    fn text(&self, set: &str, more: &[&str]) -> String {
        told(
            self.helm(
                &[&template(set)[..], &as_texts(more)[..]]
                    .concat()
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>(),
            ),
        )
    }

    fn render(&self, set: &str, more: &[&str]) -> Objects {
        Objects(self.read(&self.text(set, more)))
    }

    /// The documents of a text of YAML.
    fn read(&self, yaml: &str) -> Vec<Value> {
        let mut python = self.command("PYTHON");
        python.args(["-c", READ]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = python.spawn().unwrap();
        process.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{yaml}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn read_file(&self, path: &str) -> Value {
        self.read(&std::fs::read_to_string(path).unwrap()).remove(0)
    }
}

fn as_texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn template(set: &str) -> Vec<String> {
    let mut words = as_texts(&["template", RELEASE, CHART, "--namespace", NAMESPACE]);
    words.extend(files_of(set));
    words
}

fn files_of(set: &str) -> Vec<String> {
    match set {
        "default" => Vec::new(),
        _ => vec!["--values".to_owned(), format!("{CHART}/ci/{set}-values.yaml")],
    }
}

fn told(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a rendering consists of.
struct Objects(Vec<Value>);

impl Objects {
    fn of(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    fn get(&self, kind: &str, name: &str) -> &Value {
        let found = self.of(kind).find(|object| object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
    }

    /// The name of each object that makes pods, their metadata and their spec.
    fn pods(&self) -> Vec<Pod<'_>> {
        self.0.iter().filter_map(Pod::of).collect()
    }

    fn pod(&self, component: &str) -> Pod<'_> {
        let is_it = |pod: &Pod<'_>| pod.labels["app.kubernetes.io/component"] == component;
        self.pods().into_iter().find(is_it).unwrap_or_else(|| panic!("no pods of {component}"))
    }
}

#[derive(Clone)]
struct Pod<'a> {
    name: String,
    namespace: &'a Value,
    labels: &'a Value,
    spec: &'a Value,
    /// The pod, or the template of one.
    whole: &'a Value,
}

impl<'a> Pod<'a> {
    fn of(object: &'a Value) -> Option<Self> {
        let pod = if object["kind"] == "Pod" { object } else { &object["spec"]["template"] };
        let spec = pod.get("spec").filter(|spec| spec["containers"].is_array())?;
        let name = format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]));
        let labels = &pod["metadata"]["labels"];
        Some(Self { name, namespace: &object["metadata"]["namespace"], labels, spec, whole: pod })
    }

    fn containers(&self) -> impl Iterator<Item = &'a Value> {
        let kinds = ["initContainers", "containers", "ephemeralContainers"];
        let spec = self.spec;
        kinds.into_iter().flat_map(move |kind| items(&spec[kind]))
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

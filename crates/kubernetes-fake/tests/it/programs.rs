//! kubectl and helm take the server for a real one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use manyhands_kubernetes_fake::{Look, Server};
use serde_json::json;
use testing::{may_skip, until};
use tokio::io::AsyncReadExt;

use crate::client::{NAMESPACE, pod};

struct Programs {
    folder: tempfile::TempDir,
    helm: Vec<PathBuf>,
    kubectl: PathBuf,
}

impl Programs {
    /// Those that `environment.sh` has, for a server of their own.
    fn of(server: &Server) -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/kubernetes/environment.sh");
        let output = Command::new(script).arg("tools").output().unwrap();
        if !output.status.success() {
            may_skip("kubectl and helm as clients of the stand-in", &String::from_utf8_lossy(&output.stderr));
            return None;
        }
        let said = String::from_utf8(output.stdout).unwrap();
        let path = |name: &str| PathBuf::from(said.lines().find_map(|line| line.strip_prefix(name)).unwrap());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config"), server.kubeconfig(None, NAMESPACE)).unwrap();
        Some(Self { folder, helm: vec![path("HELM="), path("HELM_3=")], kubectl: path("KUBECTL=") })
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    async fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).env("KUBECONFIG", self.folder.path().join("config"));
        command.env("HOME", self.folder.path()).kill_on_drop(true).stdin(std::process::Stdio::null());
        command.output().await.unwrap()
    }

    async fn kubectl(&self, arguments: &[&str]) -> String {
        said(&self.run(&self.kubectl, arguments).await)
    }
}

fn said(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_applies_reads_attaches_and_deletes() {
    let server = Server::start().await;
    server.namespace(NAMESPACE, json!({}));
    server.on_pod(async |pod| {
        pod.running();
        let mut text = String::new();
        pod.stdin().unwrap().read_to_string(&mut text).await.unwrap();
        pod.write_log(format!("read {text}"));
        pod.stopping().await;
    });
    let Some(programs) = Programs::of(&server) else { return };
    let file = programs.file("pod.json", &pod("a").to_string());
    let applied = programs.kubectl(&["apply", "--server-side", "-f", &file]).await;
    assert_eq!(applied.trim(), "pod/a serverside-applied");
    programs.kubectl(&["wait", "--for=condition=Ready", "pod/a", "--timeout=20s"]).await;
    let again = programs.run(&programs.kubectl, &["create", "-f", &file]).await;
    assert!(String::from_utf8_lossy(&again.stderr).contains("pods \"a\" already exists"));
    let phase = programs.kubectl(&["get", "pod", "a", "-o", "jsonpath={.status.phase}"]).await;
    assert_eq!(phase, "Running");

    let mut attach = tokio::process::Command::new(&programs.kubectl);
    attach.args(["attach", "-i", "a"]).env("KUBECONFIG", programs.folder.path().join("config"));
    attach.env("HOME", programs.folder.path()).stdin(std::process::Stdio::piped()).kill_on_drop(true);
    attach.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut attached = attach.spawn().unwrap();
    let mut input = attached.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut input, b"a line\n").await.unwrap();
    drop(input);
    until(async || programs.kubectl(&["logs", "a"]).await == "read a line\n").await;
    attached.kill().await.unwrap();

    assert_eq!(programs.kubectl(&["auth", "can-i", "create", "pods"]).await.trim(), "yes");
    programs.kubectl(&["label", "pod", "a", "some=label"]).await;
    programs.kubectl(&["delete", "pod", "a", "--wait", "--grace-period=5", "--timeout=20s"]).await;
    let left = programs.kubectl(&["get", "pods", "-o", "name"]).await;
    assert_eq!(left, "");
}

const CHART: &str = "apiVersion: v2\nname: x\nversion: 0.1.0\n";
const TEMPLATE: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {a: {{ .Values.a | quote }}}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: {{ .Release.Name }}}\nspec: {selector: {a: b}, ports: [{port: 80}]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn both_helms_install_upgrade_roll_back_and_uninstall() {
    let server = Server::start().await;
    server.namespace(NAMESPACE, json!({}));
    let Some(programs) = Programs::of(&server) else { return };
    programs.file("chart/values.yaml", "a: one\n");
    programs.file("chart/templates/all.yaml", TEMPLATE);
    let file = programs.file("chart/Chart.yaml", CHART);
    let chart = Path::new(&file).parent().unwrap().to_str().unwrap();
    let data = || server.object(("", "configmaps"), NAMESPACE, "r").map(|config| config["data"]["a"].clone());
    for helm in &programs.helm {
        let run = async |arguments: &[&str]| said(&programs.run(helm, arguments).await);
        run(&["install", "r", chart, "--dry-run=server"]).await;
        assert_eq!(data(), None);
        run(&["install", "r", chart, "--wait"]).await;
        assert_eq!(data(), Some(json!("one")));
        run(&["upgrade", "r", chart, "--set", "a=two"]).await;
        assert_eq!(data(), Some(json!("two")));
        run(&["rollback", "r", "1"]).await;
        assert_eq!(data(), Some(json!("one")));
        run(&["uninstall", "r", "--wait"]).await;
        assert_eq!(data(), None);
        assert_eq!(server.objects(("", "secrets"), NAMESPACE).len(), 0);
        assert_eq!(server.objects(("", "services"), NAMESPACE).len(), 0);
    }
}

/// As `init` makes them; nothing here reads them.
fn keys(server: &Server, namespace: &str) {
    for part in ["operator", "nats", "gateway", "supervisor"] {
        let files = ["credentials.json", "secret_key", "session_key", "minter.json", "auth.conf"];
        let data: serde_json::Map<String, serde_json::Value> =
            files.iter().map(|file| ((*file).to_owned(), json!("eA=="))).collect();
        server.put(("", "secrets"), namespace, &format!("r-manyhands-{part}"), json!({ "data": data }));
    }
}

/// Its policies, budgets and pods are such as a strict server takes; workloads become ready, and hooks end.
#[tokio::test(flavor = "multi_thread")]
async fn both_helms_install_our_chart_where_only_restricted_pods_may_be() {
    let server = Server::start().await;
    server.namespace(NAMESPACE, json!({ "pod-security.kubernetes.io/enforce": "restricted" }));
    server.on_pod(async |pod| {
        pod.running();
        if pod.object().list("/metadata/ownerReferences").iter().any(|owner| owner["kind"] == "Job") {
            return pod.exited(0);
        }
        pod.stopping().await;
    });
    let Some(programs) = Programs::of(&server) else { return };
    keys(&server, NAMESPACE);
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/manyhands");
    for helm in &programs.helm {
        let run = async |arguments: &[&str]| said(&programs.run(helm, arguments).await);
        run(&["install", "r", chart, "--wait", "--timeout", "60s"]).await;
        assert_eq!(server.objects(("apps", "statefulsets"), NAMESPACE)[0]["status"]["readyReplicas"], 3);
        let changed = "gateway.logLevel=debug,gateway.autoscaling.enabled=true";
        run(&["upgrade", "r", chart, "--wait", "--timeout", "60s", "--set", changed]).await;
        assert_eq!(server.objects(("autoscaling", "horizontalpodautoscalers"), NAMESPACE).len(), 1);
        run(&["uninstall", "r", "--wait", "--timeout", "60s"]).await;
        until(async || server.objects(("", "pods"), NAMESPACE).is_empty()).await;
        assert_eq!(server.objects(("", "persistentvolumeclaims"), NAMESPACE).len(), 3, "conversations stay");
        assert_eq!(server.objects(("networking.k8s.io", "networkpolicies"), NAMESPACE).len(), 0);
    }
}

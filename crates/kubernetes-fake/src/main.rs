//! The server by itself, to be tried with kubectl and helm: prints a file for `KUBECONFIG`, and serves until it is ended.
//! Pods of Jobs end well at once, all others run until they are deleted. Namespaces take what their labels say.

use manyhands_kubernetes_fake::{Look, Pod, Server};

#[tokio::main]
async fn main() {
    let server = Server::start().await;
    server.on_pod(async |pod: Pod| {
        pod.running();
        if pod.object().list("/metadata/ownerReferences").iter().any(|owner| owner["kind"] == "Job") {
            return pod.exited(0);
        }
        pod.stopping().await;
    });
    println!("{}", server.kubeconfig(None, "default"));
    std::future::pending::<()>().await;
}

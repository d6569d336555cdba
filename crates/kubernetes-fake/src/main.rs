//! The server by itself, to be tried with kubectl and helm: prints a file for `KUBECONFIG`, and serves until it is ended.

use manyhands_kubernetes_fake::Server;

#[tokio::main]
async fn main() {
    let server = Server::start().await;
    println!("{}", server.kubeconfig(None, "default"));
    std::future::pending::<()>().await;
}

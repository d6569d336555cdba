//! One trace follows a run through all processes of a cluster, as a collector sees it.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;
use testing::client::Client;
use testing::containers::Containers;
use testing::eventually;
use testing::model::Model;
use testing::script::{Script, Turn};
use testing::server::Start;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

const ROUTE: &str = "/api/conversations/{conversation_id}/run";

/// Takes what exporters send over HTTP.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Seen>>>);

#[derive(Clone)]
struct Seen {
    service: String,
    span: Span,
}

impl Collector {
    /// Answers where it listens, too.
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self::default();
        let taking = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(taking.clone().take(stream));
            }
        });
        (collector, url)
    }

    async fn take(self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut length, mut line) = (0, String::from("?"));
            while !line.trim().is_empty() {
                line.clear();
                if stream.read_line(&mut line).await? == 0 {
                    return Ok(());
                }
                let header = line.to_lowercase();
                if let Some(value) = header.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await?;
            self.note(ExportTraceServiceRequest::decode(body.as_slice()).unwrap());
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
        }
    }

    fn note(&self, request: ExportTraceServiceRequest) {
        for resource in request.resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = text(&attributes, "service.name").unwrap_or_default();
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0.lock().unwrap().extend(spans.map(|span| Seen { service: service.clone(), span }));
        }
    }

    /// All of the trace that a request to `route` began.
    fn trace_of(&self, route: &str) -> Vec<Seen> {
        let all = self.0.lock().unwrap().clone();
        let root =
            all.iter().find(|seen| text(&seen.span.attributes, "http.route").as_deref() == Some(route));
        let Some(trace) = root.map(|root| root.span.trace_id.clone()) else { return Vec::new() };
        all.into_iter().filter(|seen| seen.span.trace_id == trace).collect()
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        _ => None,
    }
}

fn names(trace: &[Seen]) -> BTreeSet<(&str, &str)> {
    trace.iter().map(|seen| (seen.service.as_str(), seen.span.name.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_follows_a_run_through_gateway_worker_tool_and_broker() {
    follow_a_run(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_follows_a_run_into_workers_in_containers() {
    follow_a_run(Some(Containers::prepare())).await;
}

/// `containers`: what workers are; else they are processes.
async fn follow_a_run(containers: Option<Containers>) {
    let (collector, url) = Collector::start().await;
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands")).with("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
    let start = start.with("OTEL_BSP_SCHEDULE_DELAY", "100");
    let cluster = start.start_cluster_of(containers);
    let project = cluster.workspaces().join("project");
    let turns = vec![Turn::terminal("call_1", "echo traced"), Turn::finish("done")];
    let model = Model::start(0, vec![Script::new("[[traced]]", turns)]).await.unwrap();
    let client = Client::new(&cluster.url(), None);
    let id = client.create(&model.base_url(), &project.to_string_lossy()).await;
    client.send(&id, "[[traced]]", false).await;
    client.post_ok(&format!("/api/conversations/{id}/run"), &json!({})).await;
    client.wait_for_status(&id, "finished").await;

    let (gateway, worker) = ("manyhands-gateway", "manyhands-worker");
    let wanted = BTreeSet::from([
        (gateway, "http.request"),
        (gateway, "rpc.call"),
        (gateway, "rpc.serve"),
        (gateway, "broker.exchange"),
        (worker, "rpc.serve"),
        (worker, "rpc.call"),
        (worker, "run"),
        (worker, "model.call"),
        (worker, "tool.run"),
    ]);
    let trace = eventually("the whole trace", async || {
        let trace = collector.trace_of(ROUTE);
        names(&trace).is_superset(&wanted).then_some(trace)
    })
    .await;
    let named = |name: &str| trace.iter().filter(|seen| seen.span.name == name).collect::<Vec<_>>();
    for exchange in named("broker.exchange") {
        let mut above = vec![exchange];
        while let Some(parent) = trace.iter().find(|seen| seen.span.span_id == above[0].span.parent_span_id) {
            above.insert(0, parent);
        }
        let path: Vec<_> = above.iter().map(|seen| seen.span.name.as_str()).collect();
        let expected = [
            "http.request",
            "rpc.call",
            "rpc.serve",
            "run",
            "model.call",
            "rpc.call",
            "rpc.serve",
            "broker.exchange",
        ];
        assert_eq!(path, expected, "from the client's request to the provider's answer");
    }
    let shown = format!("{:?}", trace.iter().map(|seen| &seen.span).collect::<Vec<_>>());
    for private in ["echo traced", "[[traced]]", "llm-key"] {
        assert!(!shown.contains(private), "{private}");
    }
}

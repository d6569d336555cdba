//! The smallest HTTP server that answers JSON requests: what stands in for a model provider, or for who is called.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, ToSocketAddrs};

pub type Answer = Response<BoxBody<Bytes, std::io::Error>>;

/// This machine alone, and a free port.
pub const LOOPBACK: (&str, u16) = ("127.0.0.1", 0);

/// Serves there (port 0: a free one) until the runtime ends. A body that is not JSON counts as null.
pub async fn serve<H, F>(at: impl ToSocketAddrs, handler: H) -> std::io::Result<SocketAddr>
where
    H: Fn(Method, String, Value) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    serve_whole(at, move |request| {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        handler(method, path, request.into_body())
    })
    .await
}

/// The same, for who looks at the whole request.
pub async fn serve_whole<H, F>(at: impl ToSocketAddrs, handler: H) -> std::io::Result<SocketAddr>
where
    H: Fn(Request<Value>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let listener = TcpListener::bind(at).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let handler = handler.clone();
            let service = service_fn(move |request| handle(handler.clone(), request));
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    Ok(address)
}

async fn handle<H, F>(handler: H, request: Request<Incoming>) -> Result<Answer, Infallible>
where
    H: Fn(Request<Value>) -> F,
    F: Future<Output = Answer>,
{
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Ok(handler(Request::from_parts(head, serde_json::from_slice(&body).unwrap_or(Value::Null))).await)
}

/// # Panics
/// Never: the parts are valid.
#[must_use]
pub fn reply(status: StatusCode, body: &Value) -> Answer {
    let builder = Response::builder().status(status).header("content-type", "application/json");
    builder.body(whole(body.to_string())).unwrap()
}

#[must_use]
pub fn whole(text: String) -> BoxBody<Bytes, std::io::Error> {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed()
}

/// Half of a text, then a cut connection.
#[must_use]
pub fn half(text: &str) -> BoxBody<Bytes, std::io::Error> {
    let begin = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
    let pieces = [Ok(Frame::data(begin)), Err(std::io::Error::other("cut on purpose"))];
    StreamBody::new(futures_util::stream::iter(pieces)).boxed()
}

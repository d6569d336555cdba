//! How messages reach a server.

use jsonrpc::{Lines, Wire};
use tokio::io::{AsyncRead, AsyncWrite};

/// A way to a server.
pub trait Transport: Wire {
    /// Told which version of the protocol both sides speak.
    fn agreed(&mut self, version: &str);

    /// Lets the server know that nobody will come back. What becomes of that is of no interest.
    fn close(self) -> impl Future<Output = ()> + Send;
}

impl<R, W> Transport for Lines<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    fn agreed(&mut self, _version: &str) {}

    /// Whoever has started the program ends it.
    async fn close(self) {}
}

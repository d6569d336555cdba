//! Who speaks with a server: one who asks one question at a time, or many at once.

use jsonrpc::{Handle, Peer};
use serde_json::Value;

use crate::{Error, Transport};

/// The other end of a connection to a server.
pub trait Speaker: Send {
    fn call(&mut self, method: &str, params: &Value) -> impl Future<Output = Result<Value, Error>> + Send;

    fn notify(&mut self, method: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Told which version of the protocol both sides speak.
    fn agreed(&mut self, version: &str);

    /// Lets the server know that nobody will come back. What becomes of that is of no interest.
    fn close(self) -> impl Future<Output = ()> + Send;
}

impl<T: Transport> Speaker for Peer<T>
where
    Error: From<T::Error>,
{
    async fn call(&mut self, method: &str, params: &Value) -> Result<Value, Error> {
        Ok(Peer::call(self, method, params).await?)
    }

    async fn notify(&mut self, method: &str) -> Result<(), Error> {
        Ok(Peer::notify(self, method).await?)
    }

    fn agreed(&mut self, version: &str) {
        self.wire().agreed(version);
    }

    async fn close(self) {
        self.into_wire().close().await;
    }
}

/// A program. Whoever has started it ends it.
impl Speaker for Handle {
    async fn call(&mut self, method: &str, params: &Value) -> Result<Value, Error> {
        Ok(Handle::call(self, method, params).await?)
    }

    async fn notify(&mut self, method: &str) -> Result<(), Error> {
        Ok(Handle::notify(self, method).await?)
    }

    fn agreed(&mut self, _version: &str) {}

    async fn close(self) {}
}

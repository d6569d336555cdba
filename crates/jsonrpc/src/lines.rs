//! Messages as lines, the way programs speak over their standard input and output.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use crate::{Broken, Wire};

/// Lines of a reader and to a writer.
pub struct Lines<R, W> {
    incoming: Incoming<R>,
    writer: W,
}

impl<R: AsyncRead, W: AsyncWrite> Lines<R, W> {
    /// Takes so many bytes altogether.
    #[must_use]
    pub fn new(reader: R, writer: W, most: usize) -> Self {
        Self { incoming: Incoming::of_all(reader, most), writer }
    }
}

impl<R: AsyncRead + Unpin + Send, W: AsyncWrite + Unpin + Send> Wire for Lines<R, W> {
    type Error = Broken;

    async fn send(&mut self, message: &Value) -> Result<(), Broken> {
        write(&mut self.writer, message).await
    }

    async fn next(&mut self) -> Result<Value, Broken> {
        self.incoming.next().await
    }
}

/// The lines that come.
pub(crate) struct Incoming<R> {
    reader: BufReader<R>,
    /// Bytes that are still taken.
    left: usize,
    /// As many are taken of each message; otherwise so many of all.
    each: Option<usize>,
}

impl<R: AsyncRead> Incoming<R> {
    fn of_all(reader: R, most: usize) -> Self {
        Self { reader: BufReader::new(reader), left: most, each: None }
    }

    /// Takes so many bytes a message, however many messages come.
    pub(crate) fn of_each(reader: R, most: usize) -> Self {
        Self { reader: BufReader::new(reader), left: most, each: Some(most) }
    }
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    /// The next message. Lines that are none are passed over: programs print a greeting where they should not.
    pub(crate) async fn next(&mut self) -> Result<Value, Broken> {
        loop {
            self.left = self.each.unwrap_or(self.left);
            let mut line = Vec::new();
            let most = u64::try_from(self.left).unwrap_or(u64::MAX).saturating_add(1);
            let mut bounded = (&mut self.reader).take(most);
            let read = bounded.read_until(b'\n', &mut line).await.map_err(|_| Broken::Ended)?;
            if read == 0 {
                return Err(Broken::Ended);
            }
            self.left = self.left.checked_sub(read).ok_or(Broken::TooLarge)?;
            if let Ok(message @ Value::Object(_)) = serde_json::from_slice(&line) {
                return Ok(message);
            }
        }
    }
}

pub(crate) async fn write(writer: &mut (impl AsyncWrite + Unpin), message: &Value) -> Result<(), Broken> {
    let line = format!("{message}\n");
    writer.write_all(line.as_bytes()).await.map_err(|_| Broken::Ended)?;
    writer.flush().await.map_err(|_| Broken::Ended)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn all(text: &str, most: usize) -> (Vec<Value>, Broken) {
        let mut lines = Lines::new(text.as_bytes(), Vec::new(), most);
        let mut found = Vec::new();
        loop {
            match lines.next().await {
                Ok(message) => found.push(message),
                Err(broken) => return (found, broken),
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_passed_over() {
        let text = "hello\n{\"a\":1}\n[1]\n\n{\"b\":2}";
        assert_eq!(all(text, 100).await, (vec![json!({"a": 1}), json!({"b": 2})], Broken::Ended));
    }

    #[tokio::test]
    async fn who_says_too_much_is_not_listened_to() {
        let endless = "x".repeat(1_000);
        assert_eq!(all(&endless, 100).await, (vec![], Broken::TooLarge));
        let many = "{\"a\":1}\n".repeat(100);
        let (found, broken) = all(&many, 16).await;
        assert_eq!((found.len(), broken), (2, Broken::TooLarge));
    }

    #[tokio::test]
    async fn a_message_is_one_line() {
        let mut lines = Lines::new(&b""[..], Vec::new(), 1);
        lines.send(&json!({"a": "x\ny"})).await.unwrap();
        assert_eq!(lines.writer, b"{\"a\":\"x\\ny\"}\n");
    }
}

//! The last that a program has complained of: it often says why it has ended.

use std::sync::Arc;

use ::mcp::Error;
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;

/// Bytes of it that are kept, and that are told.
const KEPT: usize = 4 << 10;
const TOLD: usize = 500;

#[derive(Clone, Default)]
pub(super) struct Complaints(Arc<Mutex<Vec<u8>>>);

impl Complaints {
    /// Reads until the program closes it. In a tokio runtime.
    pub fn of(source: Option<ChildStderr>) -> Self {
        let complaints = Self::default();
        if let Some(source) = source {
            tokio::spawn(complaints.clone().read(source));
        }
        complaints
    }

    /// The error, and where the program has ended also the last line that it has said.
    pub fn beside(&self, error: &Error) -> String {
        if !matches!(error, Error::Ended) {
            return error.to_string();
        }
        match self.last_line() {
            Some(line) => format!("{error} Its last words: {line}"),
            None => error.to_string(),
        }
    }

    fn last_line(&self) -> Option<String> {
        let kept = self.0.lock();
        let text = String::from_utf8_lossy(&kept);
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        Some(line.chars().take(TOLD).collect())
    }

    async fn read(self, mut source: ChildStderr) {
        let mut piece = vec![0; KEPT];
        while let Ok(read @ 1..) = source.read(&mut piece).await {
            let mut kept = self.0.lock();
            kept.extend(piece.iter().take(read));
            let too_many = kept.len().saturating_sub(KEPT);
            kept.drain(..too_many);
        }
    }
}

//! What a program has printed last.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};

const MOST: usize = 256 * 1024;
const PIECE: usize = 8 * 1024;

/// Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Logs(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    pieces: VecDeque<Vec<u8>>,
    bytes: usize,
    has_lost: bool,
}

impl Logs {
    pub fn clear(&self) {
        *self.0.lock() = Inner::default();
    }

    /// The end of it, and whether there was more.
    pub fn end(&self, most: usize) -> (String, bool) {
        let inner = self.0.lock();
        let whole: Vec<u8> = inner.pieces.iter().flatten().copied().collect();
        let end = whole.get(whole.len().saturating_sub(most)..).unwrap_or_default();
        (String::from_utf8_lossy(end).into_owned(), inner.has_lost || whole.len() > most)
    }

    /// Takes all that a pipe says, until it is closed: a full pipe would stop the program.
    pub async fn take(self, mut pipe: impl AsyncRead + Unpin, label: &'static [u8]) {
        let mut piece = vec![0; PIECE];
        while let Ok(read) = pipe.read(&mut piece).await {
            let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else { return };
            self.add([label, read].concat());
        }
    }

    fn add(&self, piece: Vec<u8>) {
        let mut inner = self.0.lock();
        inner.bytes += piece.len();
        inner.pieces.push_back(piece);
        while inner.bytes > MOST {
            let Some(oldest) = inner.pieces.pop_front() else { return };
            inner.bytes -= oldest.len();
            inner.has_lost = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_end_of_a_long_story_is_kept() {
        let logs = Logs::default();
        logs.clone().take(&b"hello\n"[..], b"[stdout] ").await;
        assert_eq!(logs.end(100), ("[stdout] hello\n".to_owned(), false));
        assert_eq!(logs.end(6), ("hello\n".to_owned(), true));
        logs.clone().take(&vec![b'x'; 2 * MOST][..], b"[stderr] ").await;
        let (text, has_more) = logs.end(usize::MAX);
        assert!(has_more && text.len() <= MOST, "{}", text.len());
        logs.clear();
        assert_eq!(logs.end(100), (String::new(), false));
    }
}

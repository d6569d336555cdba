//! What a listener hears while an answer is being written.

use types::calls::DeltaKind;

/// Takes the pieces of a streamed answer. Must not block.
pub trait StreamSink: Send + Sync {
    fn push(&self, event: StreamEvent);
}

/// Every attempt begins with `Started`; one that fails or is dropped ends with `Aborted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    Started {
        /// From 1.
        attempt: u32,
    },
    Delta {
        attempt: u32,
        kind: DeltaKind,
        /// Never empty.
        content: String,
        chunk_id: Option<String>,
    },
    Aborted {
        attempt: u32,
        /// Holds no key.
        reason: String,
    },
}

/// How far a streamed answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    /// It is whole; its costs may follow.
    Ended,
    /// Nothing more is to come.
    Over,
}

/// Announces one attempt to a sink, and its end unless it succeeds.
pub(crate) struct Announcer<'a> {
    sink: Option<&'a dyn StreamSink>,
    attempt: u32,
    open: bool,
}

impl<'a> Announcer<'a> {
    pub(crate) fn start(sink: Option<&'a dyn StreamSink>, attempt: u32) -> Self {
        if let Some(sink) = sink {
            sink.push(StreamEvent::Started { attempt });
        }
        Self { sink, attempt, open: true }
    }

    pub(crate) fn delta(&self, kind: DeltaKind, content: &str, chunk_id: Option<&str>) {
        let Some(sink) = self.sink.filter(|_| !content.is_empty()) else { return };
        sink.push(StreamEvent::Delta {
            attempt: self.attempt,
            kind,
            content: content.to_owned(),
            chunk_id: chunk_id.map(str::to_owned),
        });
    }

    /// The server has begun its answer anew: what came of it counts for nothing.
    pub(crate) fn begin_anew(&mut self) {
        if let Some(sink) = self.sink.filter(|_| self.open) {
            let (attempt, reason) = (self.attempt, "the server began its answer anew".to_owned());
            sink.push(StreamEvent::Aborted { attempt, reason });
            sink.push(StreamEvent::Started { attempt });
        }
    }

    pub(crate) fn succeed(mut self) {
        self.open = false;
    }

    pub(crate) fn abort(mut self, reason: &str) {
        self.end(reason);
    }

    fn end(&mut self, reason: &str) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        if let Some(sink) = self.sink {
            sink.push(StreamEvent::Aborted { attempt: self.attempt, reason: reason.to_owned() });
        }
    }
}

impl Drop for Announcer<'_> {
    fn drop(&mut self) {
        self.end("cancelled");
    }
}

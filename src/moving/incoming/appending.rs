//! Appending to a log as the writer before all workers.
//!
//! An import that is cut off leaves a part of a log, with a fence of this writer at its front and of no other. Of a conversation
//! that part is dropped, and the log written anew: until its record is there nobody has seen any of it, so that is looked for
//! between a fence behind the part and its end. So it does not matter
//! whether the files were changed in between. Commands have no record that says that all of them came; they are added behind
//! those that are there, as long as no worker has written any.

use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use ports::log::{LogWriter, Loss, Trouble};
use ports::retry::Backoff;
use ports::{EventLog, Record};
use tokio::time::Instant;
use types::log::{Control, LogRecord};
use types::{Epoch, LogId, Seq};

/// Records and bytes of one append.
const MOST_RECORDS: usize = 200;
const MOST_BYTES: usize = 2 << 20;

/// How long a store that is away is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

const BEFORE_ALL_WORKERS: Epoch = Epoch::BEFORE_ALL_WORKERS;

/// Why a log does not take what comes.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    #[error("it was used here already, and stays as it is")]
    Used,
    #[error("somebody else writes it at the same time")]
    Other,
    #[error("it is more than is taken: {0}")]
    Refused(String),
    #[error(transparent)]
    Store(#[from] ports::Error),
}

pub struct Appending {
    log: Arc<dyn EventLog>,
    writer: LogWriter,
    /// Where the log begins, of one that is written from its beginning.
    front: Seq,
    /// Whether an earlier attempt has left something before that.
    has_left: bool,
    waiting: Vec<Vec<u8>>,
    size: usize,
}

impl Appending {
    /// A log from its beginning, behind what an earlier attempt has left of it. Its fence is there when this returns, behind that,
    /// too: whoever makes a conversation of this id from now on finds it, and gives way; and so does that attempt, if it goes on.
    ///
    /// # Errors
    /// `Used` where somebody else has written; those of the store.
    pub async fn anew(log: Arc<dyn EventLog>, id: LogId) -> Result<Self, Stop> {
        let (mut records, mut is_ours) = (0_usize, true);
        let visit = |record: &Record| {
            is_ours &= records > 0 || is_own_fence(&record.payload);
            records += 1;
        };
        let mut writer = LogWriter::open(log.clone(), id, BEFORE_ALL_WORKERS, visit).await.map_err(stop)?;
        if !is_ours {
            return Err(Stop::Used);
        }
        // The writer has one of its own where it finds none.
        let again = if records > 0 { vec![own_fence()?] } else { Vec::new() };
        store(&mut writer, again).await?;
        Ok(Self { has_left: records > 0, ..Self::with(log, writer) })
    }

    /// Drops what an earlier attempt has left, once it is known that no conversation has it.
    ///
    /// # Errors
    /// As [`Appending::add`].
    pub async fn drop_left(&mut self) -> Result<(), Stop> {
        if !self.has_left {
            return Ok(());
        }
        in_time(&mut self.writer, async |writer| writer.drop_front(None).await).await
    }

    /// Takes everything back, with what was left before, unless somebody else has written or `is_free` says that it is somebody's.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn take_back(self, is_free: impl AsyncFnOnce() -> ports::Result<bool>) -> ports::Result<()> {
        let id = self.writer.id();
        let extent = self.log.extent(id).await?;
        let is_last = self.log.tail(id).await? == self.writer.tail();
        match is_last && is_free().await? {
            true => self.log.remove(id, extent).await,
            false => Ok(()),
        }
    }

    /// A log behind what is there, each record of which is shown to `visit`; `None` where a worker has written it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn behind(
        log: Arc<dyn EventLog>,
        id: LogId,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<Option<Self>, Stop> {
        let visit = |record: &Record| {
            if !LogRecord::is_control(&record.payload) {
                visit(&record.payload);
            }
        };
        match LogWriter::open(log.clone(), id, BEFORE_ALL_WORKERS, visit).await {
            Ok(writer) => Ok(Some(Self::with(log, writer))),
            Err(Trouble::Lost(Loss::Fenced)) => Ok(None),
            Err(trouble) => Err(stop(trouble)),
        }
    }

    fn with(log: Arc<dyn EventLog>, writer: LogWriter) -> Self {
        Self { log, front: writer.tail(), has_left: false, writer, waiting: Vec::new(), size: 0 }
    }

    /// The next record. It is stored with others, at [`Appending::end`] at the latest.
    ///
    /// # Errors
    /// Those of the store, and what else keeps it from being stored.
    pub async fn add(&mut self, record: Vec<u8>) -> Result<(), Stop> {
        let is_full = self.waiting.len() >= MOST_RECORDS || self.size + record.len() > MOST_BYTES;
        if is_full {
            self.flush().await?;
        }
        self.size += record.len();
        self.waiting.push(record);
        Ok(())
    }

    /// # Errors
    /// As [`Appending::add`].
    pub async fn end(&mut self) -> Result<(), Stop> {
        self.flush().await
    }

    /// Whether all of a log that was written from its beginning is there still, and stays. Another import may have begun where this
    /// one stood still for long, and have dropped it or be about to.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn is_whole(&self) -> Result<bool, Stop> {
        let (id, end) = (self.writer.id(), self.writer.tail());
        let (first, next, tail) =
            tokio::try_join!(self.log.read(id, Seq::ZERO, 1), self.log.read(id, end, 1), self.log.tail(id))?;
        let is_begun_anew = next.first().is_some_and(|next| is_own_fence(&next.payload));
        Ok(first.first().is_some_and(|first| first.seq == self.front) && tail >= end && !is_begun_anew)
    }

    async fn flush(&mut self) -> Result<(), Stop> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.size = 0;
        store(&mut self.writer, take(&mut self.waiting)).await
    }
}

async fn store(writer: &mut LogWriter, records: Vec<Vec<u8>>) -> Result<(), Stop> {
    let records = records.into_iter().map(Into::into).collect();
    let batch = writer.batch(records).map_err(|loss| stop(Trouble::Lost(loss)))?;
    in_time(writer, async |writer| writer.store(&batch).await.map(drop)).await
}

/// Whether no worker has written a log.
///
/// # Errors
/// Those of the store.
pub async fn is_unused(log: Arc<dyn EventLog>, id: LogId) -> Result<bool, Stop> {
    match LogWriter::open(log, id, BEFORE_ALL_WORKERS, |_| {}).await {
        Ok(_) => Ok(true),
        Err(Trouble::Lost(Loss::Fenced)) => Ok(false),
        Err(trouble) => Err(stop(trouble)),
    }
}

/// Tries again what does not work now, until it has taken too long.
async fn in_time(
    writer: &mut LogWriter,
    mut work: impl AsyncFnMut(&mut LogWriter) -> Result<(), Trouble>,
) -> Result<(), Stop> {
    let (give_up, mut pauses) = (Instant::now() + PATIENCE, PAUSES);
    loop {
        match work(writer).await {
            Err(Trouble::NotNow(_)) if Instant::now() < give_up => tokio::time::sleep(pauses.pause()).await,
            outcome => return outcome.map_err(stop),
        }
    }
}

fn stop(trouble: Trouble) -> Stop {
    match trouble {
        Trouble::NotNow(error) => Stop::Store(error),
        Trouble::Lost(Loss::Fenced) => Stop::Used,
        Trouble::Lost(Loss::Changed) => Stop::Other,
        Trouble::Lost(Loss::Refused(ports::Error::TooLarge(why))) => Stop::Refused(why),
        Trouble::Lost(Loss::Refused(error)) => Stop::Store(error),
    }
}

fn own_fence() -> Result<Vec<u8>, Stop> {
    let fence = LogRecord::Control(Control::Fence { epoch: BEFORE_ALL_WORKERS }).encode();
    fence.map_err(|error| Stop::Store(ports::Error::Internal(error.to_string())))
}

fn is_own_fence(record: &[u8]) -> bool {
    LogRecord::is_control(record)
        && matches!(
            LogRecord::decode(record),
            Ok(LogRecord::Control(Control::Fence { epoch: BEFORE_ALL_WORKERS }))
        )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use bytes::Bytes;
    use ports::doubles::LogDouble;
    use ports::{Appended, Error};
    use types::{BashScope, ConversationId, SandboxId};

    use super::*;

    /// Takes so many appends, and then no more.
    struct Ending {
        inner: Arc<dyn EventLog>,
        appends: AtomicUsize,
    }

    #[async_trait]
    impl LogDouble for Ending {
        fn inner(&self) -> ports::Result<&dyn EventLog> {
            Ok(&*self.inner)
        }

        async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> ports::Result<Appended> {
            let left =
                self.appends.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            left.map_err(|_| Error::Full("the disk is full".to_owned()))?;
            self.inner.append(log, after, records).await
        }
    }

    async fn store() -> (Arc<dyn EventLog>, embedded::Guard, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(dir.path(), embedded::Fsync::Always);
        let (ports, guard) = embedded::open(options).await.unwrap();
        (ports.log, guard, dir)
    }

    fn record(of: &str, n: usize) -> Vec<u8> {
        format!(r#"{{"n":{n},"event":{{"id":"{of}{n}","kind":"X","timestamp":"t"}}}}"#).into_bytes()
    }

    async fn events(log: &Arc<dyn EventLog>, id: &LogId) -> Vec<Vec<u8>> {
        let all = log.read_all(id, Seq::ZERO).await.unwrap();
        let all = all.into_iter().map(|record| record.payload.to_vec());
        all.filter(|record| !LogRecord::is_control(record)).collect()
    }

    #[tokio::test]
    async fn a_log_that_was_cut_off_is_written_anew_whatever_came_between() {
        let (log, _guard, _dir) = store().await;
        let id = LogId::conversation(&SandboxId::shared(), ConversationId::random());
        let ending = Arc::new(Ending { inner: log.clone(), appends: AtomicUsize::new(3) });
        let mut cut = Appending::anew(ending, id.clone()).await.unwrap();
        let mut outcome = Ok(());
        for n in 0..500 {
            outcome = outcome.and(cut.add(record("old", n)).await);
        }
        assert!(outcome.and(cut.end().await).is_err());
        assert_eq!(events(&log, &id).await.len(), 400);

        let wanted: Vec<Vec<u8>> = (0..450).map(|n| record("new", n)).collect();
        for _ in 0..2 {
            let mut whole = Appending::anew(log.clone(), id.clone()).await.unwrap();
            whole.drop_left().await.unwrap();
            for record in &wanted {
                whole.add(record.clone()).await.unwrap();
            }
            whole.end().await.unwrap();
            assert_eq!(events(&log, &id).await, wanted);
        }
    }

    #[tokio::test]
    async fn a_log_that_somebody_else_has_written_is_left_alone() {
        let (log, _guard, _dir) = store().await;
        let of = || LogId::conversation(&SandboxId::shared(), ConversationId::random());
        let copied = of();
        log.append(&copied, Seq::ZERO, vec![record("copy", 0).into()]).await.unwrap();
        let worked = of();
        let mut worker = LogWriter::open(log.clone(), worked.clone(), Epoch(1), |_| {}).await.unwrap();
        let batch = worker.batch(vec![record("w", 0).into()]).unwrap();
        worker.store(&batch).await.unwrap();
        for id in [copied, worked] {
            let before = log.read_all(&id, Seq::ZERO).await.unwrap();
            assert!(matches!(Appending::anew(log.clone(), id.clone()).await, Err(Stop::Used)));
            assert_eq!(log.read_all(&id, Seq::ZERO).await.unwrap(), before);
        }
    }

    #[tokio::test]
    async fn behind_what_a_worker_has_written_nothing_is_added() {
        let (log, _guard, _dir) = store().await;
        let id = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);
        let mut first = Appending::behind(log.clone(), id.clone(), |_| {}).await.unwrap().unwrap();
        first.add(record("a", 0)).await.unwrap();
        first.end().await.unwrap();
        let mut seen = Vec::new();
        let mut second = Appending::behind(log.clone(), id.clone(), |record| seen.push(record.to_vec()))
            .await
            .unwrap()
            .unwrap();
        second.add(record("a", 1)).await.unwrap();
        second.end().await.unwrap();
        assert_eq!(seen, [record("a", 0)]);
        let mut worker = LogWriter::open(log.clone(), id.clone(), Epoch(1), |_| {}).await.unwrap();
        let batch = worker.batch(vec![record("w", 0).into()]).unwrap();
        worker.store(&batch).await.unwrap();
        let mut seen = 0;
        assert!(Appending::behind(log.clone(), id, |_| seen += 1).await.unwrap().is_none());
        assert_eq!(seen, 3);
    }
}

//! Leaders of streams, where several servers have each.
//!
//! *Elections.* Only the leader of a stream publishes what it stores. What it stored last before it died it may have told
//! nobody, so who follows streams is told to look again whenever one has been elected.
//!
//! *Reads.* What is asked while nobody leads, nobody answers later either, so it is asked again. A leader answers without asking
//! the others: one that stood still, or is cut off from them, says what was so before until it hears that another leads.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use ports::{Error, Result};
use tokio::sync::{OnceCell, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use types::subjects::store;

use crate::link::{Link, Status};

/// What an answer may take each time before the question is asked again: longer than an election takes in all.
const PATIENCE: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// Who listens for elections, and who asks leaders by itself. Shared by all copies of a link.
#[derive(Default)]
pub struct Leaders {
    heard: OnceCell<DropGuard>,
    asked: OnceCell<DropGuard>,
}

impl Link {
    /// Looks from now on, for as long as somebody has the link, whether all arrives that streams publish, of which there are so many
    /// for logs.
    pub async fn watch_streams(&self, partitions: u64) {
        self.leaders.asked.get_or_init(async || self.look_for_ends(partitions)).await;
    }

    /// Counts elections from now on, for as long as somebody has the link.
    pub async fn heed_leaders(&self, news: &Arc<watch::Sender<Status>>) -> Result<()> {
        let heed = async || -> Result<DropGuard> {
            let mut elected = self.listen(store::ALL_ELECTIONS, None).await?.messages;
            let (news, stop) = (Arc::clone(news), CancellationToken::new());
            let counting = async move {
                while elected.next().await.is_some() {
                    news.send_modify(|status| status.elections += 1);
                }
            };
            tokio::spawn(stop.clone().run_until_cancelled_owned(counting));
            Ok(stop.drop_guard())
        };
        self.leaders.heard.get_or_try_init(heed).await.map(|_| ())
    }

    /// What a leader answers, as soon as there is one. `ask` only reads.
    pub async fn ask_leader<T, F>(&self, ask: impl Fn() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        if !self.has_several_servers() {
            return ask().await;
        }
        for patience in PATIENCE {
            if let Ok(answer) = timeout(patience, ask()).await {
                return answer;
            }
        }
        Err(Error::Unavailable("no leader of a stream answers in time".to_owned()))
    }

    /// Whether what is read may come from a server that lags behind.
    pub fn has_several_servers(&self) -> bool {
        self.client.server_info().cluster.is_some_and(|name| !name.is_empty())
    }
}

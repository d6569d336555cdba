//! A client that listens to one conversation, over sockets that end at any moment: each begins after the last
//! event of the one before.

use std::time::Duration;

use testing::history::id_of;
use testing::random::Random;
use testing::socket::Socket;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const AGAIN: Duration = Duration::from_millis(50);
/// A socket that is quiet for so long is asked whether it should end.
const QUIET: Duration = Duration::from_millis(200);
/// What the last events may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(20);

pub struct Follower {
    listening: JoinHandle<Heard>,
    progress: watch::Receiver<usize>,
    wanted: watch::Sender<Option<usize>>,
}

/// What came over all sockets.
#[derive(Default)]
pub struct Heard {
    /// Position and id of each event, as they came.
    pub events: Vec<(usize, String)>,
    /// How many were opened.
    pub sockets: usize,
}

impl Follower {
    /// `cluster`: where the gateways are.
    pub fn start(cluster: &str, conversation: &str) -> Self {
        Self::start_restless(cluster, conversation, 0, Random::of(1))
    }

    /// Hangs up so often, each time after few events, before it listens for as long as it can.
    pub fn start_restless(cluster: &str, conversation: &str, hang_ups: usize, random: Random) -> Self {
        let url = format!("{}/sockets/session/{conversation}", cluster.replace("http://", "ws://"));
        let (wanted, wants) = watch::channel(None);
        let (done, progress) = watch::channel(0);
        let listener = Listener { url, heard: Heard::default(), wants, done };
        let listening = tokio::spawn(listener.listen(hang_ups, random));
        Self { listening, progress, wanted }
    }

    /// Waits until it has hung up so often.
    pub async fn has_hung_up(&mut self, times: usize) {
        self.progress.wait_for(|done| *done >= times).await.unwrap();
    }

    /// Ends it once it has heard `count` events.
    ///
    /// # Panics
    /// When they do not arrive in time.
    pub async fn end(self, count: usize) -> Heard {
        self.wanted.send_replace(Some(count));
        timeout(ARRIVAL, self.listening).await.unwrap().unwrap()
    }
}

struct Listener {
    url: String,
    heard: Heard,
    /// How many events are enough.
    wants: watch::Receiver<Option<usize>>,
    /// Hang-ups.
    done: watch::Sender<usize>,
}

impl Listener {
    async fn listen(mut self, hang_ups: usize, mut random: Random) -> Heard {
        for _ in 0..hang_ups {
            self.open(random.below(4) as usize).await;
            self.done.send_modify(|done| *done += 1);
        }
        while !self.has_enough() {
            self.open(usize::MAX).await;
        }
        self.heard
    }

    /// One socket, for at most so many events.
    async fn open(&mut self, mut left: usize) {
        let after = self.last().map_or(-1, |position| i64::try_from(position).unwrap());
        let Some(mut socket) = Socket::try_open(&format!("{}?after_seq={after}", self.url)).await else {
            return sleep(AGAIN).await;
        };
        self.heard.sockets += 1;
        while left > 0 && !self.has_enough() {
            let Ok(frame) = timeout(QUIET, socket.next_or_end()).await else { continue };
            let Some(frame) = frame else { return };
            if frame["type"] == "durable" {
                let position = usize::try_from(frame["seq"].as_u64().unwrap()).unwrap();
                self.heard.events.push((position, id_of(&frame["event"])));
                left -= 1;
            }
        }
    }

    fn last(&self) -> Option<usize> {
        self.heard.events.last().map(|(position, _)| *position)
    }

    fn has_enough(&self) -> bool {
        self.wants.borrow().is_some_and(|count| self.last().is_some_and(|last| last + 1 >= count))
    }
}

//! How long things take on their way, and what becomes of them.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;

use super::NodeId;

/// After so long without an answer of the store whoever asked is told that there is none.
const PATIENCE: Duration = Duration::from_secs(5);

/// What becomes of a request to the store.
pub(super) enum Fate {
    Answered,
    RequestIsLost(Duration),
    AnswerIsLost(Duration),
    /// Whoever asked is told that there is no answer; it is done all the same, at last.
    Late(Duration),
}

#[derive(Clone, Copy, Default)]
pub(super) struct Ailments {
    pub loses_requests: Duration,
    pub loses_answers: Duration,
    pub late: (Duration, Duration),
    pub slow: (Duration, Duration),
    pub cut_off: Duration,
    pub behind: (Duration, Duration),
}

pub(super) struct Network {
    rng: Rng,
    /// Until when each suffers from what.
    pub ailments: BTreeMap<NodeId, Ailments>,
    pub store_is_away: Duration,
    pub store_is_full: Duration,
}

impl Network {
    pub fn new(rng: Rng) -> Self {
        let (store_is_away, store_is_full) = (Duration::ZERO, Duration::ZERO);
        Self { rng, ailments: BTreeMap::new(), store_is_away, store_is_full }
    }

    pub fn latency(&mut self, node: NodeId, now: Duration) -> Duration {
        let most = match self.rng.u32(..100) {
            0 => 40_000,
            1..10 => 4_000,
            _ => 600,
        };
        let latency = Duration::from_micros(self.rng.u64(20..most));
        match self.ailments.get(&node) {
            Some(Ailments { slow: (until, by), .. }) if *until > now => latency + self.part_of(*by),
            _ => latency,
        }
    }

    pub fn fate(&mut self, node: NodeId, now: Duration) -> Fate {
        let ailments = self.ailments.get(&node).copied().unwrap_or_default();
        let patience = PATIENCE.mul_f64(self.rng.f64() + 0.1);
        let hits = self.rng.u32(..4) != 0;
        match ailments {
            _ if !hits => Fate::Answered,
            Ailments { loses_requests, .. } if loses_requests > now => Fate::RequestIsLost(patience),
            Ailments { loses_answers, .. } if loses_answers > now => Fate::AnswerIsLost(patience),
            Ailments { late: (until, by), .. } if until > now => Fate::Late(self.part_of(by)),
            _ => Fate::Answered,
        }
    }

    pub fn is_cut_off(&self, node: NodeId, now: Duration) -> bool {
        self.ailments.get(&node).is_some_and(|ailments| ailments.cut_off > now)
    }

    /// How far the replica lags behind that a node asks.
    pub fn is_behind(&mut self, node: NodeId, now: Duration) -> Option<Duration> {
        let (until, by) = self.ailments.get(&node)?.behind;
        let is_behind = until > now && self.rng.u32(..4) != 0;
        is_behind.then(|| self.part_of(by))
    }

    fn part_of(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.rng.f64())
    }
}

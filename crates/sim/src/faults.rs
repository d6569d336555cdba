//! What goes wrong in a world: a list that is made from the seed before anything happens, so that parts of it can be left out.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

/// One thing that goes wrong at one time.
#[derive(Clone, Debug)]
pub struct Fault {
    /// By which it can be left out.
    pub number: usize,
    pub at: Duration,
    pub trouble: Trouble,
}

/// Whom it befalls is chosen by `whom` among those who are there then.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// What it asks of the store is lost on the way.
    LosesRequests { whom: usize, lasts: Duration },
    /// What the store answers it is lost.
    LosesAnswers { whom: usize, lasts: Duration },
    /// What it asks of the store is answered with an error, and done later.
    IsLate { whom: usize, lasts: Duration, by: Duration },
    /// All that it sends and gets takes longer.
    IsSlow { whom: usize, lasts: Duration, by: Duration },
    /// Messages to it are lost. Then it is told that some may have been.
    IsCutOff { whom: usize, lasts: Duration },
    /// What it asks of any replica of the store is answered by one that lags behind.
    IsBehind { whom: usize, lasts: Duration, by: Duration },
    /// The store answers nobody.
    StoreIsAway { lasts: Duration },
    /// The store has no room for what logs grow by.
    StoreIsFull { lasts: Duration },
    /// All gateways are gone at once, and none comes back before.
    NobodyServes { lasts: Duration },
    /// It is gone, without a last word.
    IsKilled { whom: usize },
    /// It does nothing for a while, and does not know it.
    IsStopped { whom: usize, lasts: Duration },
    /// Its wall clock is set.
    ClockJumps { whom: usize, by_ms: i64 },
}

impl Trouble {
    /// How long something is wrong.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        match *self {
            Self::LosesRequests { lasts, .. }
            | Self::LosesAnswers { lasts, .. }
            | Self::IsCutOff { lasts, .. }
            | Self::StoreIsAway { lasts }
            | Self::StoreIsFull { lasts }
            | Self::NobodyServes { lasts }
            | Self::IsStopped { lasts, .. } => lasts,
            Self::IsLate { lasts, by, .. }
            | Self::IsSlow { lasts, by, .. }
            | Self::IsBehind { lasts, by, .. } => lasts + by,
            Self::IsKilled { .. } | Self::ClockJumps { .. } => Duration::ZERO,
        }
    }
}

/// What can go wrong in a world, and when.
#[derive(Clone, Debug)]
pub struct Mix {
    pub when: Range<Duration>,
    pub most: usize,
    /// Each with its share.
    pub kinds: &'static [(Kind, u32)],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    LosesRequests,
    LosesAnswers,
    IsLate,
    IsSlow,
    IsCutOff,
    IsBehind,
    StoreIsAway,
    StoreIsFull,
    NobodyServes,
    IsKilled,
    IsStopped,
    ClockJumps,
}

impl Mix {
    /// The faults of one world, in the order of time.
    #[must_use]
    pub fn draw(&self, rng: &mut Rng) -> Vec<Fault> {
        let count = if rng.u32(..5) == 0 { 0 } else { rng.usize(1..=self.most) };
        let mut faults: Vec<Fault> = (0..count)
            .map(|number| Fault { number, at: between(rng, &self.when), trouble: self.trouble(rng) })
            .collect();
        faults.sort_by_key(|fault| fault.at);
        faults
    }

    fn trouble(&self, rng: &mut Rng) -> Trouble {
        let kind = self.kind(rng);
        let (whom, lasts) = (rng.usize(..), span(rng));
        let by = span(rng) / 4;
        // More is not promised: see deploy/OPERATIONS.md.
        let by_ms = rng.i64(-4_500..4_500);
        match kind {
            Kind::LosesRequests => Trouble::LosesRequests { whom, lasts },
            Kind::LosesAnswers => Trouble::LosesAnswers { whom, lasts },
            Kind::IsLate => Trouble::IsLate { whom, lasts, by },
            Kind::IsSlow => Trouble::IsSlow { whom, lasts, by },
            Kind::IsCutOff => Trouble::IsCutOff { whom, lasts },
            Kind::IsBehind => Trouble::IsBehind { whom, lasts, by },
            Kind::StoreIsAway => Trouble::StoreIsAway { lasts },
            Kind::StoreIsFull => Trouble::StoreIsFull { lasts },
            // Mostly longer than leases live.
            Kind::NobodyServes => Trouble::NobodyServes { lasts: Duration::from_millis(rng.u64(..60_000)) },
            Kind::IsKilled => Trouble::IsKilled { whom },
            Kind::IsStopped => Trouble::IsStopped { whom, lasts },
            Kind::ClockJumps => Trouble::ClockJumps { whom, by_ms },
        }
    }

    fn kind(&self, rng: &mut Rng) -> Kind {
        let all = self.kinds.iter().map(|(_, share)| share).sum::<u32>().max(1);
        let mut dice = rng.u32(..all);
        for (kind, share) in self.kinds {
            match dice.checked_sub(*share) {
                Some(left) => dice = left,
                None => return *kind,
            }
        }
        Kind::IsKilled
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault {} at {:?}: {:?}", self.number, self.at, self.trouble)
    }
}

/// Mostly short; sometimes longer than any patience.
fn span(rng: &mut Rng) -> Duration {
    let most = [10, 100, 1_000, 5_000, 20_000, 45_000][rng.usize(..6)];
    Duration::from_millis(rng.u64(1..=most))
}

fn between(rng: &mut Rng, range: &Range<Duration>) -> Duration {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rng.u64(nanos(range.start)..nanos(range.end).max(nanos(range.start) + 1)))
}

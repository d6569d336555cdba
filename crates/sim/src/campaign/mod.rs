//! Many seeds: each in a process of its own, so that none finds anything of another's, and one that never ends ends alone.

mod child;
mod progress;
pub mod shrink;

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use child::Child;
use ports::mutants::{self, Mutant};
use progress::Progress;

use crate::scenarios::{Report, Scenario};

/// What one world may take of a processor's time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a child says fits into a pipe.
const MOST_LINES: usize = 50;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Campaign {
    pub scenarios: Vec<Scenario>,
    pub first: u64,
    pub seeds: u64,
    pub jobs: usize,
    /// Ends at the first seed that fails.
    pub is_over_at_first: bool,
}

/// A seed that does not keep what is promised.
#[derive(Clone, Debug)]
pub struct Failure {
    pub scenario: Scenario,
    pub seed: u64,
    pub broken: Vec<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub run: u64,
    pub failures: Vec<Failure>,
}

/// What a child says of its world.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub broken: Vec<String>,
    pub trace: String,
}

impl Campaign {
    /// To be called by the only thread of the process.
    ///
    /// # Errors
    /// Where the system gives no more processes.
    pub fn run(&self) -> std::io::Result<Outcome> {
        let mut all = (self.first..self.first.saturating_add(self.seeds))
            .flat_map(|seed| self.scenarios.iter().map(move |scenario| (*scenario, seed)));
        let (mut under_way, mut outcome) = (BTreeMap::new(), Outcome::default());
        let mut progress = Progress::of(self.seeds.saturating_mul(self.scenarios.len() as u64));
        loop {
            while under_way.len() < self.jobs
                && (!self.is_over_at_first || outcome.failures.is_empty())
                && let Some((scenario, seed)) = all.next()
            {
                let child = begin(scenario, seed, &[])?;
                under_way.insert(child.id(), (scenario, seed, child));
            }
            let Some(ended) = child::any_that_ended() else { break };
            let Some((scenario, seed, child)) = under_way.remove(&ended.id) else { continue };
            let Verdict { broken, .. } = read(child, ended.is_well)?;
            outcome.run += 1;
            if !broken.is_empty() {
                let failure = Failure { scenario, seed, broken };
                progress.say(&failure.to_string());
                outcome.failures.push(failure);
            }
            progress.count(outcome.run, outcome.failures.len());
        }
        progress.end();
        Ok(outcome)
    }
}

/// Runs one world in a process of its own.
///
/// # Errors
/// As [`Campaign::run`].
pub fn run_apart(scenario: Scenario, seed: u64, without: &[usize]) -> std::io::Result<Verdict> {
    let child = begin(scenario, seed, without)?;
    let is_well = child::any_that_ended().is_some_and(|ended| ended.is_well);
    read(child, is_well)
}

fn begin(scenario: Scenario, seed: u64, without: &[usize]) -> std::io::Result<Child> {
    Child::begin(PATIENCE, || {
        let Report { broken, trace, .. } = run_here(scenario, seed, without);
        std::iter::once(format!("{trace:016x}"))
            .chain(broken.into_iter().take(MOST_LINES))
            .collect::<Vec<_>>()
            .join("\n")
    })
}

/// Runs one world in this process, which is to run no other.
#[must_use]
pub fn run_here(scenario: Scenario, seed: u64, without: &[usize]) -> Report {
    // Whatever a thread keeps for itself is new in a new one.
    let without = without.to_vec();
    let world = std::thread::Builder::new().name("world".to_owned()).stack_size(16 << 20);
    let world = world.spawn(move || scenario.run(seed, &without));
    let report = world.map(std::thread::JoinHandle::join);
    match report {
        Ok(Ok(report)) => report,
        _ => Report { broken: vec!["the world has panicked".to_owned()], ..Report::default() },
    }
}

/// What is to be typed to run a seed once more.
#[must_use]
pub fn again(scenario: Scenario, seed: u64) -> String {
    let (features, defect) = match Mutant::ALL.into_iter().find(|mutant| mutants::is(*mutant)) {
        Some(mutant) => (" --features mutants", format!(" --mutant {mutant:?}")),
        None => ("", String::new()),
    };
    let name = scenario.name();
    format!("cargo run -p manyhands-sim --release{features} -- --scenario {name} --seed {seed}{defect}")
}

fn read(mut child: Child, is_well: bool) -> std::io::Result<Verdict> {
    let mut text = String::new();
    child.words().read_to_string(&mut text)?;
    let mut lines = text.lines().map(str::to_owned);
    let trace = lines.next().unwrap_or_default();
    let mut broken: Vec<String> = lines.collect();
    if !is_well {
        broken.push(format!("the world has died, or not ended within {PATIENCE:?}"));
    }
    Ok(Verdict { broken, trace })
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { scenario, seed, broken } = self;
        let name = scenario.name();
        writeln!(f, "seed {seed} of {name} fails:")?;
        for line in broken.iter().take(8) {
            writeln!(f, "  {line}")?;
        }
        write!(f, "  again: {}", again(*scenario, *seed))
    }
}

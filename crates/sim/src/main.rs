//! Runs seeds, repeats one, and shortens the faults of one that fails.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use manyhands_sim::campaign::{self, Campaign};
use manyhands_sim::scenarios::{Report, Scenario};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Simulated worlds of Manyhands, each drawn from a seed.
#[derive(Parser)]
struct Arguments {
    /// Kinds of worlds; all of them if none is named.
    #[arg(long)]
    scenario: Vec<Scenario>,
    /// How many seeds are run of each kind.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Worlds at a time.
    #[arg(long)]
    jobs: Option<usize>,
    /// Ends at the first seed that fails.
    #[arg(long)]
    first: bool,
    /// Runs this seed alone, and says what happens in its world. RUST_LOG says how much of that.
    #[arg(long)]
    seed: Option<u64>,
    /// Numbers of faults that are left out of it.
    #[arg(long, value_delimiter = ',')]
    without: Vec<usize>,
    /// Builds the defect of this name in; `list` says which there are.
    #[cfg(feature = "mutants")]
    #[arg(long)]
    mutant: Option<String>,
    /// Finds as many faults as can be left out of it.
    #[arg(long)]
    shrink: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(feature = "mutants")]
    if let Some(name) = &arguments.mutant
        && !mutate(name)
    {
        return ExitCode::FAILURE;
    }
    let scenarios = match arguments.scenario.as_slice() {
        [] => Scenario::ALL.to_vec(),
        some => some.to_vec(),
    };
    let outcome = match arguments.seed {
        Some(seed) if arguments.shrink => shrink(&scenarios, seed),
        Some(seed) => Ok(repeat(&scenarios, seed, &arguments.without)),
        None => run(&arguments, scenarios),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "the worlds cannot be run: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, scenarios: Vec<Scenario>) -> std::io::Result<bool> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let campaign = Campaign {
        scenarios,
        first: arguments.from,
        seeds: arguments.seeds,
        jobs: arguments.jobs.unwrap_or(cores).max(1),
        is_over_at_first: arguments.first,
    };
    let outcome = campaign.run()?;
    say(&format!("{} worlds, {} failed", outcome.run, outcome.failures.len()));
    Ok(outcome.failures.is_empty())
}

fn repeat(scenarios: &[Scenario], seed: u64, without: &[usize]) -> bool {
    let told = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("debug"));
    tracing_subscriber::fmt().with_env_filter(told).with_timer(WorldTime).with_target(false).init();
    let mut is_well = true;
    for scenario in scenarios {
        let report = campaign::run_here(*scenario, seed, without);
        show(*scenario, seed, &report);
        is_well &= report.broken.is_empty();
    }
    is_well
}

fn show(scenario: Scenario, seed: u64, report: &Report) {
    for fault in &report.faults {
        say(&fault.to_string());
    }
    for line in &report.broken {
        say(&format!("broken: {line}"));
    }
    let Report { trace, took, .. } = report;
    say(&format!("seed {seed} of {}: {took:?}, trace {trace:016x}", scenario.name()));
}

fn shrink(scenarios: &[Scenario], seed: u64) -> std::io::Result<bool> {
    for scenario in scenarios {
        if campaign::run_apart(*scenario, seed, &[])?.broken.is_empty() {
            say(&format!("seed {seed} of {} does not fail", scenario.name()));
            continue;
        }
        let faults: Vec<usize> = scenario.faults(seed).iter().map(|fault| fault.number).collect();
        let without = campaign::shrink::shrink(*scenario, seed, &faults)?;
        let numbers = without.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let (kept, again) = (faults.len() - without.len(), campaign::again(*scenario, seed));
        let rest = if without.is_empty() { String::new() } else { format!(" --without {numbers}") };
        say(&format!("{kept} of {} faults are enough: {again}{rest}", faults.len()));
    }
    Ok(true)
}

/// Whether there is such a defect.
#[cfg(feature = "mutants")]
fn mutate(name: &str) -> bool {
    use ports::mutants::{Mutant, choose};
    let chosen = Mutant::ALL.into_iter().find(|mutant| format!("{mutant:?}") == name);
    if chosen.is_none() {
        say(&Mutant::ALL.map(|mutant| format!("{mutant:?}")).join("\n"));
    }
    chosen.map(choose).is_some()
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// That of the world, and not of whoever looks at it.
struct WorldTime;

impl FormatTime for WorldTime {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        write!(to, "{:>12.6}", manyhands_sim::time().as_secs_f64())
    }
}

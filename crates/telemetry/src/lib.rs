//! Logs: lines on standard error, as text or JSON, at the level the environment asks for.
//! Nothing here knows a secret, a prompt or a body; callers log identifiers and durations.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub struct Config {
    /// A level (`info`) or a filter (`gateway=debug,info`).
    pub level: String,
    /// One JSON object a line.
    pub json: bool,
}

/// Starts logging for the whole process.
///
/// # Errors
/// When `level` is no filter, or logging was started before.
pub fn init(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(config.level.to_lowercase())?;
    let registry = tracing_subscriber::registry().with(filter);
    if config.json {
        registry.with(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr)).try_init()?;
    } else {
        let colours = std::io::stderr().is_terminal();
        registry
            .with(tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(std::io::stderr))
            .try_init()?;
    }
    Ok(())
}

//! Waiting for a command.

use std::time::{Duration, Instant};

use super::record::Prompt;
use super::shell::{Farewell, Phase, Shell};

/// Stands for a time that never comes.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// How the wait came to an end.
pub enum Waited {
    Idle(Prompt),
    /// With its shell.
    Ended(Farewell),
    /// Nothing new for as long as allowed.
    Silent,
    TimedOut {
        seconds: f64,
    },
}

/// Until the command has ended; at most `timeout` seconds or, without it, until `silence` passes without a
/// word. Changes nothing: dropping it is safe.
pub async fn wait(shell: &Shell, timeout: Option<f64>, silence: Duration) -> Waited {
    let started = Instant::now();
    loop {
        let limit = match timeout {
            Some(seconds) => {
                started + Duration::try_from_secs_f64(seconds).map_or(FOREVER, |time| time.min(FOREVER))
            }
            None => shell.output().last_change.max(started) + silence,
        };
        match settled(shell, limit).await {
            Some(Phase::Idle(prompt)) => return Waited::Idle(prompt),
            Some(Phase::Ended(farewell)) => return Waited::Ended(farewell),
            Some(Phase::Running { .. }) | None => {}
        }
        if let Some(seconds) = timeout {
            return Waited::TimedOut { seconds };
        }
        if shell.output().last_change.max(started) + silence <= Instant::now() {
            return Waited::Silent;
        }
    }
}

/// The phase that follows the running one, if it comes before `limit`.
pub async fn settled(shell: &Shell, limit: Instant) -> Option<Phase> {
    let mut phase = shell.watch();
    let settled = phase.wait_for(|phase| !matches!(phase, Phase::Running { .. }));
    let settled = tokio::time::timeout_at(limit.into(), settled).await;
    settled.ok()?.ok().map(|phase| phase.clone())
}

/// Whether the shell says anything of the command it was given last before `limit`.
pub async fn heard(shell: &Shell, limit: Instant) -> bool {
    let mut phase = shell.watch();
    let heard = phase.wait_for(|phase| !matches!(phase, Phase::Running { taken: false, .. }));
    tokio::time::timeout_at(limit.into(), heard).await.is_ok()
}

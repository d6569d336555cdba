//! Faults, when they happen.

use std::time::Duration;

use super::World;
use crate::faults::{Fault, Trouble};

impl World {
    /// Has all of them happen, each at its time.
    pub fn expect(&self, faults: &[Fault]) {
        for fault in faults.iter().cloned() {
            let mut state = self.lock();
            state.at(fault.at, move |world| world.suffer(&fault));
        }
    }

    fn suffer(&self, fault: &Fault) {
        let mut state = self.lock();
        state.note(&fault.to_string());
        let now = state.now;
        let until = |lasts: Duration| now + lasts;
        state.troubled = state.troubled.max(until(fault.trouble.lasts()));
        match fault.trouble {
            Trouble::StoreIsAway { lasts } => {
                state.network.store_is_away = state.network.store_is_away.max(until(lasts));
            }
            Trouble::StoreIsFull { lasts } => {
                state.network.store_is_full = state.network.store_is_full.max(until(lasts));
            }
            Trouble::NobodyServes { lasts } => {
                state.nobody_serves = state.nobody_serves.max(until(lasts));
                let gateways = state.called("gateway");
                drop(state);
                gateways.into_iter().for_each(|gateway| self.kill(gateway));
            }
            Trouble::LosesRequests { whom, .. }
            | Trouble::LosesAnswers { whom, .. }
            | Trouble::IsLate { whom, .. }
            | Trouble::IsSlow { whom, .. }
            | Trouble::IsCutOff { whom, .. }
            | Trouble::IsBehind { whom, .. }
            | Trouble::IsKilled { whom }
            | Trouble::IsStopped { whom, .. }
            | Trouble::ClockJumps { whom, .. } => {
                let Some(victim) = state.victim(whom) else { return };
                if let Some(node) = state.nodes.get_mut(victim.0) {
                    tracing::debug!(target: "sim", "it befalls {}", node.name);
                    node.ailed = node.ailed.max(until(fault.trouble.lasts()));
                }
                let ailments = state.network.ailments.entry(victim).or_default();
                match fault.trouble {
                    Trouble::LosesRequests { lasts, .. } => ailments.loses_requests = until(lasts),
                    Trouble::LosesAnswers { lasts, .. } => ailments.loses_answers = until(lasts),
                    Trouble::IsLate { lasts, by, .. } => ailments.late = (until(lasts), by),
                    Trouble::IsSlow { lasts, by, .. } => ailments.slow = (until(lasts), by),
                    Trouble::IsBehind { lasts, by, .. } => ailments.behind = (until(lasts), by),
                    Trouble::IsCutOff { lasts, .. } => {
                        ailments.cut_off = ailments.cut_off.max(until(lasts));
                        state.after(lasts, move |world| world.tell_of_gaps(victim));
                    }
                    Trouble::ClockJumps { by_ms, .. } => {
                        if let Some(node) = state.nodes.get_mut(victim.0) {
                            node.ahead_ms = by_ms;
                        }
                    }
                    Trouble::IsKilled { .. } => {
                        drop(state);
                        self.kill(victim);
                    }
                    Trouble::IsStopped { lasts, .. } => {
                        drop(state);
                        self.stop(victim, lasts);
                    }
                    Trouble::StoreIsAway { .. }
                    | Trouble::StoreIsFull { .. }
                    | Trouble::NobodyServes { .. } => {}
                }
            }
        }
    }
}

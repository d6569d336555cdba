//! Which faults a failure needs: each that it fails without is left out.

use super::run_apart;
use crate::scenarios::Scenario;

/// The numbers of faults without which the seed still fails, as many as can be found by leaving out one at a time and, before
/// that, halves.
///
/// # Errors
/// Where the system gives no more processes.
pub fn shrink(scenario: Scenario, seed: u64, faults: &[usize]) -> std::io::Result<Vec<usize>> {
    let (mut without, mut size) = (Vec::new(), faults.len().div_ceil(2));
    while size > 0 {
        let mut is_shorter = false;
        let left: Vec<usize> = faults.iter().copied().filter(|fault| !without.contains(fault)).collect();
        for part in left.chunks(size) {
            let fewer: Vec<usize> = without.iter().chain(part).copied().collect();
            if !run_apart(scenario, seed, &fewer)?.broken.is_empty() {
                (without, is_shorter) = (fewer, true);
            }
        }
        size = match (size, is_shorter) {
            (1, false) => 0,
            (1, true) => 1,
            (size, _) => size.div_ceil(2),
        };
    }
    without.sort_unstable();
    Ok(without)
}

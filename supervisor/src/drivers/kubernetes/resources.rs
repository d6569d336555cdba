//! What a pod takes of its machine: a cluster with quotas takes no pod that leaves one of them open.

use std::collections::BTreeMap;

use kubernetes::types::{EnvVar, Quantity, ResourceRequirements};

use super::config::Resources;

/// What a container may write that is in none of its volumes: its log.
const LOG_MIB: u64 = 64;
/// The worker's program, several times over.
pub const PROGRAM_MIB: u64 = 256;

/// Of a container. The one that brings the program has as much as the worker, after whom it does not count: what a cluster asks
/// of each container it then has as well.
pub fn of_container(resources: &Resources) -> ResourceRequirements {
    let (cpus, memory) = (resources.cpus, resources.memory_mib);
    // Nobody can be promised more than they may have.
    let requests =
        amounts(resources.request_cpus.min(cpus), resources.request_memory_mib.min(memory), LOG_MIB);
    let limits = amounts(cpus, memory, LOG_MIB + PROGRAM_MIB);
    ResourceRequirements { requests: Some(requests), limits: Some(limits), ..ResourceRequirements::default() }
}

pub fn mebibytes(count: u64) -> Quantity {
    Quantity(format!("{count}Mi"))
}

pub fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn amounts(cpus: f64, memory_mib: u64, storage_mib: u64) -> BTreeMap<String, Quantity> {
    BTreeMap::from([
        ("cpu".to_owned(), Quantity(format!("{}m", (cpus * 1000.0).ceil()))),
        ("memory".to_owned(), mebibytes(memory_mib)),
        ("ephemeral-storage".to_owned(), mebibytes(storage_mib)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_promised_no_more_than_it_may_have() {
        let resources =
            Resources { memory_mib: 64, cpus: 0.1, request_memory_mib: 512, request_cpus: 0.25, tmp_mib: 16 };
        let made = of_container(&resources);
        for amount in ["cpu", "memory"] {
            assert_eq!(made.requests.as_ref().unwrap()[amount], made.limits.as_ref().unwrap()[amount]);
        }
        assert_eq!(made.limits.unwrap()["cpu"], Quantity("100m".to_owned()));
    }
}

//! What goes wrong, at random.

use std::time::Duration;

use rustix::process::Signal;
use testing::cluster::Cluster;
use testing::process::signal;
use testing::random::Random;
use tokio::task::block_in_place;
use tokio::time::sleep;

/// Longer than leases live.
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(18);
/// Longer than a supervisor that says nothing leads.
const LONGER_THAN_A_LEADER: Duration = Duration::from_secs(9);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    KillWorker,
    KillGateway,
    KillSupervisor,
    KillNats,
    /// A worker stands still until its lease is over.
    StopWorker,
    /// A supervisor and its workers stand still until others have taken over.
    StopNode,
    CutConnections,
    SlowConnections,
}

impl Fault {
    /// Mostly kills: what stands still takes long.
    pub fn any(random: &mut Random) -> Self {
        match random.below(100) {
            0..45 => Self::KillWorker,
            45..65 => Self::KillGateway,
            65..75 => Self::KillSupervisor,
            75..87 => Self::KillNats,
            87..94 => Self::CutConnections,
            94..98 => Self::SlowConnections,
            98 => Self::StopWorker,
            _ => Self::StopNode,
        }
    }

    pub fn is_kill(self) -> bool {
        matches!(self, Self::KillWorker | Self::KillGateway | Self::KillSupervisor | Self::KillNats)
    }

    /// Returns when the fault is over, though not what it has led to. Answers whether it struck anything.
    pub async fn strike(self, cluster: &mut Cluster, random: &mut Random) -> bool {
        match self {
            Self::KillWorker | Self::StopWorker => {
                let workers = cluster.workers();
                if workers.is_empty() {
                    return false;
                }
                let worker = *random.pick(&workers);
                if self == Self::KillWorker {
                    signal(worker, Signal::KILL);
                } else {
                    stand_still(&[worker], LONGER_THAN_A_LEASE).await;
                }
            }
            Self::KillGateway => {
                let index = random.below(cluster.gateways.len() as u64) as usize;
                block_in_place(|| cluster.restart_gateway(index));
            }
            Self::KillSupervisor => {
                let index = random.below(cluster.supervisors.len() as u64) as usize;
                cluster.restart_supervisor(index);
            }
            Self::KillNats => cluster.nats.restart().await,
            Self::StopNode => {
                let supervisor = random.pick(&cluster.supervisors).pid();
                let mut node = testing::process::children_of(supervisor);
                node.push(supervisor);
                stand_still(&node, LONGER_THAN_A_LEADER).await;
            }
            Self::CutConnections => {
                cluster.network.cut(|| random.below(2) == 0);
                cluster.door.cut(|| random.below(2) == 0);
            }
            Self::SlowConnections => {
                cluster.network.delay(Duration::from_millis(20 + random.below(80)));
                sleep(Duration::from_secs(2)).await;
                cluster.network.delay(Duration::ZERO);
            }
        }
        true
    }
}

async fn stand_still(processes: &[u32], time: Duration) {
    processes.iter().for_each(|pid| signal(*pid, Signal::STOP));
    sleep(time).await;
    processes.iter().for_each(|pid| signal(*pid, Signal::CONT));
}

//! What goes wrong, at random.

use std::time::Duration;

use rustix::process::Signal;
use testing::cluster::Cluster;
use testing::process::{children_of, signal};
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
    /// A supervisor and its children stand still until others have taken over.
    StopNode,
    CutConnections,
    SlowConnections,
    /// The engine ends its containers, and starts again.
    RestartEngine,
    /// It starts again with containers that have run on without it.
    KillEngine,
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

    /// What only containers can suffer, or would hardly by chance, comes in turns, and rarely, as it takes long. `number`: of all
    /// faults before.
    pub fn of_containers(number: usize) -> Option<Self> {
        match number % 50 {
            3 => Some(Self::RestartEngine),
            6 => Some(Self::StopWorker),
            9 => Some(Self::KillEngine),
            _ => None,
        }
    }

    pub fn is_kill(self) -> bool {
        match self {
            Self::KillWorker | Self::KillGateway | Self::KillSupervisor | Self::KillNats => true,
            Self::RestartEngine | Self::KillEngine => true,
            Self::StopWorker | Self::StopNode | Self::CutConnections | Self::SlowConnections => false,
        }
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
                    stand_still(worker, LONGER_THAN_A_LEASE).await;
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
                stand_still(supervisor, LONGER_THAN_A_LEADER).await;
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
            Self::RestartEngine | Self::KillEngine => {
                let how = if self == Self::KillEngine { Signal::KILL } else { Signal::TERM };
                let engine = cluster.containers.as_mut().and_then(|containers| containers.engine.as_mut());
                let Some(engine) = engine else { return false };
                block_in_place(|| engine.restart(how));
            }
        }
        true
    }
}

/// A process and its children.
async fn stand_still(process: u32, time: Duration) {
    let mut processes = children_of(process);
    processes.push(process);
    processes.iter().for_each(|pid| signal(*pid, Signal::STOP));
    sleep(time).await;
    processes.iter().for_each(|pid| signal(*pid, Signal::CONT));
}

//! Incarnations of one worker write one log, as workers do: with the one writer that ports have for it, and in some worlds
//! through deputies. There some of them lie.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use parking_lot::Mutex;
use ports::log::{Batch, LogWriter, Loss, Trouble};
use ports::{Appended, Ports, Record};
use testing::history::Tally;
use tokio::time::{sleep, timeout};
use types::log::{Control, LogRecord};
use types::{ConversationId, Epoch, LogId, SandboxId, Seq};

use super::deputies::{self, ports_of_worker};
use crate::faults::{Kind, Mix};
use crate::world::{Here, Outcome, Simulation, World};

pub const MIX: Mix = Mix {
    when: Duration::from_millis(1)..Duration::from_secs(20),
    most: 8,
    kinds: &[
        (Kind::LosesRequests, 2),
        (Kind::LosesAnswers, 4),
        (Kind::IsLate, 4),
        (Kind::IsSlow, 2),
        (Kind::IsCutOff, 1),
        (Kind::StoreIsAway, 1),
        (Kind::IsKilled, 2),
        (Kind::IsStopped, 5),
        (Kind::ClockJumps, 1),
    ],
};

/// Whose fences are lies.
const NEVER: Epoch = Epoch(1_000);

/// By then all is at rest.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the writers were told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Notes>>);

#[derive(Clone, Default)]
struct Notes {
    /// What is stored, and where, in order.
    stored: Vec<(Seq, String)>,
    /// What was before this need not be there any more.
    first_kept: Seq,
}

/// What all incarnations have.
#[derive(Clone)]
struct Plan {
    log: LogId,
    told: Told,
    at_work: Arc<Mutex<usize>>,
    has_deputies: bool,
}

pub fn run(simulation: &mut Simulation, rng: &mut Rng) -> Vec<String> {
    let log = LogId::conversation(&SandboxId::shared(), ConversationId::random());
    let incarnations = rng.u64(1..=4);
    let (mut begins, mut begin) = (Vec::new(), Duration::ZERO);
    for epoch in (1..=incarnations).map(Epoch) {
        begins.push((epoch, begin, rng.u32(1..60)));
        begin += Duration::from_millis(rng.u64(1..6_000));
    }
    let at_work = Arc::new(Mutex::new(begins.len()));
    let plan = Plan { log, told: Told::default(), at_work: at_work.clone(), has_deputies: rng.bool() };
    if plan.has_deputies {
        (0..rng.usize(1..=2))
            .for_each(|number| deputies::start(&simulation.world, format!("deputy {number}")));
    }
    for (epoch, begin, batches) in begins {
        let (plan, lies) = (plan.clone(), plan.has_deputies && rng.u32(..4) == 0);
        simulation.world.after(begin, move |world| start(world, epoch, plan, batches, lies));
    }
    let outcome = simulation.run(PATIENCE, |_| *at_work.lock() == 0);
    let mut broken = Vec::new();
    if outcome != Outcome::Done {
        broken.push(format!("{} writers are still at work: {outcome:?}", at_work.lock()));
    }
    // What was on its way arrives.
    simulation.run(Duration::from_secs(120), |_| false);
    let told = plan.told.0.lock().clone();
    simulation.world.stored(|store| check(&store.records(&plan.log), incarnations, &told, &mut broken));
    broken
}

fn start(world: &World, epoch: Epoch, plan: Plan, batches: u32, lies: bool) {
    let (name, at_work) = (format!("writer {}", epoch.0), plan.at_work.clone());
    let work = move |here: Here| async move {
        let Plan { log, told, has_deputies, .. } = plan;
        let ports = match has_deputies {
            true => ports_of_worker(&here, log.sandbox(), epoch).await,
            false => here.ports,
        };
        match lies {
            true => lie(ports, log, batches).await,
            false => write(ports, epoch, log, told, batches).await,
        }
    };
    world.start(name, work, move |_, _| *at_work.lock() -= 1);
}

/// Says that there are incarnations which will never be.
async fn lie(ports: Ports, log: LogId, times: u32) {
    for _ in 0..times {
        let fence = Control::Fence { epoch: Epoch(fastrand::u64(NEVER.0..)) };
        let Ok(fence) = LogRecord::Control(fence).encode() else { return };
        if let Ok(tail) = ports.log.tail(&log).await {
            // It is refused, or it is found.
            let _ = ports.log.append(&log, tail, vec![fence.into()]).await;
        }
        sleep(Duration::from_millis(fastrand::u64(..400))).await;
    }
}

async fn write(ports: Ports, epoch: Epoch, log: LogId, told: Told, batches: u32) {
    let Some(mut writer) = open(&ports, epoch, &log).await else { return };
    for number in 0..batches {
        let texts: Vec<String> =
            (0..=fastrand::u32(..3)).map(|part| format!("{} {number} {part}", epoch.0)).collect();
        let records = texts.iter().map(|text| Bytes::from(text.clone())).collect();
        let Ok(batch) = writer.batch(records) else { return };
        let stored = store(&mut writer, &batch).await.map(|appended| {
            told.0.lock().stored.extend(appended.seqs.into_iter().zip(texts));
        });
        let outcome = match stored {
            Ok(()) if fastrand::u32(..4) == 0 => {
                // Some are over in the middle of it.
                let patience = if fastrand::u32(..5) == 0 { fastrand::u64(1..4) } else { u64::MAX };
                match timeout(Duration::from_millis(patience), drop_front(&mut writer, &told)).await {
                    Ok(outcome) => outcome,
                    Err(_) => return,
                }
            }
            outcome => outcome,
        };
        match outcome {
            Ok(()) => {}
            Err(Loss::Refused(_)) => return,
            Err(Loss::Fenced | Loss::Changed) => match open(&ports, epoch, &log).await {
                Some(anew) => writer = anew,
                None => return,
            },
        }
        sleep(Duration::from_millis(fastrand::u64(..400))).await;
    }
}

/// As who forgets what is old: all, or what is before some record.
async fn drop_front(writer: &mut LogWriter, told: &Told) -> Result<(), Loss> {
    let first_kept = {
        let mut notes = told.0.lock();
        let some = fastrand::bool().then(|| fastrand::choice(&notes.stored).map(|(seq, _)| *seq)).flatten();
        notes.first_kept = notes.first_kept.max(some.unwrap_or(Seq(writer.tail().0 + 1)));
        some
    };
    loop {
        match writer.drop_front(first_kept).await {
            Ok(()) => return Ok(()),
            Err(Trouble::NotNow(_)) => sleep(Duration::from_millis(fastrand::u64(1..500))).await,
            Err(Trouble::Lost(loss)) => return Err(loss),
        }
    }
}

/// One that is fenced off does not believe it at once.
async fn open(ports: &Ports, epoch: Epoch, log: &LogId) -> Option<LogWriter> {
    let mut doubts = fastrand::u32(..60);
    loop {
        let most = match LogWriter::open(ports.log.clone(), log.clone(), epoch, |_| {}).await {
            Ok(writer) => return Some(writer),
            Err(Trouble::Lost(Loss::Fenced)) if doubts > 0 => {
                doubts -= 1;
                150
            }
            Err(Trouble::NotNow(_)) => 500,
            Err(Trouble::Lost(_)) => return None,
        };
        sleep(Duration::from_millis(fastrand::u64(1..most))).await;
    }
}

async fn store(writer: &mut LogWriter, batch: &Batch) -> Result<Appended, Loss> {
    loop {
        match writer.store(batch).await {
            Ok(appended) => return Ok(appended),
            Err(Trouble::NotNow(_)) => sleep(Duration::from_millis(fastrand::u64(1..500))).await,
            Err(Trouble::Lost(loss)) => return Err(loss),
        }
    }
}

fn check(records: &[Record], incarnations: u64, told: &Notes, broken: &mut Vec<String>) {
    let (mut newest, mut stored) = (None, Vec::new());
    for record in records {
        if let Ok(LogRecord::Control(Control::Fence { epoch })) = LogRecord::decode(&record.payload) {
            if epoch.0 > incarnations {
                broken.push(format!("all are fenced off by {epoch:?}, which there never was"));
            }
            newest = newest.max(Some(epoch));
            continue;
        }
        let text = String::from_utf8_lossy(&record.payload).into_owned();
        let epoch = writer_of(&text).parse().ok().map(Epoch);
        if epoch < newest {
            broken.push(format!("{text:?} was written after {newest:?} had begun"));
        }
        newest = newest.max(epoch);
        stored.push(text);
    }
    let is_meant = |seq: Seq, text: &String| seq >= told.first_kept || stored.contains(text);
    let kept = told.stored.iter().filter(|(seq, text)| is_meant(*seq, text)).map(|(_, text)| text);
    // Two incarnations may be told in another order than they have written.
    let mut by_writer = BTreeMap::<&str, Vec<String>>::new();
    kept.for_each(|text| by_writer.entry(writer_of(text)).or_default().push(text.clone()));
    for (writer, told) in by_writer {
        let mut tally = Tally::default();
        tally.count(&told, &stored);
        if !tally.is_clean() {
            broken.push(format!("writer {writer}: {tally}"));
        }
    }
}

fn writer_of(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

//! Incarnations of one worker write one log, as workers do: with the one writer that ports have for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use parking_lot::Mutex;
use ports::log::{Batch, LogWriter, Loss, Trouble};
use ports::{Ports, Record};
use testing::history::Tally;
use tokio::time::sleep;
use types::log::{Control, LogRecord};
use types::{ConversationId, Epoch, LogId, SandboxId};

use crate::faults::{Kind, Mix};
use crate::world::{Outcome, Simulation, World};

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

/// By then all is at rest.
const PATIENCE: Duration = Duration::from_secs(600);

/// What the writers were told, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

pub fn run(simulation: &mut Simulation, rng: &mut Rng) -> Vec<String> {
    let log = LogId::conversation(&SandboxId::shared(), ConversationId::random());
    let told = Told::default();
    let incarnations = rng.u64(1..=4);
    let at_work = Arc::new(Mutex::new(0_usize));
    let mut begin = Duration::ZERO;
    for epoch in (1..=incarnations).map(Epoch) {
        let (log, told, at_work, batches) = (log.clone(), told.clone(), at_work.clone(), rng.u32(1..60));
        *at_work.lock() += 1;
        simulation.world.after(begin, move |world| start(world, epoch, log, told, at_work, batches));
        begin += Duration::from_millis(rng.u64(1..6_000));
    }
    let outcome = simulation.run(PATIENCE, |_| *at_work.lock() == 0);
    let mut broken = Vec::new();
    if outcome != Outcome::Done {
        broken.push(format!("{} writers are still at work: {outcome:?}", at_work.lock()));
    }
    // What was on its way arrives.
    simulation.run(Duration::from_secs(120), |_| false);
    simulation.world.stored(|store| check(&store.records(&log), &told.0.lock(), &mut broken));
    broken
}

fn start(world: &World, epoch: Epoch, log: LogId, told: Told, at_work: Arc<Mutex<usize>>, batches: u32) {
    let name = format!("writer {}", epoch.0);
    world.start(
        name,
        move |here| write(here.ports, epoch, log, told, batches),
        move |_, _| *at_work.lock() -= 1,
    );
}

async fn write(ports: Ports, epoch: Epoch, log: LogId, told: Told, batches: u32) {
    let Some(mut writer) = open(&ports, epoch, &log).await else { return };
    for number in 0..batches {
        let texts: Vec<String> =
            (0..=fastrand::u32(..3)).map(|part| format!("{} {number} {part}", epoch.0)).collect();
        let records = texts.iter().map(|text| Bytes::from(text.clone())).collect();
        let Ok(batch) = writer.batch(records) else { return };
        match store(&mut writer, &batch).await {
            Ok(()) => told.0.lock().extend(texts),
            Err(Loss::Fenced | Loss::Refused(_)) => return,
            Err(Loss::Changed) => match open(&ports, epoch, &log).await {
                Some(anew) => writer = anew,
                None => return,
            },
        }
        sleep(Duration::from_millis(fastrand::u64(..400))).await;
    }
}

async fn open(ports: &Ports, epoch: Epoch, log: &LogId) -> Option<LogWriter> {
    loop {
        match LogWriter::open(ports.log.clone(), log.clone(), epoch, |_| {}).await {
            Ok(writer) => return Some(writer),
            Err(Trouble::NotNow(_)) => sleep(Duration::from_millis(fastrand::u64(1..500))).await,
            Err(Trouble::Lost(_)) => return None,
        }
    }
}

async fn store(writer: &mut LogWriter, batch: &Batch) -> Result<(), Loss> {
    loop {
        match writer.store(batch).await {
            Ok(_) => return Ok(()),
            Err(Trouble::NotNow(_)) => sleep(Duration::from_millis(fastrand::u64(1..500))).await,
            Err(Trouble::Lost(loss)) => return Err(loss),
        }
    }
}

fn check(records: &[Record], told: &[String], broken: &mut Vec<String>) {
    let (mut fence, mut stored) = (None, Vec::new());
    for record in records {
        if let Ok(LogRecord::Control(Control::Fence { epoch })) = LogRecord::decode(&record.payload) {
            fence = fence.max(Some(epoch));
            continue;
        }
        let text = String::from_utf8_lossy(&record.payload).into_owned();
        let epoch = text.split(' ').next().and_then(|epoch| epoch.parse().ok()).map(Epoch);
        if epoch < fence {
            broken.push(format!("{text:?} was written after the fence of {fence:?}"));
        }
        stored.push(text);
    }
    // Two incarnations may be told in another order than they have written.
    let mut writers: Vec<&str> = told.iter().filter_map(|text| text.split(' ').next()).collect();
    writers.sort_unstable();
    writers.dedup();
    for writer in writers {
        let told: Vec<String> =
            told.iter().filter(|text| text.split(' ').next() == Some(writer)).cloned().collect();
        let mut tally = Tally::default();
        tally.count(&told, &stored);
        if !tally.is_clean() {
            broken.push(format!("writer {writer}: {tally}"));
        }
    }
}

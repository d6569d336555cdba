//! The task that follows one conversation for its sockets.

use std::sync::Arc;
use std::time::Duration;

use control::Tasks;
use futures_util::{FutureExt, StreamExt, stream};
use ports::retry::Backoff;
use ports::{Delivery, Ports, Subscription};
use readmodel::followed::Taped;
use readmodel::history::READ_RECORDS;
use tokio::time::Instant;
use types::subjects;

use super::closing::Repeats;
use super::hub::{Hub, Room};

/// What is handed out before the sockets get to run.
const CHUNK_RECORDS: usize = 64;
const CHUNK_BYTES: usize = 512 * 1024;

/// How long the sockets that are reading are waited for when they are rather full.
const MAKING_WAY: Duration = Duration::from_millis(20);

/// Until a log that could not be read is tried again.
const RESTS: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// Feeds the sockets of `room` until there are none.
pub async fn run(ports: Ports, tasks: Tasks, hub: Hub, room: Arc<Room>) {
    let mut live = subscribe_live(&ports, &room).await;
    let mut folded = room.entry.watch();
    folded.mark_changed();
    let (mut repeats, mut rests): (Option<Repeats>, _) = (None, RESTS);
    loop {
        let due = repeats.as_ref().and_then(|repeats| repeats.due(&room.entry));
        tokio::select! {
            biased;
            () = tasks.drain.cancelled() => return,
            Some(delivery) = live.next() => take_live(&room, delivery),
            changed = folded.changed() => {
                if changed.is_err() {
                    return;
                }
                match advance(&ports, &room, &mut live, &mut repeats).await {
                    Ok(()) => rests.reset(),
                    Err(error) => {
                        tracing::warn!(conversation.id = %room.entry.id, %error, "sockets lag behind");
                        tokio::time::sleep(rests.pause()).await;
                        folded.mark_changed();
                    }
                }
            }
            () = sleep_until(due), if due.is_some() => repeat(&room, &mut repeats),
            () = room.left.notified() => {
                if hub.close(&room) {
                    return;
                }
            }
        }
    }
}

async fn subscribe_live(ports: &Ports, room: &Room) -> Subscription {
    let subject = subjects::live(room.entry.log.sandbox(), room.entry.id);
    match ports.bus.subscribe(&subject, None).await {
        Ok(live) => live,
        Err(error) => {
            tracing::warn!(conversation.id = %room.entry.id, %error, "answers are not streamed");
            stream::pending().boxed()
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}

fn take_live(room: &Room, delivery: Delivery) {
    if let Delivery::Message(message) = delivery {
        room.hand_out_live(&message.parcel.json);
    }
}

fn repeat(room: &Room, repeats: &mut Option<Repeats>) {
    let Some(pending) = repeats else { return };
    if !pending.still_hold(&room.entry) {
        *repeats = None;
        return;
    }
    // The call that started the run may have been answered since the time was set.
    if pending.due(&room.entry).is_some_and(|due| due > Instant::now()) {
        return;
    }
    room.entry.pulse.repeated();
    room.hand_out_snapshot();
    pending.sent();
}

/// Hands out what the index has folded in. When runs ended in it, `repeats` becomes that of the last one.
async fn advance(
    ports: &Ports,
    room: &Room,
    live: &mut Subscription,
    repeats: &mut Option<Repeats>,
) -> ports::Result<()> {
    loop {
        let records = room.entry.after(ports.log.as_ref(), room.position(), READ_RECORDS).await?;
        if records.is_empty() {
            return Ok(());
        }
        // The pieces of an answer were published before its event was stored, and go before it.
        while let Some(Some(delivery)) = live.next().now_or_never() {
            take_live(room, delivery);
        }
        for chunk in chunks(&records) {
            if let Some(ended) = room.hand_out(chunk) {
                *repeats = ended;
            }
            make_way(room).await;
        }
    }
}

fn chunks(records: &[Taped]) -> impl Iterator<Item = &[Taped]> {
    let mut rest = records;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(CHUNK_RECORDS).take_while(|record| {
            let first = bytes == 0;
            bytes += record.payload.len().max(1);
            first || bytes <= CHUNK_BYTES
        });
        let (chunk, more) = rest.split_at_checked(fits.count())?;
        rest = more;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Lets the sockets send. One that does not read at all is not waited for.
async fn make_way(room: &Room) {
    tokio::task::yield_now().await;
    let patience = Instant::now() + MAKING_WAY;
    while room.makes_way() && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

//! What the events of one branch mean, for a log in which HEAD was moved: it is read twice, first for what hangs below
//! what, then for what is on the branch. All others are read once, in `replay`.

use agent::Past;
use ports::EventLog;
use ports::log::Pages;
use serde_json::value::RawValue;
use types::branch::Tree;
use types::log::{Control, LogRecord};
use types::{Event, LogId, Seq};

const PAGE: usize = 1_000;

/// Of the branch of `head`, by what the log has up to `end`; `None` if no event is called so.
pub(super) async fn past(
    log: &dyn EventLog,
    id: &LogId,
    head: Option<&str>,
    end: Seq,
) -> ports::Result<Option<Past>> {
    let mut tree = Tree::default();
    let link = |payload: &[u8]| {
        if let Ok(LogRecord::Event { event, .. }) = LogRecord::<&RawValue>::decode_as(payload) {
            tree.read(event.get());
        }
    };
    each(log, id, end, link).await?;
    let Some(branch) = tree.branch(head) else { return Ok(None) };
    drop(tree);
    let mut past = Past::default();
    let absorb = |payload: &[u8]| match LogRecord::<Event>::decode_as(payload) {
        // What changed the conversation's state did so on whichever branch.
        Ok(LogRecord::Event { event, .. })
            if !event.is_tree_event() || branch.contains(event.id.as_str()) =>
        {
            past.absorb(&event);
        }
        Ok(LogRecord::Event { event, .. }) => past.leave_out(&event),
        Ok(LogRecord::Control(Control::Head { .. } | Control::Forked { .. })) => past.go_back(),
        Ok(LogRecord::Control(Control::Answer { event, order })) => past.set_order(&event, &order),
        Ok(LogRecord::Control(_)) | Err(_) => {}
    };
    each(log, id, end, absorb).await?;
    Ok(Some(past))
}

async fn each(log: &dyn EventLog, id: &LogId, end: Seq, mut take: impl FnMut(&[u8])) -> ports::Result<()> {
    let mut pages = Pages::new(log, id, Seq::ZERO, PAGE);
    while let Some(page) = pages.next().await? {
        for record in page {
            if record.seq > end {
                return Ok(());
            }
            take(&record.payload);
        }
    }
    Ok(())
}

//! What workers append: looked at as a whole before it is stored. Everybody who reads the log afterwards has to take it
//! as it is.

use std::sync::Arc;

use bytes::Bytes;
use ports::mutants::{self, Mutant};
use ports::rpc::{Code, Fault, Limits, Room};
use ports::storage::Ledger;
use types::log::{Control, LogRecord};
use types::{Epoch, LogId};

use crate::archive::{Archive, Direct};
use crate::body::{self, Body, Digest, LARGEST, PIECE};
use crate::charged::Charged;
use crate::message::NewMessage;

/// Bodies are read whole, so that few of them may be at the same time, and of one sandbox fewer.
const BODIES: Limits = Limits::new(64, 128 << 20).for_each_subject(8, 32 << 20);

pub struct Appends {
    storage: Charged,
    bodies: Room,
}

impl Appends {
    pub fn new(archive: Arc<Direct>, ledger: Arc<dyn Ledger>) -> Self {
        Self { storage: Charged { archive, ledger }, bodies: Room::new(BODIES) }
    }

    /// Stores a message of the incarnation `epoch` after message `last` of a log, and answers its number.
    ///
    /// # Errors
    /// `Invalid` for what is not what it says to be. As [`Archive::append`], [`Ledger::charge`].
    pub async fn append(
        &self,
        log: &LogId,
        epoch: Epoch,
        last: u64,
        message: NewMessage,
    ) -> Result<u64, Fault> {
        let records = self.records(log, &message).await?;
        if records.iter().any(|record| is_foreign(record, epoch)) && !mutants::is(Mutant::ForeignEpochs) {
            return Err(invalid("a fence of another incarnation"));
        }
        let number = self.storage.store(log, last, message, NewMessage::shown).await?;
        self.storage.ledger.appended(records.len());
        Ok(number)
    }

    /// Stores a piece of a body, once.
    ///
    /// # Errors
    /// `Invalid` for one that no body has. As [`Archive::put_piece`], [`Ledger::charge`].
    pub async fn put_piece(
        &self,
        log: &LogId,
        digest: &Digest,
        index: u64,
        piece: Bytes,
    ) -> Result<(), Fault> {
        if piece.len() as u64 > PIECE || index >= LARGEST.div_ceil(PIECE) {
            return Err(invalid("no body has such a piece"));
        }
        Ok(self.storage.put_piece(log, digest, index, piece).await?)
    }

    /// The records of a message that is what it says to be.
    async fn records(&self, log: &LogId, message: &NewMessage) -> Result<Vec<Bytes>, Fault> {
        let bytes = match &message.body {
            None => message.payload.clone(),
            Some(body) => self.body(log, body, &message.payload).await?,
        };
        message.split(bytes).ok_or_else(|| invalid("the lengths of its records do not fit it"))
    }

    async fn body(&self, log: &LogId, body: &Body, payload: &[u8]) -> Result<Bytes, Fault> {
        if body.size > LARGEST || !payload.is_empty() {
            return Err(invalid("its body is too large, or not all of it"));
        }
        let size = usize::try_from(body.size).unwrap_or(usize::MAX);
        let room = self.bodies.take(log.sandbox().as_str(), size);
        let _room = room.ok_or_else(|| Fault::new(Code::Busy, "Too many large records at once."))?;
        if !self.storage.archive.has_body(log, body).await? {
            return Err(invalid("its body is not stored"));
        }
        let pieces = body.pieces(&(0..body.size));
        let bytes = body::read(pieces, |index| self.storage.piece(log, &body.digest, index)).await;
        let bytes = bytes.map_err(|error| match error {
            // The leader has it; who was asked does not have it yet.
            ports::Error::NotFound => Fault::new(Code::Unavailable, "The body cannot be read yet."),
            error => error.into(),
        })?;
        match Body::of(&bytes)? == *body {
            true => Ok(bytes),
            false => Err(invalid("its body is another one")),
        }
    }
}

/// Whether a record would fence off incarnations that its writer is not, or is not any more.
fn is_foreign(record: &[u8], writer: Epoch) -> bool {
    matches!(LogRecord::decode(record), Ok(LogRecord::Control(Control::Fence { epoch })) if epoch != writer)
}

fn invalid(why: &str) -> Fault {
    Fault::new(Code::Invalid, why)
}

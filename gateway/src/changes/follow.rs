//! Tells one client what it does not have.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use readmodel::history::{READ_RECORDS, Shown, shown};
use readmodel::index::{ConversationState, News, Sort};
use tokio::task::{JoinError, spawn_blocking, yield_now};
use tokio::time::{MissedTickBehavior, interval};
use types::conversation::Status;
use types::{ConversationId, Seq, TenantId};

use super::cursor::Cursor;
use super::frames::{Form, Reset};
use super::known::{Held, Known, Life, Place};
use super::resume::resumed;
use super::streams::Streams;
use super::tapes::Tapes;
use super::wishes::Wishes;
use crate::feeds::{Ending, Item, Outbox};
use crate::reading::Reading;

/// Conversations that a list has; of others it is told when they change.
const MOST_LISTED: usize = 10_000;
/// Of them in one message.
const PAGE: usize = 100;
/// Conversations that are taken out of the index at once.
const WALKED: usize = 1_000;
/// Of them that the first cursor names.
const NEWEST: usize = 32;

/// Between two looks at those that are not here yet.
const AGAIN: Duration = Duration::from_secs(5);

const UNREADABLE: Ending = Ending { code: 1011, reason: "The conversations cannot be read" };

/// What it takes to follow all conversations of a tenant.
pub struct Follower {
    pub streams: Streams,
    pub reading: Reading,
    pub tenant: TenantId,
    pub wishes: Wishes,
    pub form: Form,
}

impl Follower {
    /// Puts what the client is to be told into `outbox`, as fast as it is taken out, until that cannot go on.
    pub async fn run(&self, outbox: &Outbox) -> Ending {
        // From here on nothing is missed.
        let news = self.reading.index.news(&self.tenant);
        let mut telling = Telling {
            with: self,
            outbox,
            known: Known::default(),
            tapes: Tapes::default(),
            missing: HashSet::new(),
        };
        match telling.tell(&news).await {
            Ok(()) => Ending::TOO_SLOW,
            Err(error) => {
                tracing::warn!(%error, "a stream of conversations ends");
                UNREADABLE
            }
        }
    }
}

struct Telling<'a> {
    with: &'a Follower,
    outbox: &'a Outbox,
    known: Known,
    tapes: Tapes,
    /// Those that the client has and the store has, and that are not here. If one goes before it has come there is no news of it.
    missing: HashSet<ConversationId>,
}

impl Telling<'_> {
    /// Ends when more has changed than the client can be told.
    async fn tell(&mut self, news: &News) -> ports::Result<()> {
        self.begin(news).await?;
        let mut again = interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                id = news.next() => match id {
                    Some(id) => self.look_at(id).await?,
                    None => return Ok(()),
                },
                _ = again.tick(), if !self.missing.is_empty() => {
                    for id in std::mem::take(&mut self.missing) {
                        self.look_at(id).await?;
                    }
                }
            }
        }
    }

    async fn begin(&mut self, news: &News) -> ports::Result<()> {
        let Some(text) = &self.with.wishes.cursor else { return self.list(Reset::Begin).await };
        let Some(cursor) = self.with.streams.cursors().read(&self.with.tenant, text) else {
            return self.list(Reset::Unknown).await;
        };
        let Some((known, to_look_at)) = self.resumed(cursor.clone()).await? else {
            return self.list(Reset::Outdated).await;
        };
        if self.is_cut(&cursor).await? {
            return self.list(Reset::Outdated).await;
        }
        self.known = known;
        to_look_at.into_iter().for_each(|id| news.add(id));
        let cursor = self.cursor();
        self.push(self.with.form.resumed(&cursor)).await;
        Ok(())
    }

    /// With a hundred thousand conversations this takes its time, and after a restart all clients come at once.
    async fn resumed(&self, cursor: Cursor) -> ports::Result<Option<(Known, Vec<ConversationId>)>> {
        let _turn = self.with.streams.turn().await;
        let present = self.present(Sort::CreatedDesc).await;
        let (streams, tenant) = (self.with.streams.clone(), self.with.tenant.clone());
        let resume = move || resumed(&cursor, &present, streams.knowing(&tenant, &present));
        spawn_blocking(resume).await.map_err(failed)
    }

    /// What a client has of these that has been told everything.
    async fn knowing(&self, present: &Arc<[Arc<ConversationState>]>) -> ports::Result<Known> {
        let (streams, tenant, present) =
            (self.with.streams.clone(), self.with.tenant.clone(), present.clone());
        spawn_blocking(move || streams.knowing(&tenant, &present)).await.map_err(failed)
    }

    /// Whether a log ends before what the client has of it, or a record is older. This gateway may only be behind.
    async fn is_cut(&self, cursor: &Cursor) -> ports::Result<bool> {
        for (id, life, place) in &cursor.lately {
            let Some(entry) = self.get(*id).filter(|entry| Life::of(&entry.record()) == *life) else {
                continue;
            };
            let reached = place.brief.max(place.events);
            if reached > entry.seq() && self.with.reading.log.tail(&entry.log).await? < reached {
                return Ok(true);
            }
            let (_, revision) = entry.version();
            if place.revision > revision {
                let stored = self.with.reading.index.stored_revision(*id).await?;
                if stored.is_some_and(|stored| stored < place.revision) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn list(&mut self, reason: Reset) -> ports::Result<()> {
        let form = self.with.form;
        let present: Arc<[_]> = {
            let _turn = self.with.streams.turn().await;
            let present = self.present(Sort::UpdatedDesc).await.into();
            self.known = self.knowing(&present).await?;
            present
        };
        self.push(form.reset(reason, present.len())).await;
        let listed = present.get(..MOST_LISTED).unwrap_or(&present);
        for page in listed.chunks(PAGE) {
            let mut briefs = Vec::with_capacity(page.len());
            for entry in page {
                let brief = entry.brief().map_err(unwritten)?;
                self.known.put_at_rest(entry.id, Life::of(&entry.record()), Place::whole(brief.version));
                briefs.push(brief.text);
            }
            self.push(form.listed(&briefs)).await;
            yield_now().await;
        }
        self.name_those_that_are_likely_to_change(&present);
        let cursor = self.cursor();
        self.push(form.ready(&cursor)).await;
        Ok(())
    }

    fn name_those_that_are_likely_to_change(&mut self, newest_first: &[Arc<ConversationState>]) {
        let newest = newest_first.iter().take(NEWEST).rev();
        let running = newest_first.iter().filter(|entry| entry.status() == Status::Running).rev();
        for entry in newest.chain(running) {
            if let Some(Held { life, place, .. }) = self.known.get(entry.id) {
                self.known.put(entry.id, life, place, entry.status() == Status::Running);
            }
        }
    }

    async fn look_at(&mut self, id: ConversationId) -> ports::Result<()> {
        let Some(entry) = self.get(id) else { return self.look_whether_gone(id).await };
        self.missing.remove(&id);
        let life = Life::of(&entry.record());
        if self.known.get(id).is_some_and(|held| held.life != life) {
            // It may be a former life that is not forgotten here yet; there is news when it is.
            if !self.is_stored(id, life).await? {
                return Ok(());
            }
            self.say_deleted(id).await;
        }
        let place = match self.known.get(id) {
            Some(held) => held.place,
            None => self.say_created(&entry, life).await?,
        };
        let place = match self.with.wishes.events {
            true => self.say_events(&entry, life, place).await?,
            false => place,
        };
        self.say_changed(&entry, life, place).await
    }

    /// One that is not here may be about to come or to go; the store knows.
    async fn look_whether_gone(&mut self, id: ConversationId) -> ports::Result<()> {
        let Some(held) = self.known.get(id) else { return Ok(()) };
        match self.is_stored(id, held.life).await? {
            true => drop(self.missing.insert(id)),
            false => self.say_deleted(id).await,
        }
        Ok(())
    }

    async fn is_stored(&self, id: ConversationId, life: Life) -> ports::Result<bool> {
        let stored = self.with.reading.index.read(id).await?;
        Ok(stored.is_some_and(|record| record.tenant == self.with.tenant && Life::of(&record) == life))
    }

    async fn say_deleted(&mut self, id: ConversationId) {
        self.tapes.forget(id);
        if self.known.forget(id) {
            let cursor = self.cursor();
            self.push(self.with.form.deleted(id, &cursor)).await;
        }
    }

    async fn say_created(&mut self, entry: &ConversationState, life: Life) -> ports::Result<Place> {
        let brief = entry.brief().map_err(unwritten)?;
        let mut place = Place::whole(brief.version);
        if self.with.wishes.events {
            place.events = Seq::ZERO;
        }
        self.known.put(entry.id, life, place, brief.status == Status::Running);
        let cursor = self.cursor();
        self.push(self.with.form.created(&brief.text, &cursor)).await;
        Ok(place)
    }

    async fn say_changed(&mut self, entry: &ConversationState, life: Life, had: Place) -> ports::Result<()> {
        if !had.is_passed_by(entry.version()) {
            return Ok(());
        }
        let brief = entry.brief().map_err(unwritten)?;
        // It goes on meanwhile, and may have gone back.
        if !had.is_passed_by(brief.version) {
            return Ok(());
        }
        let (seq, revision) = brief.version;
        let events = if self.with.wishes.events { had.events } else { had.events.max(seq) };
        self.known.put(
            entry.id,
            life,
            Place { revision, brief: seq, events },
            brief.status == Status::Running,
        );
        let cursor = self.cursor();
        self.push(self.with.form.changed(&brief.text, &cursor)).await;
        Ok(())
    }

    /// Those that are stored by now; of those that come meanwhile there is news again.
    async fn say_events(
        &mut self,
        entry: &Arc<ConversationState>,
        life: Life,
        mut place: Place,
    ) -> ports::Result<Place> {
        self.tapes.look_at(entry);
        let (until, is_running) = (entry.seq(), entry.status() == Status::Running);
        while place.events < until {
            let records = entry.after(&*self.with.reading.log, place.events, READ_RECORDS).await?;
            let Some(last) = records.last().map(|record| record.seq) else { break };
            for record in &records {
                let Shown::Event { n, text } = shown(&record.payload) else { continue };
                let Ok(event) = str::from_utf8(&text) else { continue };
                if self.with.wishes.wants(event) {
                    place.events = record.seq;
                    self.known.put(entry.id, life, place, is_running);
                    let cursor = self.cursor();
                    self.push(self.with.form.event(entry.id, n, event, &cursor)).await;
                }
            }
            place.events = last;
            self.known.put(entry.id, life, place, is_running);
        }
        Ok(place)
    }

    fn get(&self, id: ConversationId) -> Option<Arc<ConversationState>> {
        self.with.reading.index.get(&self.with.tenant, id)
    }

    /// All of the tenant. One that changes its place meanwhile may not be among them; there is news of it.
    async fn present(&self, sort: Sort) -> Vec<Arc<ConversationState>> {
        let (mut present, mut from) = (Vec::new(), None);
        loop {
            let (some, next) = self.with.reading.index.page(&self.with.tenant, sort, from, None, WALKED);
            present.extend(some);
            if next.is_none() {
                return present;
            }
            from = next;
            yield_now().await;
        }
    }

    fn cursor(&self) -> String {
        self.with.streams.cursors().write(&self.with.tenant, &self.known.cursor())
    }

    async fn push(&self, text: Utf8Bytes) {
        self.outbox.has_room().await;
        self.outbox.push(Item::Frame(text));
    }
}

fn unwritten(error: serde_json::Error) -> ports::Error {
    ports::Error::Internal(error.to_string())
}

fn failed(error: JoinError) -> ports::Error {
    ports::Error::Internal(error.to_string())
}

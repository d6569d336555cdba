//! Pages and counts of events under a filter.

use std::sync::Arc;

use bytes::Bytes;
use ports::Result;
use serde::Deserialize;
use types::Seq;
use types::event::Source;

use super::offsets::{EventKey, EventSource, KindKey, Offsets, Row};
use super::{History, Moment};
use crate::index::ConversationState;

/// Which events are wanted; everything that is set must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The class name, bare or with its Python path.
    pub kind: Option<String>,
    pub source: Option<Source>,
    /// A part of a message's text, in any case; only messages match.
    pub body: Option<String>,
    pub from: Option<Moment>,
    pub before: Option<Moment>,
}

/// By position in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Forward,
    Backward,
}

/// JSON texts of events, and the id of the one after them.
#[derive(Debug, Default)]
pub struct Page {
    pub items: Vec<Bytes>,
    pub next: Option<String>,
}

/// Events looked into at a time for a text.
const CHUNK: usize = 64;

/// Bytes of records that are in memory at once for one page, unless a single one has more. A page that would have more
/// ends early.
const MOST_BYTES: usize = 16 << 20;

impl History {
    /// Up to `limit` events from the one with the id `from` on (from the start, if there is none).
    ///
    /// # Errors
    /// Those of the log.
    pub async fn search(
        &self,
        entry: &ConversationState,
        filter: &Filter,
        order: Order,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Page> {
        let search = self.search_in(entry, filter, order).await?;
        let from = from.and_then(|id| search.place_of(id));
        match filter.needle() {
            None => search.page(from, limit).await,
            Some(needle) => search.page_with(&needle, from, limit).await,
        }
    }

    /// # Errors
    /// Those of the log.
    pub async fn count(&self, entry: &ConversationState, filter: &Filter) -> Result<u64> {
        if filter.is_open() {
            return Ok(entry.events());
        }
        let search = self.search_in(entry, filter, Order::Forward).await?;
        match filter.needle() {
            None => Ok(search.offsets.count(filter.wanted()) as u64),
            Some(needle) => search.count_with(&needle).await,
        }
    }

    async fn search_in<'a>(
        &'a self,
        entry: &'a ConversationState,
        filter: &'a Filter,
        order: Order,
    ) -> Result<Search<'a>> {
        Ok(Search { history: self, entry, offsets: self.offsets(entry).await?, filter, order })
    }
}

/// One search in one log. With a text, whether a row matches shows only in its event.
struct Search<'a> {
    history: &'a History,
    entry: &'a ConversationState,
    offsets: Arc<Offsets>,
    filter: &'a Filter,
    order: Order,
}

impl Search<'_> {
    async fn page(&self, from: Option<Seq>, limit: usize) -> Result<Page> {
        let rows = self.rows(from, limit.saturating_add(1));
        let fits = within(&rows, MOST_BYTES).min(limit);
        let next = match rows.get(fits) {
            Some(next) => self.id_of(next).await?,
            None => None,
        };
        Ok(Page { items: self.texts(rows.get(..fits).unwrap_or_default()).await?, next })
    }

    async fn page_with(&self, needle: &str, mut from: Option<Seq>, limit: usize) -> Result<Page> {
        let (mut page, mut bytes) = (Page::default(), 0);
        loop {
            let events = self.events(from).await?;
            let Some((last, _)) = events.last() else { return Ok(page) };
            from = Some(self.beyond(last));
            for (row, text) in events {
                if !mentions(&text, needle) {
                    continue;
                }
                bytes += text.len();
                if page.items.len() == limit || bytes > MOST_BYTES && !page.items.is_empty() {
                    page.next = self.id_of(&row).await?;
                    return Ok(page);
                }
                page.items.push(text);
            }
        }
    }

    async fn count_with(&self, needle: &str) -> Result<u64> {
        let (mut count, mut from) = (0, None);
        loop {
            let events = self.events(from).await?;
            let Some((last, _)) = events.last() else { return Ok(count) };
            from = Some(self.beyond(last));
            count += events.iter().filter(|(_, text)| mentions(text, needle)).count() as u64;
        }
    }

    /// The next events that match but for the text.
    async fn events(&self, from: Option<Seq>) -> Result<Vec<(Row, Bytes)>> {
        let mut rows = self.rows(from, CHUNK);
        rows.truncate(within(&rows, MOST_BYTES));
        let texts = self.texts(&rows).await?;
        Ok(rows.into_iter().zip(texts).collect())
    }

    fn rows(&self, from: Option<Seq>, enough: usize) -> Vec<Row> {
        self.offsets.find(self.order, from, enough, self.filter.wanted())
    }

    async fn texts(&self, rows: &[Row]) -> Result<Vec<Bytes>> {
        self.history.texts(self.entry, rows, self.order).await
    }

    fn place_of(&self, id: &str) -> Option<Seq> {
        let key = EventKey::new(id);
        let found = self.offsets.find(Order::Forward, None, 1, |row| row.id == key);
        found.first().map(|row| row.place.seq)
    }

    fn beyond(&self, row: &Row) -> Seq {
        match self.order {
            Order::Forward => Seq(row.place.seq.0.saturating_add(1)),
            Order::Backward => row.place.prev,
        }
    }

    /// The text of an id of which only a digest may be known.
    async fn id_of(&self, row: &Row) -> Result<Option<String>> {
        #[derive(Deserialize)]
        struct Named {
            id: String,
        }
        if let EventKey::Uuid(id) = row.id {
            return Ok(Some(id.hyphenated().to_string()));
        }
        let texts = self.texts(&[*row]).await?;
        Ok(texts.first().and_then(|text| serde_json::from_slice(text).ok()).map(|Named { id }| id))
    }
}

/// How many of the first rows have no more than so many bytes together; one at least.
pub(super) fn within(rows: &[Row], most_bytes: usize) -> usize {
    let mut bytes = 0_usize;
    let fits = rows.iter().take_while(|row| {
        bytes = bytes.saturating_add(row.place.len as usize);
        bytes <= most_bytes
    });
    fits.count().max(1).min(rows.len())
}

impl Filter {
    fn is_open(&self) -> bool {
        let Self { kind, source, body, from, before } = self;
        kind.is_none() && source.is_none() && body.is_none() && from.is_none() && before.is_none()
    }

    fn needle(&self) -> Option<String> {
        self.body.as_ref().map(|body| body.to_lowercase())
    }

    /// Which rows match but for the text.
    fn wanted(&self) -> impl Fn(&Row) -> bool {
        let kind = self.kind.as_deref().map(|kind| KindKey::new(kind.rsplit('.').next().unwrap_or(kind)));
        let message = self.body.is_some().then(|| KindKey::new("MessageEvent"));
        let source = self.source.map(EventSource::from);
        move |row| {
            kind.is_none_or(|kind| row.kind == kind)
                && message.is_none_or(|kind| row.kind == kind)
                && source.is_none_or(|source| row.source == source)
                && self.from.is_none_or(|from| row.at >= from)
                && self.before.is_none_or(|before| row.at < before)
        }
    }
}

impl From<Source> for EventSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Agent => Self::Agent,
            Source::User => Self::User,
            Source::Environment => Self::Environment,
            Source::Hook => Self::Hook,
        }
    }
}

/// Whether the text of a message has `needle`, which is in lower case, in it.
fn mentions(event: &[u8], needle: &str) -> bool {
    #[derive(Deserialize)]
    struct MessageTexts {
        llm_message: Message,
        #[serde(default)]
        extended_content: Vec<Piece>,
    }
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        content: Vec<Piece>,
        #[serde(default)]
        reasoning_content: Option<String>,
    }
    #[derive(Deserialize)]
    struct Piece {
        #[serde(default)]
        text: Option<String>,
    }
    let Ok(event) = serde_json::from_slice::<MessageTexts>(event) else { return false };
    let pieces = event.llm_message.content.into_iter().chain(event.extended_content);
    let mut texts = pieces.filter_map(|piece| piece.text).chain(event.llm_message.reasoning_content);
    texts.any(|text| text.to_lowercase().contains(needle))
}

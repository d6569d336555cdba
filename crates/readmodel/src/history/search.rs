//! Pages and counts of events under a filter.

use bytes::Bytes;
use ports::Result;
use serde::Deserialize;
use types::event::Source;

use super::offsets::{EventKey, EventSource, RecordOffset, Row, Rows};
use super::{History, Moment, fetch};
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
        let offsets = self.offsets(entry).await?;
        let needle = filter.needle();
        // With a text, whether a row matches shows only in its event.
        let enough = if needle.is_some() { usize::MAX } else { limit.saturating_add(1) };
        let mut rows = offsets.read(|rows| filter.choose(rows, order, from, enough));
        let Some(needle) = needle else {
            let next = (rows.len() > limit).then(|| rows.pop()).flatten().map(|(_, id)| id.text());
            let places: Vec<_> = rows.into_iter().map(|(place, _)| place).collect();
            return Ok(Page { items: self.texts(entry, places, order).await?, next });
        };
        let mut page = Page::default();
        for chunk in rows.chunks(CHUNK) {
            let places = chunk.iter().map(|(place, _)| *place).collect();
            let texts = self.texts(entry, places, order).await?;
            for (text, (_, id)) in texts.into_iter().zip(chunk) {
                if !mentions(&text, &needle) {
                    continue;
                }
                if page.items.len() == limit {
                    page.next = Some(id.text());
                    return Ok(page);
                }
                page.items.push(text);
            }
        }
        Ok(page)
    }

    /// # Errors
    /// Those of the log.
    pub async fn count(&self, entry: &ConversationState, filter: &Filter) -> Result<u64> {
        if filter.is_open() {
            return Ok(entry.events());
        }
        let offsets = self.offsets(entry).await?;
        let Some(needle) = filter.needle() else {
            return Ok(offsets.read(|rows| filter.matching(rows).count()) as u64);
        };
        let rows = offsets.read(|rows| filter.choose(rows, Order::Forward, None, usize::MAX));
        let mut count = 0;
        for chunk in rows.chunks(CHUNK) {
            let places = chunk.iter().map(|(place, _)| *place).collect();
            let texts = self.texts(entry, places, Order::Forward).await?;
            count += texts.iter().filter(|text| mentions(text, &needle)).count() as u64;
        }
        Ok(count)
    }

    async fn texts(
        &self,
        entry: &ConversationState,
        mut places: Vec<RecordOffset>,
        order: Order,
    ) -> Result<Vec<Bytes>> {
        if order == Order::Backward {
            places.reverse();
        }
        let mut texts = fetch::events(&*self.log, &entry.log, &places).await?;
        if order == Order::Backward {
            texts.reverse();
        }
        Ok(texts)
    }
}

impl Filter {
    fn is_open(&self) -> bool {
        let Self { kind, source, body, from, before } = self;
        kind.is_none() && source.is_none() && body.is_none() && from.is_none() && before.is_none()
    }

    fn needle(&self) -> Option<String> {
        self.body.as_ref().map(|body| body.to_lowercase())
    }

    /// Rows that match but for the text.
    fn matching<'a>(&'a self, rows: &'a Rows) -> impl DoubleEndedIterator<Item = &'a Row> {
        let kind = self.kind.as_deref().map(|kind| kind.rsplit('.').next().unwrap_or(kind));
        let source = self.source.map(EventSource::from);
        rows.iter().filter(move |row| {
            kind.is_none_or(|kind| rows.kind(row) == kind)
                && source.is_none_or(|source| row.source == source)
                && self.from.is_none_or(|from| row.at >= from)
                && self.before.is_none_or(|before| row.at < before)
                && (self.body.is_none() || rows.kind(row) == "MessageEvent")
        })
    }

    fn choose(
        &self,
        rows: &Rows,
        order: Order,
        from: Option<&str>,
        enough: usize,
    ) -> Vec<(RecordOffset, EventKey)> {
        let from = from.map(EventKey::new);
        let cursor = from.and_then(|key| rows.iter().find(|row| row.id == key)).map(|row| row.place.seq);
        let kept = |row: &Row| (row.place, row.id.clone());
        match order {
            Order::Forward => {
                let matching = self.matching(rows).filter(|row| cursor.is_none_or(|at| row.place.seq >= at));
                matching.take(enough).map(kept).collect()
            }
            Order::Backward => {
                let matching =
                    self.matching(rows).rev().filter(|row| cursor.is_none_or(|at| row.place.seq <= at));
                matching.take(enough).map(kept).collect()
            }
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

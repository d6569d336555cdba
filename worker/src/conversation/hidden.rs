//! The secrets of a conversation, as its tools know them.

use std::sync::Arc;

use tools::{Boxed, Screen};

use super::mask::{Holdback, Masker};
use super::secrets::Secrets;

pub(super) struct Hidden(pub(super) Arc<Secrets>);

impl tools::Secrets for Hidden {
    fn exports<'a>(&'a self, command: &'a str) -> Boxed<'a, Vec<(String, String)>> {
        Box::pin(self.0.exports(command))
    }

    fn screen(&self) -> Box<dyn Screen> {
        Box::new(Text { masker: self.0.masker(), holdback: Holdback::default() })
    }

    fn mask(&self, text: &str) -> String {
        self.0.masker().mask(text)
    }
}

/// A text that is being printed.
struct Text {
    masker: Masker,
    holdback: Holdback,
}

impl Screen for Text {
    fn push(&mut self, piece: &str) -> String {
        self.holdback.push(piece, &self.masker)
    }

    fn finish(&mut self) -> String {
        self.holdback.finish(&self.masker)
    }
}

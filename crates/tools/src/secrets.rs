//! What tools have to know of a conversation's secrets: what commands get, and what must be hidden.

use std::future::Future;
use std::pin::Pin;

pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The secrets of a conversation. They may become more while its tools run.
pub trait Secrets: Send + Sync {
    /// Names and values to export before `command` runs. They are hidden from then on.
    fn exports<'a>(&'a self, command: &'a str) -> Boxed<'a, Vec<(String, String)>>;

    /// Hides what is known in a text that comes in pieces. It sees a tool's raw text before any of it is cut, saved
    /// or shown.
    fn screen(&self) -> Box<dyn Screen>;

    /// Hides what is known in a whole text.
    fn mask(&self, text: &str) -> String {
        let mut screen = self.screen();
        let mut shown = screen.push(text);
        shown.push_str(&screen.finish());
        shown
    }
}

/// Text goes in, and comes out without secrets.
pub trait Screen: Send {
    /// Takes a piece and gives what may be shown by now. What may be the beginning of a secret is held back.
    fn push(&mut self, piece: &str) -> String;

    /// Gives the rest: this text has ended.
    fn finish(&mut self) -> String;
}

/// A conversation without secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn exports<'a>(&'a self, _command: &'a str) -> Boxed<'a, Vec<(String, String)>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn screen(&self) -> Box<dyn Screen> {
        Box::new(Self)
    }
}

impl Screen for NoSecrets {
    fn push(&mut self, piece: &str) -> String {
        piece.to_owned()
    }

    fn finish(&mut self) -> String {
        String::new()
    }
}

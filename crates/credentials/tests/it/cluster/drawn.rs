//! More that a worker of sandbox `a`, epoch 1, tries: put together at random of what the list of attempts has.

use async_nats::header::HeaderMap;
use serde_json::Value;
use testing::random::Random;
use types::subjects;

use super::configurations::{self, Named};
use super::{attempts, store};

pub struct Attempt {
    pub subject: String,
    pub reply: Option<String>,
    pub headers: Option<HeaderMap>,
    pub body: String,
}

pub struct Dice {
    random: Random,
    targets: Vec<String>,
    patterns: Vec<String>,
    streams: Vec<String>,
    headers: Vec<HeaderMap>,
}

impl Dice {
    pub fn new() -> Self {
        Self {
            random: Random::seeded(),
            targets: attempts::targets().into_iter().collect(),
            patterns: attempts::patterns().into_iter().collect(),
            streams: store::streams().into_iter().chain(["COPY".to_owned()]).collect(),
            headers: attempts::headers(),
        }
    }

    /// What is published: to somebody else, or as its own call with an answer for somebody else.
    pub fn attempt(&mut self) -> Attempt {
        let headers = (self.random.below(3) == 0).then(|| self.random.pick(&self.headers).clone());
        let (subject, reply, body) = match self.random.below(10) {
            0..4 => {
                let (subject, config) = self.configuration();
                (subject, self.reply(), config.to_string())
            }
            4..8 => {
                let subject = self.subject();
                let body = attempts::body(&subject);
                (subject, self.reply(), body)
            }
            _ => {
                let own = *self.random.pick(&attempts::OWN);
                let reply = self.subject();
                // Incarnations of one sandbox are one party.
                let is_own = reply.starts_with("_INBOX_a_");
                (
                    own.to_owned(),
                    (!is_own || !subjects::may_answer(own, &reply)).then_some(reply),
                    String::new(),
                )
            }
        };
        Attempt { subject, reply, headers, body }
    }

    /// What is listened to.
    pub fn pattern(&mut self) -> String {
        loop {
            let pattern = self.mixed(|dice| &dice.patterns);
            let is_own = subjects::covers("mh.cmd.a.*.1", &pattern) || pattern.starts_with("_INBOX_a_1.");
            if !is_own && !pattern.trim_end_matches('>').contains('>') {
                return pattern;
            }
        }
    }

    fn reply(&mut self) -> Option<String> {
        match self.random.below(3) {
            0 => None,
            1 => Some("_INBOX_a_1.try".to_owned()),
            _ => Some(self.subject()),
        }
    }

    /// Of somebody else.
    fn subject(&mut self) -> String {
        loop {
            let subject = self.mixed(|dice| &dice.targets);
            if !is_own(&subject) {
                return subject;
            }
        }
    }

    /// The beginning of one and the end of another.
    fn mixed(&mut self, of: impl Fn(&Self) -> &Vec<String>) -> String {
        let mut random = self.random.clone();
        let (one, other) = (random.pick(of(self)).clone(), random.pick(of(self)).clone());
        self.random = random;
        let (one, other): (Vec<_>, Vec<_>) = (one.split('.').collect(), other.split('.').collect());
        let (head, tail) =
            (self.random.below(one.len() as u64 + 1), self.random.below(other.len() as u64 + 1));
        let tokens = [&one[..head as usize], &other[tail as usize..]].concat();
        if tokens.is_empty() { other.join(".") } else { tokens.join(".") }
    }

    fn configuration(&mut self) -> (String, Value) {
        let stream = self.random.pick(&self.streams).clone();
        let source = self.random.pick(&self.streams).clone();
        let named = Named { stream, source, elsewhere: self.subject(), taken: self.subject() };
        configurations::call(&mut self.random, &named)
    }
}

/// Whether a worker of sandbox `a`, epoch 1, may publish there.
fn is_own(subject: &str) -> bool {
    matches!(
        subject.split('.').collect::<Vec<_>>()[..],
        ["mh", "rec" | "llm", "a"]
            | ["mh", "live" | "llm", "a", _]
            | ["mh", "hist", "a", "1"]
            | ["mh", "ans", "a", "1", _, _]
    )
}

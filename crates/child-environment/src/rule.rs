//! Which variables pass.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use crate::{Chosen, Variable, names, secret};

/// The allow list: the names that ordinary work needs, and those of the operator.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    further: Vec<String>,
    exact: BTreeSet<String>,
    patterns: Vec<Pattern>,
}

/// What stands before and after the `*`.
#[derive(Clone, Debug)]
struct Pattern {
    start: String,
    end: String,
}

/// What becomes of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Passes,
    /// It would pass, but looks like a secret and is not named exactly.
    LooksSecret,
    /// It is on no list.
    NotListed,
    /// It configures the server.
    OfTheServer,
}

/// A name or pattern that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// By its place: what stands there may be a name with its value.
    #[error("must be names, or patterns with one *, without = and blanks: number {0} is none")]
    NoName(usize),
    #[error("variables of the server itself are never passed on: `{0}`")]
    OfTheServer(String),
}

impl Rule {
    /// `further`: names and patterns of the operator.
    ///
    /// # Errors
    /// The first that can be no variable's.
    pub fn new(further: &[String]) -> Result<Self, Unusable> {
        let mut rule = Self { further: further.to_vec(), ..Self::default() };
        for (place, text) in further.iter().enumerate() {
            rule.add(place, text)?;
        }
        Ok(rule)
    }

    fn add(&mut self, place: usize, text: &str) -> Result<(), Unusable> {
        let is_name =
            !text.is_empty() && !text.contains(|c: char| c == '=' || c.is_whitespace() || c == '\0');
        if !is_name {
            return Err(Unusable::NoName(place));
        }
        if names::is_of_the_server(text) {
            return Err(Unusable::OfTheServer(text.to_owned()));
        }
        match text.split_once('*') {
            None => drop(self.exact.insert(text.to_owned())),
            Some((_, end)) if end.contains('*') => return Err(Unusable::NoName(place)),
            Some((start, end)) => {
                self.patterns.push(Pattern { start: start.to_owned(), end: end.to_owned() });
            }
        }
        Ok(())
    }

    /// The names and patterns of the operator.
    #[must_use]
    pub fn further(&self) -> &[String] {
        &self.further
    }

    /// What becomes of the variable `name`.
    #[must_use]
    pub fn judge(&self, name: &OsStr, value: &OsStr) -> Verdict {
        let Some(name) = name.to_str() else { return Verdict::NotListed };
        if names::is_of_the_server(name) {
            return Verdict::OfTheServer;
        }
        if self.exact.contains(name) {
            return Verdict::Passes;
        }
        if !names::is_ordinary(name) && !self.patterns.iter().any(|pattern| pattern.matches(name)) {
            return Verdict::NotListed;
        }
        let value = value.to_string_lossy();
        // Of a place on the network the scheme may be missing, and a password may hold anything.
        let has_user = names::is_place(name) && value.contains('@') || secret::is_url_with_user(&value);
        if has_user || secret::is_name_of_secret(name) {
            return Verdict::LooksSecret;
        }
        Verdict::Passes
    }

    /// Divides `own` into what passes and what is withheld.
    pub fn apply(&self, own: impl IntoIterator<Item = Variable>) -> Chosen {
        let mut chosen = Chosen::default();
        for (name, value) in own {
            match self.judge(&name, &value) {
                Verdict::Passes => chosen.passing.push((name, value)),
                Verdict::LooksSecret => chosen.withheld.push(name.to_string_lossy().into_owned()),
                Verdict::NotListed | Verdict::OfTheServer => {}
            }
        }
        chosen
    }
}

impl Pattern {
    fn matches(&self, name: &str) -> bool {
        name.strip_prefix(&self.start).is_some_and(|rest| rest.ends_with(&self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(further: &[&str]) -> Rule {
        Rule::new(&further.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn verdict(rule: &Rule, name: &str, value: &str) -> Verdict {
        rule.judge(OsStr::new(name), OsStr::new(value))
    }

    #[test]
    fn what_ordinary_work_needs_passes_without_being_named() {
        let rule = rule(&[]);
        for name in [
            "PATH",
            "HOME",
            "LC_TIME",
            "https_proxy",
            "NO_PROXY",
            "JAVA_HOME",
            "VIRTUAL_ENV",
            "CARGO_HOME",
            "PIP_INDEX_URL",
            "npm_config_registry",
            "REQUESTS_CA_BUNDLE",
            "XDG_CONFIG_HOME",
        ] {
            assert_eq!(verdict(&rule, name, "https://host/path"), Verdict::Passes, "{name}");
        }
    }

    #[test]
    fn what_is_on_no_list_stays() {
        let rule = rule(&[]);
        for name in ["MY_FLAG", "OPENAI_API_KEY", "DATABASE_URL", "GH_PAT", "SSH_AUTH_SOCK", "LC"] {
            assert_eq!(verdict(&rule, name, "1"), Verdict::NotListed, "{name}");
        }
    }

    #[test]
    fn a_pattern_passes_no_secret_and_an_exact_name_does() {
        let pattern = rule(&["MY_*", "*_URL"]);
        assert_eq!(verdict(&pattern, "MY_FLAG", "1"), Verdict::Passes);
        for (name, value) in [
            ("MY_API_KEY", "1"),
            ("MY_PAT", "1"),
            ("MY_PWD", "1"),
            ("DATABASE_URL", "1"),
            ("MY_INDEX", "https://user:password@host/simple"),
        ] {
            assert_eq!(verdict(&pattern, name, value), Verdict::LooksSecret, "{name}");
            assert_eq!(verdict(&rule(&[name]), name, value), Verdict::Passes, "{name}");
        }
    }

    #[test]
    fn a_proxy_or_an_index_with_a_password_stays_until_it_is_named() {
        let values = [
            "https://user:password@host:8080",
            "user:password@host:8080",
            "http://user:pass/word@host",
            "//user:pass?word#@host:1",
        ];
        for name in
            ["HTTPS_PROXY", "http_proxy", "All_Proxy", "PIP_INDEX_URL", "npm_config_registry", "GOPROXY"]
        {
            for value in values {
                assert_eq!(verdict(&rule(&[]), name, value), Verdict::LooksSecret, "{name} {value}");
                assert_eq!(verdict(&rule(&[name]), name, value), Verdict::Passes, "{name} {value}");
            }
        }
    }

    #[test]
    fn nothing_of_the_server_passes_whatever_is_named() {
        let everything = rule(&["*"]);
        for name in ["OH_SECRET_KEY", "OH_PORT", "SESSION_API_KEY", "MANYHANDS_ENVIRONMENT_ON"] {
            assert_eq!(verdict(&everything, name, "1"), Verdict::OfTheServer, "{name}");
            assert!(Rule::new(&[name.to_owned()]).is_err(), "{name}");
        }
        assert_eq!(verdict(&everything, "OTEL_EXPORTER_OTLP_HEADERS", "a=b"), Verdict::LooksSecret);
    }

    #[test]
    fn what_can_be_no_name_is_refused() {
        for text in ["", "A=B", "A B", "A*B*C"] {
            assert!(Rule::new(&[text.to_owned()]).is_err(), "{text}");
        }
    }
}

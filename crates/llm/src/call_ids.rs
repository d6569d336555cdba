//! Ids of tool calls as a request has them. A conversation goes from model to model, and each wants another form:
//! one takes no dots, one at most forty characters, one exactly nine letters and digits. An id that does not fit,
//! or was there before, is replaced by one that follows from it, so that the next request has the same.

use std::borrow::Cow;
use std::collections::HashSet;

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Letters, digits, `_` and `-`, at most [`LONGEST`] of them.
    Usual,
    /// [`SHORT`] letters and digits.
    Short,
}

const LONGEST: usize = 40;
const SHORT: usize = 9;
const DIGITS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// The ids of one request, asked for in the order of the calls.
pub(crate) struct CallIds {
    form: Form,
    taken: HashSet<String>,
}

impl Form {
    /// Of Mistral's models, wherever they are served.
    pub(crate) fn of(model: &str) -> Self {
        let is_short = ["mistral", "mixtral", "devstral", "codestral", "magistral", "ministral", "pixtral"]
            .iter()
            .any(|family| model.to_ascii_lowercase().contains(family));
        if is_short { Self::Short } else { Self::Usual }
    }

    fn takes(self, id: &str) -> bool {
        match self {
            Self::Usual => {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
                (1..=LONGEST).contains(&id.len()) && id.bytes().all(fits)
            }
            Self::Short => id.len() == SHORT && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        }
    }
}

impl CallIds {
    pub(crate) fn new(form: Form) -> Self {
        Self { form, taken: HashSet::new() }
    }

    /// The id that goes out for the next call, which no other call of the request has.
    pub(crate) fn next<'a>(&mut self, id: &'a str) -> Cow<'a, str> {
        if self.form.takes(id) && self.taken.insert(id.to_owned()) {
            return Cow::Borrowed(id);
        }
        let mut salt = 0_u64;
        loop {
            let made = made_from(id, salt);
            if self.taken.insert(made.clone()) {
                return Cow::Owned(made);
            }
            salt += 1;
        }
    }
}

/// Fits every form.
fn made_from(id: &str, salt: u64) -> String {
    // FNV-1a: the same on every machine and in every release.
    let hash = id.bytes().chain(salt.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut rest = hash;
    let digit = |_| {
        let digit = usize::try_from(rest % 36).ok().and_then(|at| DIGITS.get(at)).copied().unwrap_or(b'a');
        rest /= 36;
        char::from(digit)
    };
    (0..SHORT).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WILD: [&str; 6] = [
        "functions.terminal:0",
        "a|b",
        "",
        "call_0_chatcmpl-0123456789abcdef0123456789abcdef",
        "é",
        "call_1",
    ];

    #[test]
    fn what_fits_goes_out_as_it_came() {
        let mut ids = CallIds::new(Form::Usual);
        for id in ["call_abc-1", "toolu_01", &"x".repeat(40)] {
            assert_eq!(ids.next(id), id);
        }
        assert_eq!(CallIds::new(Form::Short).next("abcDEF123"), "abcDEF123");
    }

    #[test]
    fn every_id_fits_is_its_own_and_is_the_same_in_the_next_request() {
        for form in [Form::Usual, Form::Short] {
            let all = |count: usize| {
                let mut ids = CallIds::new(form);
                WILD.iter().chain(&WILD).take(count).map(|id| ids.next(id).into_owned()).collect::<Vec<_>>()
            };
            let sent = all(2 * WILD.len());
            assert!(sent.iter().all(|id| form.takes(id)), "{sent:?}");
            assert_eq!(sent.iter().collect::<HashSet<_>>().len(), sent.len(), "{sent:?}");
            assert_eq!(all(WILD.len()), sent[..WILD.len()], "a longer history changes nothing before it");
        }
    }

    #[test]
    fn models_of_one_family_want_nine_letters() {
        assert_eq!(Form::of("mistral-large-latest"), Form::Short);
        assert_eq!(Form::of("mistralai/Devstral-Small"), Form::Short);
        assert_eq!(Form::of("claude-sonnet-4-5"), Form::Usual);
    }
}

//! Puts the calls of a streamed answer together. Which piece belongs to which call is told in as many ways as there are
//! servers: by index, by id, by both, by neither, by a new id for each piece, by one index for all.

use types::content::ToolCall;

use super::reply::SaidCall;
use crate::answer::tool_call;
use crate::json::Growing;
use crate::problem::Problem;

/// More calls than any answer has.
const MOST: usize = 4096;

#[derive(Default)]
pub(super) struct Calls(Vec<PartialCall>);

#[derive(Default)]
struct PartialCall {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: Growing,
    object: Object,
}

/// How far a text that grows is one object. Its brackets say so: to read all of it with each piece would take for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Object {
    /// There is nothing but blanks.
    #[default]
    None,
    Open {
        depth: u32,
        in_text: bool,
        escaped: bool,
    },
    Whole,
    /// It is something else, or has more behind it.
    Other,
}

impl Calls {
    pub(super) fn add(&mut self, piece: SaidCall) -> Result<(), Problem> {
        let at = self.place(&piece).filter(|at| !self.0.get(*at).is_some_and(|call| call.is_before(&piece)));
        let at = at.unwrap_or_else(|| {
            self.0.push(PartialCall { index: piece.index, ..PartialCall::default() });
            self.0.len() - 1
        });
        if self.0.len() > MOST {
            return Err(Problem::garbled("the streamed answer has too many calls"));
        }
        if let Some(call) = self.0.get_mut(at) {
            call.extend(piece);
        }
        Ok(())
    }

    /// In their order; those without a name are none.
    pub(super) fn whole(mut self) -> Vec<ToolCall> {
        self.0.sort_by_key(|call| call.index);
        let named = self.0.into_iter().filter(|call| !call.name.is_empty());
        named.map(|call| tool_call(&call.id, &call.name, call.arguments.finish())).collect()
    }

    /// Whether the arguments of one are cut off.
    pub(super) fn are_cut(&self) -> bool {
        self.0.iter().any(|call| matches!(call.object, Object::Open { .. }))
    }

    /// The call that a piece may belong to. A piece without a name begins none, whatever its id.
    fn place(&self, piece: &SaidCall) -> Option<usize> {
        let begins = !piece.name.is_empty();
        let fits =
            |call: &PartialCall| !begins || piece.id.is_empty() || call.id.is_empty() || call.id == piece.id;
        let same_id = |call: &PartialCall| !piece.id.is_empty() && call.id == piece.id;
        let same_index =
            |call: &PartialCall| piece.index.is_none() || call.index.is_none() || call.index == piece.index;
        let by_id = self.0.iter().rposition(|call| same_id(call) && (same_index(call) || !begins));
        by_id.or_else(|| match piece.index {
            Some(_) => self.0.iter().rposition(|call| call.index == piece.index && fits(call)),
            None => self.0.len().checked_sub(1).filter(|last| self.0.get(*last).is_some_and(fits)),
        })
    }
}

impl PartialCall {
    /// Whether this call is whole, so that the piece, which nothing else tells apart from it, begins another.
    fn is_before(&self, piece: &SaidCall) -> bool {
        let is_told = !piece.id.is_empty() && piece.id == self.id;
        if piece.name.is_empty() || self.object == Object::None || is_told {
            return false;
        }
        let begins = piece.arguments.trim_start().starts_with('{');
        piece.name != self.name || (self.object == Object::Whole && begins)
    }

    fn extend(&mut self, piece: SaidCall) {
        if self.id.is_empty() {
            self.id = piece.id;
        }
        // Some servers send a name in pieces, others all of it each time, or all of it so far.
        if piece.name.starts_with(&self.name) {
            self.name = piece.name;
        } else if self.object == Object::None {
            self.name.push_str(&piece.name);
        }
        let begins_anew = self.object == Object::Whole && piece.arguments.trim_start().starts_with('{');
        if begins_anew && self.arguments.so_far().trim() == "{}" {
            // It stood for what was to come.
            self.arguments.clear();
            self.object = Object::None;
        } else if begins_anew && self.arguments.so_far() == piece.arguments {
            return;
        }
        self.arguments.push(&piece.arguments);
        self.object = piece.arguments.bytes().fold(self.object, Object::after);
    }
}

impl Object {
    fn after(self, byte: u8) -> Self {
        let (depth, in_text, escaped) = match self {
            Self::None | Self::Whole if byte.is_ascii_whitespace() => return self,
            Self::None if byte == b'{' => (0, false, false),
            Self::None | Self::Whole | Self::Other => return Self::Other,
            Self::Open { depth, in_text, escaped } => (depth, in_text, escaped),
        };
        match byte {
            _ if escaped => Self::Open { depth, in_text, escaped: false },
            b'\\' if in_text => Self::Open { depth, in_text, escaped: true },
            b'"' => Self::Open { depth, in_text: !in_text, escaped },
            b'{' | b'[' if !in_text => Self::Open { depth: depth.saturating_add(1), in_text, escaped },
            b'}' | b']' if !in_text && depth <= 1 => Self::Whole,
            b'}' | b']' if !in_text => Self::Open { depth: depth - 1, in_text, escaped },
            _ => Self::Open { depth, in_text, escaped },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pieces as index, id, name, arguments.
    fn put_together(pieces: &[(Option<u64>, &str, &str, &str)]) -> Vec<String> {
        let mut calls = Calls::default();
        for (index, id, name, arguments) in pieces {
            let [id, name, arguments] = [id, name, arguments].map(|text| (*text).to_owned());
            calls.add(SaidCall { index: *index, id, name, arguments }).unwrap();
        }
        calls
            .whole()
            .into_iter()
            .map(|call| format!("{} {} {}", call.id, call.name, call.arguments))
            .collect()
    }

    #[test]
    fn a_name_in_pieces_is_one_and_a_name_that_is_repeated_is_no_other() {
        let zero = Some(0);
        for pieces in [
            [(zero, "1", "termi", ""), (zero, "1", "nal", ""), (zero, "", "", "{}")],
            [(zero, "1", "termi", ""), (zero, "", "nal", "{"), (zero, "", "", "}")],
            [(zero, "1", "terminal", ""), (zero, "1", "terminal", "{"), (zero, "1", "terminal", "}")],
            [(zero, "1", "terminal", ""), (zero, "", "terminal", "{"), (zero, "", "terminal", "}")],
            [(zero, "1", "termi", ""), (zero, "1", "terminal", "{}"), (zero, "1", "terminal", "")],
            [(None, "1", "termi", ""), (None, "", "nal", ""), (None, "", "", "{}")],
        ] {
            assert_eq!(put_together(&pieces), ["1 terminal {}"], "{pieces:?}");
        }
    }

    #[test]
    fn calls_that_nothing_but_their_form_tells_apart_are_several() {
        let a = r#"{"a":1}"#;
        for index in [Some(0), None] {
            let two = put_together(&[(index, "", "one", a), (index, "", "two", a)]);
            assert_eq!(two, [" one {\"a\":1}", " two {\"a\":1}"]);
            let same =
                put_together(&[(index, "", "one", a), (index, "", "one", a), (index, "", "one", "{}")]);
            assert_eq!(same, [" one {\"a\":1}", " one {\"a\":1}", " one {}"]);
        }
    }

    #[test]
    fn an_id_of_its_own_for_each_piece_makes_no_other_call() {
        let got =
            put_together(&[(Some(0), "a", "run", "{"), (Some(0), "b", "", "}"), (Some(1), "c", "two", "{}")]);
        assert_eq!(got, ["a run {}", "c two {}"]);
        assert_eq!(put_together(&[(None, "a", "run", "{"), (None, "b", "", "}")]), ["a run {}"]);
        assert_eq!(put_together(&[(Some(0), "a", "run", "{"), (Some(1), "a", "", "}")]), ["a run {}"]);
    }

    #[test]
    fn arguments_that_are_given_again_are_given_once() {
        let a = r#"{"a":1}"#;
        assert_eq!(put_together(&[(Some(0), "1", "run", "{}"), (Some(0), "", "", a)]), ["1 run {\"a\":1}"]);
        assert_eq!(put_together(&[(Some(0), "1", "run", a), (Some(0), "1", "run", a)]), ["1 run {\"a\":1}"]);
    }

    #[test]
    fn more_calls_than_any_answer_has_are_refused() {
        let mut calls = Calls::default();
        let call = |index| SaidCall { index: Some(index), name: "a".into(), ..SaidCall::default() };
        assert!((0..MOST as u64).all(|index| calls.add(call(index)).is_ok()));
        assert!(calls.add(call(MOST as u64)).is_err());
    }
}

//! Text that a terminal shows and does not obey. Agents, commands and models write what they like: sequences that move the
//! cursor, rename the window, fill the clipboard or turn the direction of what is read would act on whoever only looks.

/// Takes text piece by piece; a sequence may be split over several.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    #[default]
    Text,
    /// After `\r`: before `\n` it is a part of the line's end, elsewhere an end of its own.
    Return,
    Escape,
    /// After an escape that takes one more character, such as the choice of a character set.
    OneMore,
    /// `ESC [` up to a letter.
    Control,
    /// A text for the terminal itself, up to BEL or `ESC \`.
    Message,
    MessageEscape,
}

impl Plain {
    pub fn feed(&mut self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        for c in text.chars() {
            self.take(c, &mut shown);
        }
        shown
    }

    fn take(&mut self, c: char, shown: &mut String) {
        self.state = match (self.state, c) {
            (State::Return, '\n') => {
                shown.push('\n');
                State::Text
            }
            (State::Return, '\r') => State::Return,
            (State::Return, _) => {
                shown.push('\n');
                self.state = State::Text;
                return self.take(c, shown);
            }
            // Cancels whatever was begun.
            (_, '\u{18}' | '\u{1a}') => State::Text,
            (State::Message, '\u{7}' | '\u{9c}') => State::Text,
            (State::Message, '\u{1b}') => State::MessageEscape,
            (State::Message, _) => State::Message,
            (State::MessageEscape, '\\') => State::Text,
            (_, '\u{1b}') => State::Escape,
            (State::Escape | State::MessageEscape, '[') | (State::Text, '\u{9b}') => State::Control,
            (State::Escape | State::MessageEscape, ']' | 'P' | 'X' | '^' | '_')
            | (State::Text, '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}') => State::Message,
            (State::Escape | State::MessageEscape, ' '..='/') => State::OneMore,
            (State::Escape | State::MessageEscape | State::OneMore, _) => State::Text,
            (State::Control, ' '..='?') => State::Control,
            (State::Control, '@'..='~') => State::Text,
            // No sequence after all: what broke it is shown like any other.
            (State::Control, _) => {
                self.state = State::Text;
                return self.take(c, shown);
            }
            (State::Text, '\r') => State::Return,
            (State::Text, '\n' | '\t') => {
                shown.push(c);
                State::Text
            }
            (State::Text, c) => {
                if !c.is_control() && !turns_direction(c) {
                    shown.push(c);
                }
                State::Text
            }
        };
    }
}

/// Whether the character changes in which direction others are read.
pub fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A whole text.
pub fn block(text: &str) -> String {
    Plain::default().feed(text)
}

/// A whole text on one line.
pub fn line(text: &str) -> String {
    block(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A whole text of which nothing is left out, as where somebody decides about it: what a terminal would obey, and what nobody
/// would see, is written down.
pub fn visible(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => visible.push(c),
            c if c.is_control() || turns_direction(c) || is_unseen(c) => visible.extend(c.escape_default()),
            c => visible.push(c),
        }
    }
    visible
}

/// The same on one line.
pub fn visible_line(text: &str) -> String {
    visible(text).replace('\n', "\\n")
}

/// Whether nothing is seen of the character: what Unicode calls ignorable by default, what separates lines, what annotates, and the
/// letter of Braille without a dot.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_obey_is_left_out() {
        for (written, shown) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("a\u{1b}]0;title\u{7}b", "ab"),
            ("a\u{1b}]52;c;c2VjcmV0\u{1b}\\b", "ab"),
            ("a\u{1b}P1$r\u{1b}\\b", "ab"),
            ("\u{1b}(Bx\u{1b}=y\u{1b}cz", "xyz"),
            ("a\u{9b}2Jb\u{9d}0;t\u{9c}c", "abc"),
            ("one\r\ntwo\rthree\r", "one\ntwo\nthree"),
            ("a\u{8}\u{0}\u{7f}b\tc", "ab\tc"),
            ("user\u{202e}nimda\u{2066}", "usernimda"),
            ("\u{1b}[12\u{1b}[31mx", "x"),
            ("Grüße, 世界 🙂", "Grüße, 世界 🙂"),
        ] {
            assert_eq!(block(written), shown, "{written:?}");
        }
        assert_eq!(line(" a\u{1b}[1m\nb "), "a b");
    }

    #[test]
    fn what_nobody_would_see_is_written_down_where_somebody_decides() {
        for (written, shown) in [
            ("rm\u{3164}x", r"rm\u{3164}x"),
            ("a\u{115f}b\u{1160}\u{ffa0}", r"a\u{115f}b\u{1160}\u{ffa0}"),
            ("\u{2800}\u{200b}\u{2060}\u{feff}", r"\u{2800}\u{200b}\u{2060}\u{feff}"),
            ("a\u{fe0f}b\u{e0100}\u{e01ef}\u{e0041}", r"a\u{fe0f}b\u{e0100}\u{e01ef}\u{e0041}"),
            ("x\u{202e}y\u{2066}\u{61c}\u{180e}", r"x\u{202e}y\u{2066}\u{61c}\u{180e}"),
            ("Grüße, 世界 🙂\t\n", "Grüße, 世界 🙂\t\n"),
        ] {
            assert_eq!(visible(written), shown, "{written:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_is_left_wherever_a_text_is_cut(
            text in "([\u{1b}\u{9b}\u{9d}\u{90}\\[\\]();\\\\?0-9mKPx\u{7}\r\n\t\u{202e}]|\\PC){0,40}",
            at in 0..40_usize,
        ) {
            let at = text.char_indices().map(|(at, _)| at).nth(at).unwrap_or(text.len());
            let mut plain = Plain::default();
            let pieces = plain.feed(&text[..at]) + &plain.feed(&text[at..]);
            prop_assert_eq!(&pieces, &block(&text));
            let obeyed = |c: char| (c.is_control() && c != '\n' && c != '\t') || turns_direction(c);
            prop_assert!(!pieces.contains(obeyed), "{:?}", pieces);
            let all = visible(&text);
            prop_assert!(!all.contains(obeyed), "{:?}", all);
            let letters = |text: &str| text.chars().filter(|c| c.is_ascii_alphanumeric()).count();
            prop_assert!(letters(&all) >= letters(&text), "{:?}", all);
        }
    }
}

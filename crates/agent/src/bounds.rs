//! How large an answer of a model may become: no event of it goes above what clients take as one frame, 1 MiB.
//! A model writes a tenth of that in its longest answers; more comes from one that is broken, or hostile.

use serde::Serialize;
use serde_json::Value;
use types::Message;
use types::content::Content;

/// Bytes, as JSON, of an answer's texts.
const TEXT: usize = 256 << 10;
const REASONING: usize = 192 << 10;
/// Of reasoning that only the provider can read, which cannot be cut.
const SEALED_REASONING: usize = 64 << 10;
/// Of a call's arguments, in both forms an event has them in.
const ARGUMENTS: usize = 384 << 10;
/// Of what a call is answered with when it is wrong.
const COMPLAINT: usize = 16 << 10;
/// Of what is said to be missing of a goal, which is kept in memory with what is kept of the conversation.
const MISSING: usize = 8 << 10;
/// Of the names that a provider gives to answers and calls.
const LONGEST_ID: usize = 256;

const CUT: &str = "\n[The rest was too long to be kept.]";

/// Cuts the texts of an answer that are too long.
pub fn shortened(mut message: Message) -> Message {
    let mut room = TEXT;
    for piece in &mut message.content {
        if let Content::Text { text, .. } = piece {
            cut(text, room);
            room = room.saturating_sub(size(text));
        }
    }
    if let Some(reasoning) = &mut message.reasoning_content {
        cut(reasoning, REASONING);
    }
    if !is_kept(&message.thinking_blocks) {
        message.retain_thinking(|_| false);
    }
    message
}

/// Whether there is room for the thoughts of an answer.
pub fn is_kept(thinking_blocks: &[Value]) -> bool {
    size(&thinking_blocks) <= SEALED_REASONING
}

/// Cuts the text of a summary.
pub fn text(mut text: String) -> String {
    cut(&mut text, TEXT);
    text
}

/// Cuts what is said to be missing of a goal.
pub fn missing(mut text: String) -> String {
    cut(&mut text, MISSING);
    text
}

/// Whether a provider's name for an answer or a call is one that may be kept.
pub fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= LONGEST_ID
}

/// Why a call is not taken: its arguments are too long to be kept, as they came and, in `made`, as what an event
/// has of them beside that.
pub fn too_long(tool: &str, arguments: &str, made: Option<&impl Serialize>) -> Option<String> {
    let is_too_long = size(&arguments) + made.map_or(0, size) > ARGUMENTS;
    is_too_long.then(|| {
        format!(
            "Error validating tool '{tool}': the arguments are too long to be kept. Do it in smaller parts"
        )
    })
}

/// What is wrong with a call, in words that fit into an event.
pub fn complaint(error: &str) -> String {
    let mut error = error.to_owned();
    cut(&mut error, COMPLAINT);
    error
}

/// Cuts `text` so that it takes no more than `most` bytes as JSON.
fn cut(text: &mut String, most: usize) {
    if size(text) <= most {
        return;
    }
    let mut room = most.saturating_sub(CUT.len() + 3);
    let fits = |(_, character): &(usize, char)| {
        let cost = size(character) - 2;
        let fits = cost <= room;
        room = room.saturating_sub(cost);
        fits
    };
    let end =
        text.char_indices().take_while(fits).last().map_or(0, |(at, character)| at + character.len_utf8());
    text.truncate(end);
    text.push_str(CUT);
}

/// Bytes as JSON.
fn size(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // What cannot be written is too long for sure.
    serde_json::to_writer(&mut count, value).map_or(usize::MAX / 4, |()| count.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_to_its_size_as_json() {
        for character in ["a", "\"", "\u{1}", "é", "😀"] {
            let mut text = character.repeat(10_000);
            cut(&mut text, 1_000);
            assert!(text.ends_with(CUT) && text.starts_with(character));
            assert!((990..=1_000).contains(&size(&text)), "{} of {character:?}", size(&text));
        }
        let mut short = "short".to_owned();
        cut(&mut short, 7);
        assert_eq!(short, "short");
    }
}

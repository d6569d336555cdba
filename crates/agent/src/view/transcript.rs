//! A history as a text.

use super::Item;

/// The end of what happened in these items, within so many bytes; of each text so many characters.
pub fn transcript(items: &[Item], longest: usize, mut room: usize) -> String {
    let mut pieces = Vec::new();
    let outlines = items.iter().rev().flat_map(|item| item.outline().into_iter().rev());
    for (tag, text) in outlines {
        let piece = piece(tag, &text, longest);
        if piece.len() > room {
            let end = piece.get(piece.ceil_char_boundary(piece.len() - room)..).unwrap_or_default();
            pieces.push(format!("[The history before this is left out.]\n{end}"));
            break;
        }
        room -= piece.len();
        pieces.push(piece);
    }
    pieces.reverse();
    pieces.concat()
}

/// One text, cut to so many characters.
pub fn piece(tag: &str, text: &str, longest: usize) -> String {
    let (text, cut) = match text.char_indices().nth(longest) {
        Some((at, _)) => (text.get(..at).unwrap_or_default(), "..."),
        None => (text, ""),
    };
    format!("<{tag}>\n{text}{cut}\n</{tag}>\n")
}

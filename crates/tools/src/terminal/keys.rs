//! Named keys, as input to a running command.

/// The bytes a terminal sends for a key's name (any case): `ENTER`, `UP`, `C-c` and so on.
pub fn special_key(name: &str) -> Option<Vec<u8>> {
    let name = name.trim().to_ascii_uppercase();
    let bytes: &[u8] = match name.as_str() {
        "ENTER" => b"\r",
        "TAB" => b"\t",
        "BS" => b"\x7f",
        "ESC" => b"\x1b",
        "UP" => b"\x1b[A",
        "DOWN" => b"\x1b[B",
        "RIGHT" => b"\x1b[C",
        "LEFT" => b"\x1b[D",
        "HOME" => b"\x1b[H",
        "END" => b"\x1b[F",
        "PGUP" => b"\x1b[5~",
        "PGDN" => b"\x1b[6~",
        _ => return control_key(&name).map(|byte| vec![byte]),
    };
    Some(bytes.to_owned())
}

/// `C-x`: the letter, or one of `@ [ \ ] ^ _`, with the control key held.
fn control_key(name: &str) -> Option<u8> {
    let mut rest = name.strip_prefix("C-")?.bytes();
    let key = rest.next()?;
    (rest.next().is_none() && (b'@'..=b'_').contains(&key)).then_some(key & 0x1f)
}

/// C-c, C-z and C-\, of which a terminal may make signals.
pub fn is_signal_key(typed: &[u8]) -> bool {
    matches!(typed, [0x03 | 0x1a | 0x1c])
}

/// What a terminal sends for typed text and the enter key after it.
pub fn typed_line(text: &str) -> Vec<u8> {
    let mut bytes = text.replace("\r\n", "\n").replace('\n', "\r").into_bytes();
    bytes.push(b'\r');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case_become_keys() {
        assert_eq!(special_key("c-C"), Some(vec![3]));
        assert_eq!(special_key("C-D"), Some(vec![4]));
        assert_eq!(special_key("C-z"), Some(vec![26]));
        assert_eq!(special_key("Up"), Some(b"\x1b[A".to_vec()));
        assert_eq!(special_key("C-cc"), None);
        assert_eq!(special_key("C-é"), None);
        assert_eq!(special_key("yes"), None);
    }
}

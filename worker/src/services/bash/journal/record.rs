//! Bash events as JSON. Nearly all of a flood's bytes pass here, so its texts are escaped by our own hands:
//! eight bytes at a time instead of one.

use bytes::Bytes;
use types::bash::{BashEvent, BashOutput};

const NO_TEXTS: &[u8] = br#""stdout":null,"stderr":null}"#;

/// The record of an event, just as serde writes it.
///
/// # Errors
/// Those of serde.
pub(super) fn encode(event: &BashEvent) -> serde_json::Result<Bytes> {
    let BashEvent::BashOutput(output) = event else { return serde_json::to_vec(event).map(Bytes::from) };
    let texts = [&output.stdout, &output.stderr];
    let length: usize = texts.into_iter().flatten().map(String::len).sum();
    // A little is escaped, as a rule.
    let mut record = Vec::with_capacity(length + length / 8 + 512);
    serde_json::to_writer(&mut record, &BashEvent::BashOutput(without_texts(output)))?;
    if !record.ends_with(NO_TEXTS) {
        return serde_json::to_vec(event).map(Bytes::from);
    }
    record.truncate(record.len() - NO_TEXTS.len());
    for (name, text) in [&b"\"stdout\":"[..], b",\"stderr\":"].into_iter().zip(texts) {
        record.extend_from_slice(name);
        match text {
            Some(text) => quote(text, &mut record),
            None => record.extend_from_slice(b"null"),
        }
    }
    record.push(b'}');
    Ok(record.into())
}

fn without_texts(output: &BashOutput) -> BashOutput {
    BashOutput {
        id: output.id.clone(),
        timestamp: output.timestamp.clone(),
        command_id: output.command_id.clone(),
        order: output.order,
        exit_code: output.exit_code,
        stdout: None,
        stderr: None,
    }
}

fn quote(text: &str, json: &mut Vec<u8>) {
    json.push(b'"');
    let mut rest = text.as_bytes();
    while let Some((plain, after)) = rest.split_at_checked(plain_length(rest)) {
        json.extend_from_slice(plain);
        let Some((special, after)) = after.split_first() else { break };
        escape(*special, json);
        rest = after;
    }
    json.push(b'"');
}

fn escape(byte: u8, json: &mut Vec<u8>) {
    let letter = match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        b'"' | b'\\' => byte,
        control => return json.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
    };
    json.extend_from_slice(&[b'\\', letter]);
}

/// How many bytes from the beginning need no escape.
fn plain_length(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    words.len() * 8 + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// The high bit of each byte that needs an escape. Bits above the lowest one may be set wrongly, as a
/// subtraction borrows from the next byte.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(stdout: Option<&str>, stderr: Option<&str>) -> BashEvent {
        BashEvent::BashOutput(BashOutput {
            id: "i".to_owned(),
            timestamp: "t".to_owned(),
            command_id: "c".to_owned(),
            order: 3,
            exit_code: Some(-9),
            stdout: stdout.map(str::to_owned),
            stderr: stderr.map(str::to_owned),
        })
    }

    fn is_as_serde_writes_it(event: &BashEvent) {
        let record = encode(event).unwrap();
        assert_eq!(str::from_utf8(&record).unwrap(), serde_json::to_string(event).unwrap());
    }

    #[test]
    fn every_character_is_escaped_as_serde_does() {
        for character in (0..0x250).chain([0xfffd, 0x1_f600]).filter_map(char::from_u32) {
            for before in 0..17 {
                let text = format!("{}{character}{character}after", "x".repeat(before));
                is_as_serde_writes_it(&output(Some(&text), None));
            }
        }
        is_as_serde_writes_it(&output(None, Some("")));
        is_as_serde_writes_it(&output(None, None));
    }

    #[test]
    fn escapes_may_follow_each_other_anywhere() {
        let characters = ['x', 'é', '"', '\\', '\n', '\u{1}', '\u{7f}'];
        for seed in 0..2_000_usize {
            let picked =
                (0..seed % 40).map(|at| characters[(seed * 31 + at * (at + seed)) % characters.len()]);
            let text: String = picked.collect();
            is_as_serde_writes_it(&output(Some(&text), Some(&text)));
        }
    }
}

//! The bound on the size of a result.
//!
//! Clients take no frame above 1 MiB, and an event is little more than its result. What is larger is cut where it is
//! longest, and the whole of it is kept in a file that the result names. Tools that know better what to leave out do
//! so themselves; nothing of theirs comes here then.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::folder::fresh_file;

/// Bytes of JSON a result may have; the rest of a frame is for the other fields of its event.
pub const MAX_BYTES: usize = 960 * 1024;
/// Texts are left this long at first; half of it until everything fits.
const LONGEST_TEXT: usize = 256 * 1024;
/// Where even that is too long there are so many texts that the whole is of no use.
const SHORTEST_TEXT: usize = 64;
/// Room for what is said about a cut.
const NOTICE_BYTES: usize = 4096;

/// Bytes of the JSON.
pub fn size(value: &Value) -> usize {
    let mut counter = Counter(0);
    // Writing into a counter cannot fail.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

/// `observation` as it may be stored. What is cut goes to a file in `folder` as a whole. Blocks.
pub fn cut_and_keep(observation: Value, folder: &Path) -> Value {
    let kept = match save(&observation, folder) {
        Ok(path) => format!("The whole result, as JSON, is in {}.", path.display()),
        Err(error) => format!("The whole result could not be saved: {error}."),
    };
    cut(observation, &kept)
}

/// Cuts `observation` until it fits; `kept` says where the whole is.
pub fn cut(mut observation: Value, kept: &str) -> Value {
    const ROOM: usize = MAX_BYTES - NOTICE_BYTES;
    let mut limit = LONGEST_TEXT;
    while size(&observation) > ROOM && limit >= SHORTEST_TEXT {
        shorten(&mut observation, limit);
        limit /= 2;
    }
    if size(&observation) > ROOM {
        observation = bare(&observation);
    }
    let notice = format!("[This result was too large and has been cut. {kept}]");
    if let Some(content) = observation.get_mut("content").and_then(Value::as_array_mut) {
        content.push(json!({"type": "text", "cache_prompt": false, "text": notice}));
    }
    observation
}

/// What every result has, and nothing else.
fn bare(observation: &Value) -> Value {
    let field = |name: &str| observation.get(name).cloned().unwrap_or_default();
    json!({"content": [], "is_error": field("is_error"), "kind": field("kind")})
}

fn save(observation: &Value, folder: &Path) -> io::Result<PathBuf> {
    let name = uuid::Uuid::new_v4().simple().to_string();
    let name = format!("result_{}.json", name.get(..8).unwrap_or(&name));
    fresh_file(folder, &name)?.write_all(&serde_json::to_vec(observation)?)?;
    Ok(folder.join(name))
}

/// Cuts the middle out of every text longer than `limit` bytes. Half an image is none: it becomes a text.
fn shorten(value: &mut Value, limit: usize) {
    match value {
        Value::String(text) if text.len() > limit => *text = without_middle(text, limit),
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, limit)),
        Value::Object(fields) => {
            if fields.get("image_urls").is_some_and(|urls| size(urls) > limit) {
                let text = "[An image was left out: it is too large to be shown.]";
                *value = json!({"type": "text", "cache_prompt": false, "text": text});
                return;
            }
            fields.values_mut().for_each(|field| shorten(field, limit));
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn without_middle(text: &str, limit: usize) -> String {
    let head = text.get(..text.floor_char_boundary(limit / 2)).unwrap_or_default();
    let tail = text.get(text.ceil_char_boundary(text.len() - limit / 2)..).unwrap_or_default();
    format!("{head}\n[... {} bytes cut ...]\n{tail}", text.len() - head.len() - tail.len())
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

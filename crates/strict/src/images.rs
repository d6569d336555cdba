//! Images: what their first bytes say they are, and how large they may be.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::look::{Verdict, demand, text};

/// Anthropic: "image exceeds 5 MB maximum".
const MOST_BYTES: usize = 5 << 20;
/// Anthropic and OpenAI: images of one request.
pub const MOST_IMAGES: usize = 100;

/// An image as a data URL, or an address that the provider reads.
pub fn url(url: &str, at: &str) -> Verdict {
    let Some(data) = url.strip_prefix("data:") else {
        let is_address = url.starts_with("https://") || url.starts_with("http://");
        return demand(is_address, || format!("{at}: neither an address nor data"));
    };
    let Some((media_type, data)) = data.split_once(";base64,") else {
        return Err(format!("{at}: data without base64"));
    };
    base64(media_type, data, at)
}

/// Anthropic's source of an image.
pub fn source(source: &Value, at: &str) -> Verdict {
    match text(source, "type") {
        "base64" => base64(text(source, "media_type"), text(source, "data"), at),
        "url" => url(text(source, "url"), at),
        other => Err(format!("{at}: a source of the kind {other:?}")),
    }
}

fn base64(media_type: &str, data: &str, at: &str) -> Verdict {
    let Ok(bytes) = STANDARD.decode(data) else { return Err(format!("{at}: no base64")) };
    demand(bytes.len() <= MOST_BYTES, || format!("{at}: an image of {} bytes", bytes.len()))?;
    // Anthropic: "The image was specified using the image/png media type, but the image appears to be a image/jpeg image".
    let kind = kind(&bytes);
    demand(kind == Some(media_type), || format!("{at}: said to be {media_type:?}, and is {kind:?}"))
}

fn kind(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

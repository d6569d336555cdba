//! Images the model may see. What a file is say its first bytes, never its name.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use types::Content;

/// Bytes of an image that fit into an event, where they are a third longer.
const MAX_BYTES: usize = 700 * 1024;

/// The type of an image that all models take; none: the file is no such image.
pub fn media_type(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Some("image/png");
    }
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Some("image/jpeg");
    }
    if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        return Some("image/gif");
    }
    (bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP")).then_some("image/webp")
}

/// # Errors
/// It is too large, in words for the model.
pub fn shown(path: &Path, media_type: &str, bytes: &[u8]) -> Result<Vec<Content>, String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!(
            "The image {} has {} KiB, and no more than {} KiB can be shown. Make a smaller copy and view that.",
            path.display(),
            bytes.len().div_ceil(1024),
            MAX_BYTES / 1024
        ));
    }
    let url = format!("data:{media_type};base64,{}", BASE64_STANDARD.encode(bytes));
    Ok(vec![
        Content::text(format!("The image {}:", path.display())),
        Content::Image { cache_prompt: false, image_urls: vec![url] },
    ])
}

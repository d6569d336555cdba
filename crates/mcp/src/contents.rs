//! What a tool answers, in blocks that a model can be shown.

use serde_json::Value;
use types::Content;

/// Text as it is, images by their bytes, and of all else what there is to say of it. A block that is none is left out.
pub(crate) fn read(block: &Value) -> Option<Content> {
    let text = |name: &str| block.get(name).and_then(Value::as_str);
    match text("type")? {
        "text" => text("text").map(Content::text),
        "image" => Some(image(text("mimeType")?, text("data")?)),
        "audio" => Some(Content::text(format!("[audio, {}]", text("mimeType").unwrap_or("of unknown kind")))),
        "resource" => resource(block.get("resource")?),
        "resource_link" => Some(Content::text(link(text("name"), text("uri")?, text("description")))),
        _ => None,
    }
}

fn image(kind: &str, data: &str) -> Content {
    Content::Image { cache_prompt: false, image_urls: vec![format!("data:{kind};base64,{data}")] }
}

/// A document that the server has sent along.
fn resource(resource: &Value) -> Option<Content> {
    let text = |name: &str| resource.get(name).and_then(Value::as_str);
    let kind = text("mimeType").unwrap_or("of unknown kind");
    match (text("text"), text("blob")) {
        (Some(words), _) => Some(Content::text(words)),
        (None, Some(data)) if kind.starts_with("image/") => Some(image(kind, data)),
        _ => Some(Content::text(format!("[{}: {kind}, not shown]", text("uri")?))),
    }
}

fn link(name: Option<&str>, uri: &str, description: Option<&str>) -> String {
    let described = description.map(|description| format!(": {description}")).unwrap_or_default();
    format!("[{} at {uri}{described}]", name.unwrap_or("resource"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_model_is_shown_texts_and_images_and_told_of_the_rest() {
        let shown = |block: Value| serde_json::to_value(read(&block)).unwrap();
        assert_eq!(shown(json!({"type": "text", "text": "a"}))["text"], "a");
        let image = json!(["data:image/png;base64,QUJD"]);
        assert_eq!(
            shown(json!({"type": "image", "mimeType": "image/png", "data": "QUJD"}))["image_urls"],
            image
        );
        let resource = |resource: Value| shown(json!({"type": "resource", "resource": resource}));
        assert_eq!(resource(json!({"uri": "file:///a", "text": "b"}))["text"], "b");
        assert_eq!(
            resource(json!({"uri": "file:///a", "mimeType": "image/png", "blob": "QUJD"}))["image_urls"],
            image
        );
        let unshown = resource(json!({"uri": "file:///a", "mimeType": "audio/ogg", "blob": "QUJD"}));
        assert_eq!(unshown["text"], "[file:///a: audio/ogg, not shown]");
        let link = json!({"type": "resource_link", "uri": "file:///a", "name": "A", "description": "first"});
        assert_eq!(shown(link)["text"], "[A at file:///a: first]");
        assert_eq!(
            shown(json!({"type": "audio", "mimeType": "audio/ogg", "data": "QUJD"}))["text"],
            "[audio, audio/ogg]"
        );
        assert_eq!(read(&json!({"type": "song"})), None);
    }
}

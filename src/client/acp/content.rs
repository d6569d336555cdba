//! What a user has put into a prompt, as the content of a message.

use serde_json::{Value, json};

use super::message::Refusal;
use crate::client::values::{list, text};

/// # Errors
/// Where something in it cannot be given to a model.
pub fn of_prompt(params: &Value) -> Result<Value, Refusal> {
    let blocks = list(params, "/prompt");
    if blocks.is_empty() {
        return Err(Refusal::unfit("The prompt is empty"));
    }
    blocks.iter().map(item).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

fn item(block: &Value) -> Result<Value, Refusal> {
    let own = |pointer: &str| text(block, pointer);
    match own("/type") {
        "text" => Ok(words(own("/text").to_owned())),
        "image" => {
            let (kind, data) = (own("/mimeType"), own("/data"));
            Ok(json!({"type": "image", "image_urls": [format!("data:{kind};base64,{data}")]}))
        }
        "resource_link" => Ok(words(format!("[{}]({})", own("/name"), place(own("/uri"))))),
        "resource" if block.pointer("/resource/text").is_some() => {
            let (uri, text) = (own("/resource/uri"), own("/resource/text"));
            Ok(words(format!("{}:\n\n{text}", place(uri))))
        }
        other => Err(Refusal::unfit(&format!("A prompt cannot hold {other:?} here"))),
    }
}

fn words(text: String) -> Value {
    json!({"type": "text", "text": text})
}

/// Files by the path that tools take.
fn place(uri: &str) -> &str {
    uri.strip_prefix("file://").unwrap_or(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_put_into_a_prompt_reaches_the_model() {
        let prompt = json!({"prompt": [
            {"type": "text", "text": "Look"},
            {"type": "resource_link", "name": "a.rs", "uri": "file:///w/a.rs"},
            {"type": "resource", "resource": {"uri": "file:///w/b.rs", "text": "fn b() {}"}},
            {"type": "image", "mimeType": "image/png", "data": "QUJD"},
        ]});
        let content = of_prompt(&prompt).unwrap();
        assert_eq!(text(&content, "/1/text"), "[a.rs](/w/a.rs)");
        assert_eq!(text(&content, "/2/text"), "/w/b.rs:\n\nfn b() {}");
        assert_eq!(text(&content, "/3/image_urls/0"), "data:image/png;base64,QUJD");
        for refused in
            [json!([]), json!([{"type": "audio"}]), json!([{"type": "resource", "resource": {"blob": ""}}])]
        {
            assert!(of_prompt(&json!({"prompt": refused})).is_err(), "{refused}");
        }
    }
}

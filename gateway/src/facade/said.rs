//! What a client has said: texts and images, in the words of either operation.

use serde::Deserialize;
use types::Content;

use crate::error::{ApiError, ApiResult};

/// Who has said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OpenAIRole {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

/// One message.
#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct OpenAIMessage {
    pub role: OpenAIRole,
    #[serde(default)]
    pub content: Option<OpenAIContent>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(super) enum OpenAIContent {
    Text(String),
    Parts(Vec<OpenAIContentPart>),
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct OpenAIContentPart {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    image_url: Option<OpenAIImageURL>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
enum OpenAIImageURL {
    Text(String),
    Object { url: String },
}

/// The words of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    Chat,
    Responses,
}

impl OpenAIRole {
    pub fn instructs(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

impl OpenAIMessage {
    /// # Errors
    /// 400 for a part that is no text and no image.
    pub fn parts(&self, words: Words) -> ApiResult<Vec<Content>> {
        match &self.content {
            None => Ok(Vec::new()),
            Some(OpenAIContent::Text(text)) => Ok(vec![Content::text(text)]),
            Some(OpenAIContent::Parts(parts)) => {
                let parts = parts.iter().map(|part| part.content(words));
                parts.filter_map(Result::transpose).collect()
            }
        }
    }

    /// # Errors
    /// As [`OpenAIMessage::parts`].
    pub fn text(&self, words: Words) -> ApiResult<String> {
        Ok(types::content::joined_text(&self.parts(words)?))
    }
}

impl OpenAIContentPart {
    /// `None`: there is nothing in it.
    fn content(&self, words: Words) -> ApiResult<Option<Content>> {
        let is = |chat: &str, responses: &[&str]| match words {
            Words::Chat => self.kind == chat,
            Words::Responses => responses.contains(&self.kind.as_str()),
        };
        if is("text", &["input_text", "output_text"]) {
            return Ok(self.text.as_ref().filter(|text| !text.is_empty()).map(Content::text));
        }
        if is("image_url", &["input_image"]) {
            let url = match &self.image_url {
                Some(OpenAIImageURL::Text(url) | OpenAIImageURL::Object { url }) => Some(url),
                None => None,
            };
            let missing = match words {
                Words::Chat => "image_url content part is missing a url",
                Words::Responses => "input_image content part is missing an image_url",
            };
            let url = url.filter(|url| !url.is_empty()).ok_or_else(|| ApiError::bad_request(missing))?;
            return Ok(Some(Content::Image { cache_prompt: false, image_urls: vec![url.clone()] }));
        }
        // So many letters of what is no kind are told back.
        let kind: String = self.kind.chars().take(32).collect();
        Err(ApiError::bad_request(match words {
            Words::Chat => format!("Unsupported content part type: {kind}"),
            Words::Responses => format!("Unsupported Responses content part type: {kind}"),
        }))
    }
}

/// All that is told before, parted by blank lines.
///
/// # Errors
/// As [`OpenAIMessage::parts`].
pub(super) fn instructions(own: Option<&str>, messages: &[OpenAIMessage], words: Words) -> ApiResult<String> {
    let mut texts = vec![own.unwrap_or_default().trim().to_owned()];
    for message in messages.iter().filter(|message| message.role.instructs()) {
        texts.push(message.text(words)?);
    }
    texts.retain(|text| !text.is_empty());
    Ok(texts.join("\n\n"))
}

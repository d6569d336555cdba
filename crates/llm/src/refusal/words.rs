//! The words by which refusals are recognised: a list for each class, a line for what a provider says. Lines are in lower case
//! and stand somewhere in the text; with ` & `, each part does.

pub(crate) const PROMPT_TOO_LONG: Words = Words(include_str!("words/prompt_too_long.txt"));
pub(crate) const BROKEN_HISTORY: Words = Words(include_str!("words/broken_history.txt"));
pub(crate) const CONTENT_POLICY: Words = Words(include_str!("words/content_policy.txt"));
pub(crate) const AUTHENTICATION: Words = Words(include_str!("words/authentication.txt"));
/// Too much at once: it goes after a while.
pub(crate) const RATE_LIMIT: Words = Words(include_str!("words/rate_limit.txt"));
/// The provider cannot read what its own model wrote.
pub(crate) const UNREADABLE_CALL: Words = Words(include_str!("words/unreadable_call.txt"));
/// The model sees no images.
pub(crate) const NO_IMAGES: Words = Words(include_str!("words/no_images.txt"));
/// One of the images is not as it should be.
pub(crate) const BAD_IMAGE: Words = Words(include_str!("words/bad_image.txt"));
/// Content is taken as one text alone.
pub(crate) const TEXT_CONTENT: Words = Words(include_str!("words/text_content.txt"));
/// The schema of a tool has what the server does not know.
pub(crate) const BAD_SCHEMA: Words = Words(include_str!("words/bad_schema.txt"));
/// There is no form for tools.
pub(crate) const NO_TOOLS: Words = Words(include_str!("words/no_tools.txt"));
/// There is no role for the system.
pub(crate) const NO_SYSTEM: Words = Words(include_str!("words/no_system.txt"));
/// The thoughts of a history are not those that this request must have.
pub(crate) const THINKING: Words = Words(include_str!("words/thinking.txt"));
pub(crate) const CACHE_TOO_SMALL: Words = Words("minimum token count to start caching");

#[derive(Clone, Copy)]
pub(crate) struct Words(&'static str);

impl Words {
    pub(crate) fn are_in(self, text: &str) -> bool {
        let text = text.to_lowercase();
        let lines = self.0.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut lines = lines.map(|line| line.split(" & "));
        lines.any(|mut parts| parts.all(|part| text.contains(part)))
    }
}

/// What a text is about, and what is said of it, where no provider's own words are in it.
const ABOUT_INPUT: &[&str] =
    &["token", "context", "prompt", "input length", "input size", "input is", "input too", "input exceeds"];
const TOO_MUCH: &[&str] = &[
    "exceed",
    "maximum",
    "too long",
    "too large",
    "too many",
    "too big",
    "limit",
    "longer than",
    "larger than",
    "greater than",
    "more than",
    "overflow",
    "at most",
    "less than",
    "must be <=",
];
/// Of limits that a shorter prompt does not help with: those of the output, of the account, of names.
const ABOUT_ELSE: &[&str] = &[
    "rate limit",
    "rate_limit",
    "quota",
    "per minute",
    "per day",
    "daily",
    "weekly",
    "monthly",
    "usage limit",
    "budget",
    "credit",
    "balance",
    "image",
    "api key",
    "access token",
    "bearer",
    "expired",
    "call_id",
    "call id",
    "schema",
    "tools[",
    "tools.",
];
/// Names of parameters, in which such words stand and say nothing.
const NAMES: &[&str] = &[
    "prompt_cache_key",
    "prompt_cache_retention",
    "budget_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "output tokens",
    "completion tokens",
    "context_management",
];

/// Whether the prompt is too long, in the words of some provider or in any that say so.
pub(crate) fn prompt_too_long(status: u16, text: &str) -> bool {
    if PROMPT_TOO_LONG.are_in(text) {
        return true;
    }
    if !matches!(status, 400 | 413 | 422) {
        return false;
    }
    let text = NAMES.iter().fold(text.to_lowercase(), |text, name| text.replace(name, " "));
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    has(ABOUT_INPUT) && has(TOO_MUCH) && !has(ABOUT_ELSE)
}

/// Whether a place in the history is named, and so a part of it that is not taken: the same request will be refused for ever.
pub(crate) fn names_a_message(text: &str) -> bool {
    ["messages", "input", "contents"].iter().any(|list| {
        text.match_indices(list).any(|(at, _)| {
            let rest = text.get(at + list.len()..).unwrap_or_default();
            let place = rest.strip_prefix(['.', '[']).unwrap_or_default();
            place.starts_with(|letter: char| letter.is_ascii_digit())
        })
    })
}

/// How many images a request may have, where a refusal says it: `at most 1 image(s)`, `up to 5 images`.
pub(super) fn most_images(text: &str) -> Option<u64> {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    let limits = ["at most", "up to", "maximum of", "no more than", "limit of", "limited to", "max"];
    let counted = words.windows(2).filter(|pair| pair.last().is_some_and(|word| word.starts_with("image")));
    let mut counts = counted.filter_map(|pair| pair.first()?.parse().ok());
    let limited = |count: &u64| limits.iter().any(|limit| text.contains(&format!("{limit} {count} image")));
    counts.find(limited)
}

pub(super) fn has_word(text: &str, word: &str) -> bool {
    word_at(text, word).is_some()
}

/// Where it stands as a word of its own.
pub(super) fn word_at(text: &str, word: &str) -> Option<usize> {
    let is_part =
        |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    text.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = text.get(..*at).and_then(|text| text.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|text| text.chars().next());
        !is_part(before) && !is_part(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lines_are_in_lower_case() {
        for words in [
            PROMPT_TOO_LONG,
            BROKEN_HISTORY,
            CONTENT_POLICY,
            AUTHENTICATION,
            RATE_LIMIT,
            UNREADABLE_CALL,
            NO_IMAGES,
            BAD_IMAGE,
            TEXT_CONTENT,
            BAD_SCHEMA,
            NO_SYSTEM,
            NO_TOOLS,
            THINKING,
        ] {
            for line in words.0.lines().filter(|line| !line.starts_with('#')) {
                assert_eq!(line.to_lowercase(), line);
                assert_eq!(line.trim(), line);
                assert!(line.is_empty() || line.len() > 5, "{line}");
            }
        }
    }

    #[test]
    fn a_prompt_that_is_too_long_is_recognised_in_everyones_words() {
        for text in [
            "The input token count (218152) exceeds the maximum number of tokens allowed (65536).",
            "Requested tokens (2065) exceed context window of 1800",
            "Input is too long for requested model.",
            "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
            "Your request exceeded model token limit: 262144",
            "Prompt exceeds max length",
            "`inputs` tokens + `max_new_tokens` must be <= 8193",
            "prompt token count of 140000 exceeds the limit of 128000",
            "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (5000 in the messages, 4000 in the completion).",
            "prompt is too long: 200001 tokens > 200000 maximum",
            "Prompt contains 50000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
            "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
            "the request exceeds the available context size. try increasing the context size or enable context shift",
            "Range of input length should be [1, 129024]",
            "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
            "too many tokens: total number of tokens in the prompt cannot exceed 4081",
            "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens",
            "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens.",
            "Context size has been exceeded.",
            "Total tokens of image and text exceed max message tokens",
            "Prompt 超长，请缩短后重试",
            "输入内容的长度超过最大长度限制 8192",
            // Nobody's own words, but plain enough.
            "The prompt has 70000 tokens, more than the 65536 that this deployment takes",
            "context size overflow: 9000/8192",
        ] {
            assert!(prompt_too_long(400, text), "{text}");
        }
    }

    #[test]
    fn other_limits_are_no_prompt_that_is_too_long() {
        for text in [
            "max_tokens: 64000 > 8192, which is the maximum allowed number of output tokens for claude-3-5-haiku",
            "max_tokens is too large: 64000. This model supports at most 16384 completion tokens.",
            "Invalid 'prompt_cache_key': string too long. Expected a string with maximum length 64.",
            "`max_tokens` must be greater than `thinking.budget_tokens`",
            "messages.3.content.0.image.source.base64: image exceeds 5 MB maximum",
            "Invalid 'input[3].call_id': string too long. Expected a string with maximum length 64.",
            "Your credit balance is too low to access the Anthropic API.",
            "temperature: Input should be less than or equal to 1",
            "Unrecognized request argument supplied: reasoning_effort",
            "You have exceeded your daily token limit.",
            "ExceededTokenBudget: Current spend for token: 7.2e-05; Max Budget for Token: 2e-07",
            "Invalid schema for function 'terminal': In context=('properties', 'n'), 'maximum' is not permitted.",
        ] {
            assert!(!prompt_too_long(400, text), "{text}");
        }
        assert!(!prompt_too_long(403, "token limit"));
    }

    #[test]
    fn the_most_images_of_a_request_are_read() {
        for (text, most) in [
            ("At most 1 image(s) may be provided in one request.", Some(1)),
            ("Too many images provided. This model supports up to 5 images", Some(5)),
            ("a maximum of 0 image inputs", Some(0)),
            ("image 5 image", None),
            ("At most 4096 tokens, and your 3 images have 5000", None),
        ] {
            assert_eq!(most_images(text), most, "{text}");
        }
    }

    #[test]
    fn places_in_the_history_are_known() {
        for text in ["messages.5.content.1: no", "messages[12].role", "input[4]", "contents[2].parts[0]"] {
            assert!(names_a_message(text), "{text}");
        }
        for text in ["messages: Field required", "inputs", "input: too long", "my messages. 5 of them"] {
            assert!(!names_a_message(text), "{text}");
        }
    }
}

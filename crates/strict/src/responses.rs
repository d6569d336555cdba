//! OpenAI's responses.

use serde_json::Value;

use crate::calls::{self, Calls, Form};
use crate::images;
use crate::look::{self, Verdict, demand, list, not_blank, text};

pub fn check(body: &Value) -> Verdict {
    calls::tools(
        list(body, "tools").iter().map(|tool| (text(tool, "name"), look::part(tool, "parameters"))),
    )?;
    let items = list(body, "input");
    demand(!items.is_empty(), || "input: empty".to_owned())?;
    let mut calls = Calls::new(Form::of(body));
    let mut answers = 0;
    for (number, item) in items.iter().enumerate() {
        let at = format!("input[{number}]");
        match text(item, "type") {
            "message" => {
                // "No tool output found for function call".
                calls.none_is_open(&at)?;
                message(item, &at)?;
            }
            "function_call" => {
                // One answer's calls come together, and results after them.
                demand(answers == 0 || !calls.has_open(), || format!("{at}: a call between results"))?;
                calls.call(text(item, "call_id"), text(item, "name"), &at)?;
                calls::arguments(look::part(item, "arguments"), &at)?;
                answers = 0;
            }
            "function_call_output" => {
                calls.result(text(item, "call_id"), &at)?;
                answers += 1;
            }
            "reasoning" => reasoning(item, items.get(number + 1), body, &at)?,
            other => return Err(format!("{at}: an item of the kind {other:?}")),
        }
    }
    calls.none_is_open("input")?;
    let last = items.last().map(|item| (text(item, "type"), text(item, "role")));
    let asks = last.is_some_and(|(kind, role)| kind == "function_call_output" || role == "user");
    demand(asks, || "input: the last item is the model's own".to_owned())
}

fn message(item: &Value, at: &str) -> Verdict {
    let role = text(item, "role");
    demand(matches!(role, "user" | "assistant" | "system" | "developer"), || format!("{at}: role {role:?}"))?;
    let parts = list(item, "content");
    demand(!parts.is_empty(), || format!("{at}: no content"))?;
    for (index, part) in parts.iter().enumerate() {
        let at = format!("{at}.content[{index}]");
        match (text(part, "type"), role) {
            // "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'".
            ("output_text", "assistant") => not_blank(text(part, "text"), &at)?,
            ("input_text", role) if role != "assistant" => not_blank(text(part, "text"), &at)?,
            ("input_image", "user") => images::url(text(part, "image_url"), &at)?,
            (kind, role) => {
                return Err(format!("{at}: a part of the kind {kind:?} in a message of {role:?}"));
            }
        }
    }
    Ok(())
}

fn reasoning(item: &Value, next: Option<&Value>, body: &Value, at: &str) -> Verdict {
    // "Item 'rs_…' of type 'reasoning' was provided without its required following item".
    let followed = next.is_some_and(|next| match text(next, "type") {
        "message" => text(next, "role") == "assistant",
        kind => matches!(kind, "function_call" | "reasoning"),
    });
    demand(followed, || format!("{at}: reasoning without the item that follows it"))?;
    // Nothing is kept there: "Item with id 'rs_…' not found. Items are not persisted when `store` is set to false".
    let is_kept = body.get("store").is_none_or(|store| store == true);
    let is_whole = item.get("encrypted_content").is_some_and(Value::is_string);
    demand(is_kept || is_whole, || format!("{at}: reasoning without its encrypted content"))
}

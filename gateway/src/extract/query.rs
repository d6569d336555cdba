//! Query parameters that several lists share, with the words clients know for what is wrong.

use readmodel::history::Moment;
use serde_json::json;

use crate::error::{ApiResult, Problem};

const MOST: u64 = 100;

/// `limit`: 1 to 100, 100 if it is not given.
pub(crate) fn limit(limit: Option<i64>) -> ApiResult<usize> {
    let problem =
        |kind, msg: String, ctx| Problem { ctx: Some(ctx), ..Problem::new(kind, &["query", "limit"], msg) };
    let Some(limit) = limit else { return Ok(100) };
    match u64::try_from(limit) {
        Ok(0) | Err(_) => {
            Err(problem("greater_than", "Input should be greater than 0".to_owned(), json!({"gt": 0})).into())
        }
        Ok(limit) if limit > MOST => {
            let msg = format!("Input should be less than or equal to {MOST}");
            Err(problem("less_than_equal", msg, json!({"le": MOST})).into())
        }
        Ok(limit) => Ok(usize::try_from(limit).unwrap_or(usize::MAX)),
    }
}

/// A parameter that is one of a few words.
pub(crate) fn choice<T: Copy>(name: &str, text: Option<&str>, choices: &[(&str, T)]) -> ApiResult<Option<T>> {
    let Some(text) = text else { return Ok(None) };
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
        return Ok(Some(*value));
    }
    let words: Vec<_> = choices.iter().map(|(word, _)| format!("'{word}'")).collect();
    let expected = match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    };
    let msg = format!("Input should be {expected}");
    Err(Problem { ctx: Some(json!({"expected": expected})), ..Problem::new("enum", &["query", name], msg) }
        .into())
}

/// A time bound.
pub(crate) fn moment(name: &str, text: Option<&str>) -> ApiResult<Option<Moment>> {
    let Some(text) = text else { return Ok(None) };
    match Moment::of_bound(text) {
        Some(moment) => Ok(Some(moment)),
        None => {
            let msg = "Input should be a valid datetime or date";
            Err(Problem::new("datetime_from_date_parsing", &["query", name], msg).into())
        }
    }
}

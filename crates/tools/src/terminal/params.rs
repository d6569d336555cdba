//! The creation parameters of the tool.

use std::time::Duration;

use child_environment::is_variable;
use serde_json::{Map, Value};

use crate::Error;

pub fn no_change(params: &Map<String, Value>) -> Result<Option<Duration>, Error> {
    let Some(value) = given(params, "no_change_timeout_seconds") else {
        return Ok(None);
    };
    let duration = value.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match duration.filter(|duration| !duration.is_zero()) {
        Some(duration) => Ok(Some(duration)),
        None => Err(invalid("no_change_timeout_seconds", "it must be a number of seconds above 0")),
    }
}

/// The bash to start; looked for on the server's `$PATH` unless it is a path.
pub fn shell_path(params: &Map<String, Value>) -> Result<String, Error> {
    let Some(value) = given(params, "shell_path") else {
        return Ok("bash".to_owned());
    };
    let path = value.as_str().filter(|path| path.rsplit('/').next() == Some("bash"));
    path.map(str::to_owned).ok_or_else(|| invalid("shell_path", "it must be the path of a bash"))
}

/// Variables to set in the shell from the start.
pub fn variables(params: &Map<String, Value>) -> Result<Vec<(String, String)>, Error> {
    let Some(value) = given(params, "env") else {
        return Ok(Vec::new());
    };
    let fields = value.as_object().ok_or_else(|| invalid("env", "it must be an object of texts"))?;
    let mut variables = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let text = value.as_str().filter(|text| is_variable(name) && !text.contains('\0'));
        let text = text.ok_or_else(|| invalid("env", &format!("`{name}` is not a variable with a text")))?;
        variables.push((name.clone(), text.to_owned()));
    }
    Ok(variables)
}

/// Those of `exports` that a shell can hold.
pub fn exportable(exports: Vec<(String, String)>) -> Vec<(String, String)> {
    exports.into_iter().filter(|(name, value)| is_variable(name) && !value.contains('\0')).collect()
}

fn given<'a>(params: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    params.get(name).filter(|value| !value.is_null())
}

fn invalid(parameter: &'static str, reason: &str) -> Error {
    Error::Parameter { tool: "terminal", parameter, reason: reason.to_owned() }
}

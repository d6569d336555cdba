//! RFC 6902: a list of operations.

use serde_json::Value;

/// # Errors
/// A sentence about the first operation that cannot be done.
pub fn json(target: &mut Value, patch: &Value) -> Result<(), String> {
    let operations = patch.as_array().ok_or("a JSON patch is a list")?;
    for operation in operations {
        let path = operation["path"].as_str().ok_or("an operation needs a path")?;
        let value = &operation["value"];
        match operation["op"].as_str().unwrap_or_default() {
            "add" => add(target, path, value.clone())?,
            "remove" => drop(remove(target, path)?),
            "replace" => {
                *target.pointer_mut(path).ok_or_else(|| missing("replace", path))? = value.clone();
            }
            "test" => {
                if target.pointer(path).unwrap_or(&Value::Null) != value {
                    return Err(format!("testing value {path} failed"));
                }
            }
            how @ ("move" | "copy") => {
                let from = operation["from"].as_str().ok_or("it needs a from")?;
                let moved = match how {
                    "move" => remove(target, from)?,
                    _ => target.pointer(from).cloned().ok_or_else(|| missing("copy", from))?,
                };
                add(target, path, moved)?;
            }
            other => return Err(format!("Unexpected kind: {other}")),
        }
    }
    Ok(())
}

fn missing(what: &str, path: &str) -> String {
    format!("{what} operation does not apply: doc is missing path: {path}: missing value")
}

fn split(path: &str) -> Result<(&str, String), String> {
    let (parent, last) = path.rsplit_once('/').ok_or_else(|| missing("add", path))?;
    Ok((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *target = value;
        return Ok(());
    }
    let (parent, last) = split(path)?;
    match target.pointer_mut(parent) {
        Some(Value::Object(map)) => drop(map.insert(last, value)),
        Some(Value::Array(list)) => {
            let at = if last == "-" { Some(list.len()) } else { last.parse().ok() };
            let at = at.filter(|at| *at <= list.len()).ok_or_else(|| missing("add", path))?;
            list.insert(at, value);
        }
        _ => return Err(missing("add", path)),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &str) -> Result<Value, String> {
    let (parent, last) = split(path)?;
    let removed = match target.pointer_mut(parent) {
        Some(Value::Object(map)) => map.shift_remove(&last),
        Some(Value::Array(list)) => {
            last.parse().ok().filter(|at: &usize| *at < list.len()).map(|at| list.remove(at))
        }
        _ => None,
    };
    removed.ok_or_else(|| missing("remove", path))
}

#[test]
fn operations_are_done_in_order_or_refused_with_a_sentence() {
    use serde_json::json as value;

    let mut value = value!({ "a": [1, 2], "b": { "c/d": 1 } });
    let patch = value!([
        { "op": "test", "path": "/a/0", "value": 1 },
        { "op": "add", "path": "/a/-", "value": 3 },
        { "op": "remove", "path": "/b/c~1d" },
        { "op": "move", "from": "/a/0", "path": "/e" },
    ]);
    json(&mut value, &patch).unwrap();
    assert_eq!(value, value!({ "a": [2, 3], "b": {}, "e": 1 }));
    let failed = json(&mut value, &value!([{ "op": "test", "path": "/e", "value": 2 }]));
    assert_eq!(failed.unwrap_err(), "testing value /e failed");
    assert!(
        json(&mut value, &value!([{ "op": "remove", "path": "/x" }]))
            .unwrap_err()
            .contains("missing path: /x")
    );
}

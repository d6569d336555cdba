//! Amounts as Kubernetes writes them.

use serde_json::Value;

/// In thousandths; `None`: it is no quantity.
#[must_use]
pub fn milli(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => number.as_f64().map(|number| (number * 1000.0).ceil() as i128),
        Value::String(text) => parse(text),
        _ => None,
    }
}

fn parse(text: &str) -> Option<i128> {
    let end =
        text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let scale = match unit {
        "" => 1e3,
        "m" => 1.0,
        "u" => 1e-3,
        "n" => 1e-6,
        "k" => 1e6,
        "M" => 1e9,
        "G" => 1e12,
        "T" => 1e15,
        "P" => 1e18,
        "E" => 1e21,
        "Ki" => 1024.0 * 1e3,
        "Mi" => 1024f64.powi(2) * 1e3,
        "Gi" => 1024f64.powi(3) * 1e3,
        "Ti" => 1024f64.powi(4) * 1e3,
        "Pi" => 1024f64.powi(5) * 1e3,
        "Ei" => 1024f64.powi(6) * 1e3,
        _ => 10f64.powi(unit.strip_prefix(['e', 'E'])?.parse().ok()?) * 1e3,
    };
    Some((number * scale).ceil() as i128)
}

/// As it is said of sums: `1500m`, `3Gi`, `10`.
#[must_use]
pub fn say(milli: i128) -> String {
    if milli % 1000 != 0 {
        return format!("{milli}m");
    }
    let whole = milli / 1000;
    for (unit, size) in [("Ti", 1i128 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
        if whole != 0 && whole % size == 0 {
            return format!("{}{unit}", whole / size);
        }
    }
    whole.to_string()
}

//! Numbers, and what passes for one.

use serde_json::{Map, Number, Value};

use crate::trouble::Fault;

/// In which a number has to be; a bound keeps the form in which the schema has it, to be shown.
#[derive(Default)]
pub(crate) struct Bounds {
    least: Option<Number>,
    above: Option<Number>,
    most: Option<Number>,
    below: Option<Number>,
}

impl Bounds {
    pub fn read(schema: &Map<String, Value>) -> Self {
        let bound = |word: &str| schema.get(word).and_then(Value::as_number).cloned();
        Self {
            least: bound("minimum"),
            above: bound("exclusiveMinimum"),
            most: bound("maximum"),
            below: bound("exclusiveMaximum"),
        }
    }

    fn check(&self, number: f64) -> Result<(), Fault> {
        type Kept = fn(&f64, &f64) -> bool;
        let bounds: [(&Option<Number>, Kept, &'static str, &str, &str); 4] = [
            (&self.least, f64::ge, "greater_than_equal", "greater than or equal to", "ge"),
            (&self.above, f64::gt, "greater_than", "greater than", "gt"),
            (&self.most, f64::le, "less_than_equal", "less than or equal to", "le"),
            (&self.below, f64::lt, "less_than", "less than", "lt"),
        ];
        for (bound, is_kept, kind, words, name) in bounds {
            let Some(bound) = bound else { continue };
            if !bound.as_f64().is_some_and(|bound| is_kept(&number, &bound)) {
                let says = format!("Input should be {words} {}", shown(bound));
                return Err(Fault::bounded(kind, says, name, bound.clone()));
            }
        }
        Ok(())
    }
}

/// `0.0` is shown as `0`.
fn shown(bound: &Number) -> String {
    match bound.as_f64() {
        Some(number) if number.fract() == 0.0 => format!("{number:.0}"),
        _ => bound.to_string(),
    }
}

pub(crate) fn whole(given: &Value, bounds: &Bounds) -> Result<Value, Fault> {
    let number = match given {
        Value::Bool(yes) => i64::from(*yes),
        Value::Number(number) => whole_number(number)?,
        Value::String(text) => whole_text(text)?,
        _ => return Err(Fault::wanted("int_type", "integer")),
    };
    #[expect(clippy::cast_precision_loss, reason = "bounds are small")]
    bounds.check(number as f64)?;
    Ok(number.into())
}

fn whole_number(number: &Number) -> Result<i64, Fault> {
    if let Some(whole) = number.as_i64() {
        return Ok(whole);
    }
    if number.is_u64() {
        return Err(too_large());
    }
    let number = number.as_f64().unwrap_or(f64::NAN);
    if number.fract() != 0.0 {
        let says = "Input should be a valid integer, got a number with a fractional part";
        return Err(Fault::new("int_from_float", says));
    }
    whole_float(number).ok_or_else(too_large)
}

fn too_large() -> Fault {
    Fault::new("int_parsing_size", "Unable to parse input string as an integer, exceeded maximum size")
}

/// Beyond 2^53 a float says no single number.
fn whole_float(number: f64) -> Option<i64> {
    const MOST: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
    (number.abs() <= MOST).then_some(number as i64)
}

/// Also `7.0`, but not `7.5`.
fn whole_text(text: &str) -> Result<i64, Fault> {
    let text = text.trim();
    let digits = text
        .split_once('.')
        .map_or(text, |(digits, zeros)| if zeros.chars().all(|digit| digit == '0') { digits } else { text });
    let says = "Input should be a valid integer, unable to parse string as an integer";
    digits.parse().map_err(|_| Fault::new("int_parsing", says))
}

pub(crate) fn number(given: &Value, bounds: &Bounds) -> Result<Value, Fault> {
    let number = match given {
        Value::Bool(yes) => f64::from(u8::from(*yes)),
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(text) => text.trim().parse().unwrap_or(f64::NAN),
        _ => return Err(Fault::wanted("float_type", "number")),
    };
    // What is no number, and what is no finite one, cannot be written as JSON.
    let Some(number) = Number::from_f64(number) else {
        return Err(Fault::new(
            "float_parsing",
            "Input should be a valid number, unable to parse string as a number",
        ));
    };
    bounds.check(number.as_f64().unwrap_or(f64::NAN))?;
    Ok(number.into())
}

pub(crate) fn flag(given: &Value) -> Result<Value, Fault> {
    let unclear = || Fault::new("bool_parsing", "Input should be a valid boolean, unable to interpret input");
    match given {
        Value::Bool(_) => Ok(given.clone()),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Ok(false.into()),
            Some(1.0) => Ok(true.into()),
            _ => Err(unclear()),
        },
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Ok(true.into()),
            "false" | "0" | "no" | "off" | "f" | "n" => Ok(false.into()),
            _ => Err(unclear()),
        },
        _ => Err(Fault::wanted("bool_type", "boolean")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(outcome: Result<Value, Fault>) -> Result<Value, &'static str> {
        outcome.map_err(|fault| fault.kind)
    }

    #[test]
    fn what_says_a_number_is_one() {
        let whole = |given: Value| kind(super::whole(&given, &Bounds::default()));
        let number = |given: Value| kind(super::number(&given, &Bounds::default()));
        for given in [json!(7), json!(7.0), json!("7"), json!(" 7 "), json!("7.0")] {
            assert_eq!(whole(given.clone()), Ok(json!(7)), "{given}");
        }
        assert_eq!(whole(json!(true)), Ok(json!(1)));
        for (given, wanted) in [
            (json!(7.5), "int_from_float"),
            (json!("7.5"), "int_parsing"),
            (json!("seven"), "int_parsing"),
            (json!(u64::MAX), "int_parsing_size"),
            (json!(1e300), "int_parsing_size"),
            (json!([7]), "int_type"),
            (json!(null), "int_type"),
        ] {
            assert_eq!(whole(given.clone()), Err(wanted), "{given}");
        }
        assert_eq!(number(json!(8)).map(|number| number.to_string()), Ok("8.0".to_owned()));
        assert_eq!(number(json!("0.5")), Ok(json!(0.5)));
        for given in [json!("hot"), json!("nan"), json!("inf"), json!("1e999")] {
            assert_eq!(number(given.clone()), Err("float_parsing"), "{given}");
        }
        assert_eq!(number(json!({})), Err("float_type"));
    }

    #[test]
    fn what_says_yes_or_no_is_a_flag() {
        let flag = |given: Value| kind(super::flag(&given));
        for (given, wanted) in [
            (json!("on"), Ok(json!(true))),
            (json!("False"), Ok(json!(false))),
            (json!(1), Ok(json!(true))),
            (json!(0.0), Ok(json!(false))),
            (json!(2), Err("bool_parsing")),
            (json!("maybe"), Err("bool_parsing")),
            (json!([]), Err("bool_type")),
        ] {
            assert_eq!(flag(given.clone()), wanted, "{given}");
        }
    }

    #[test]
    fn a_bound_that_is_not_kept_is_named() {
        let bounds = json!({"exclusiveMinimum": 0.0, "maximum": 0.8});
        let bounds = Bounds::read(bounds.as_object().unwrap());
        let Err(fault) = number(&json!(0), &bounds) else { panic!("0 is not above 0") };
        assert_eq!((fault.kind, fault.says.as_str()), ("greater_than", "Input should be greater than 0"));
        assert_eq!(fault.bounds, Some(json!({"gt": 0.0})));
        let Err(fault) = number(&json!(0.9), &bounds) else { panic!("0.9 is above 0.8") };
        assert_eq!(fault.says, "Input should be less than or equal to 0.8");
        assert!(number(&json!(0.8), &bounds).is_ok());
    }
}

//! Reads values that only mean what is wanted: `5.0` or `"5"` where an integer is, `0` or `"yes"` where a boolean is. Clients
//! of languages with one type of number send the former, and the peer's own forms take them all.
//!
//! The rules are those of [pydantic's lax mode](https://docs.pydantic.dev/latest/concepts/conversion_table/). What a tagged enum
//! holds is read strictly, as serde looks at it before its kind is known.

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

use super::params::truth;

/// Above, not every integer is a float.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) const NO_BOOLEAN: &str = "provided string was not `true` or `false`";
pub(super) const NO_INTEGER: &str = "invalid digit found in string";
pub(super) const FRACTION: &str = "a number with a fractional part";

pub(super) fn read<T: DeserializeOwned>(value: Value) -> Result<T, serde_path_to_error::Error<Error>> {
    serde_path_to_error::deserialize(Lax(value))
}

struct Lax(Value);

impl IntoDeserializer<'_, Error> for Lax {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

type Fields = MapDeserializer<
    'static,
    std::iter::Map<serde_json::map::IntoIter, fn((String, Value)) -> (String, Lax)>,
    Error,
>;

fn fields(map: Map<String, Value>) -> Fields {
    MapDeserializer::new(map.into_iter().map(|(name, value)| (name, Lax(value))))
}

impl Lax {
    fn boolean<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let said = match &self.0 {
            Value::Number(number) if number.as_f64() == Some(0.0) => false,
            Value::Number(number) if number.as_f64() == Some(1.0) => true,
            Value::Number(_) => return Err(Error::custom(NO_BOOLEAN)),
            Value::String(text) => truth(text).ok_or_else(|| Error::custom(NO_BOOLEAN))?,
            _ => return self.deserialize_any(visitor),
        };
        visitor.visit_bool(said)
    }

    fn integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let number = match &self.0 {
            Value::Bool(said) => i64::from(*said),
            Value::String(text) => {
                let text = text.trim();
                let whole = text.split_once('.').filter(|(_, rest)| rest.bytes().all(|byte| byte == b'0'));
                let digits = whole.map_or(text, |(whole, _)| whole);
                digits.parse().map_err(|_| Error::custom(NO_INTEGER))?
            }
            Value::Number(number) if number.is_f64() => {
                let float = number.as_f64().unwrap_or(f64::NAN);
                if float.fract() != 0.0 {
                    return Err(Error::custom(FRACTION));
                }
                if float.abs() > MOST_EXACT {
                    return Err(Error::invalid_value(Unexpected::Float(float), &visitor));
                }
                #[expect(clippy::cast_possible_truncation, reason = "it is whole, and exact as an integer")]
                let whole = float as i64;
                whole
            }
            _ => return self.deserialize_any(visitor),
        };
        match u64::try_from(number) {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => visitor.visit_i64(number),
        }
    }

    fn float<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let number = match &self.0 {
            Value::Bool(said) => f64::from(u8::from(*said)),
            Value::String(text) => match text.trim().parse() {
                Ok(number) => number,
                Err(_) => return self.deserialize_any(visitor),
            },
            _ => return self.deserialize_any(visitor),
        };
        visitor.visit_f64(number)
    }
}

macro_rules! leniently {
    ($($method:ident => $how:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.$how(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Lax {
    type Error = Error;

    leniently! {
        deserialize_bool => boolean
        deserialize_i8 => integer deserialize_i16 => integer deserialize_i32 => integer deserialize_i64 => integer
        deserialize_u8 => integer deserialize_u16 => integer deserialize_u32 => integer deserialize_u64 => integer
        deserialize_f32 => float deserialize_f64 => float
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Self))),
            Value::Object(map) => visitor.visit_map(fields(map)),
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Object(map) => visitor.visit_enum(MapAccessDeserializer::new(fields(map))),
            plain => plain.deserialize_enum(name, variants, visitor),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wanted {
        count: Option<u64>,
        flags: Vec<bool>,
        share: Option<f64>,
        text: Option<String>,
        below: Option<Box<Wanted>>,
    }

    fn wanted(fields: Value) -> Result<Wanted, String> {
        let mut given = json!({"flags": []});
        given.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        read(given).map_err(|error| error.to_string())
    }

    #[test]
    fn what_means_a_number_is_one() {
        for five in [json!(5), json!(5.0), json!("5"), json!(" 5 "), json!("+5"), json!("5.0")] {
            assert_eq!(
                wanted(json!({"below": {"flags": [], "count": five}})).unwrap().below.unwrap().count,
                Some(5)
            );
        }
        assert_eq!(wanted(json!({"share": "0.5", "count": true})).unwrap().share, Some(0.5));
        for none in [json!(5.5), json!("five"), json!(""), json!(-1), json!("5.1"), json!(1e300), json!([])] {
            assert!(wanted(json!({"count": none})).is_err(), "{none}");
        }
    }

    #[test]
    fn what_means_yes_or_no_is_a_boolean() {
        let said = json!([true, 1, 1.0, "on", "True", "y", false, 0, "off", "no"]);
        let read = wanted(json!({"flags": said})).unwrap().flags;
        assert_eq!(read, [true, true, true, true, true, true, false, false, false, false]);
        for none in [json!(2), json!("maybe"), json!(null), json!({})] {
            assert!(wanted(json!({"flags": [none]})).is_err(), "{none}");
        }
    }

    #[test]
    fn a_number_is_no_text() {
        assert!(wanted(json!({"text": 5})).is_err());
        assert_eq!(wanted(json!({"text": null})).unwrap().text, None);
    }
}

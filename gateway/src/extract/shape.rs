//! A struct is read from a list too, field by field. Clients mean objects, so a list is an error there.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};
use serde::forward_to_deserialize_any;

/// Whether the JSON text is a list.
pub(super) fn is_list(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"[")
}

/// Whether `T` is a struct.
pub(super) fn wants_object<T: DeserializeOwned>() -> bool {
    matches!(T::deserialize(Question), Err(Shape::Struct))
}

/// Asks a type what it is made from.
struct Question;

#[derive(Debug, thiserror::Error)]
enum Shape {
    #[error("a struct")]
    Struct,
    #[error("something else")]
    Other,
}

impl Error for Shape {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Other
    }
}

impl<'de> Deserializer<'de> for Question {
    type Error = Shape;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Shape> {
        Err(Shape::Other)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Shape> {
        Err(Shape::Struct)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Named {
        #[expect(dead_code, reason = "only its kind is of interest")]
        name: String,
    }

    #[test]
    fn structs_are_told_from_lists() {
        assert!(wants_object::<Named>());
        assert!(!wants_object::<Vec<Named>>());
        assert!(is_list(b" \n[\"ls\"]") && !is_list(b"{\"a\":[]}"));
    }
}

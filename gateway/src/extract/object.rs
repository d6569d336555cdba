//! A typed object of a body. What serde derives for structs and tagged enums also reads lists, field by field;
//! clients mean objects, so anything else is an error there.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

/// How a failure says that an object was wanted.
pub(super) const EXPECTED: &str = "an object with fields";

/// Read from an object only. What derives `ToSchema` takes its name for any object, so a field of this type says what is in it:
/// `#[schema(value_type = T)]`.
pub struct Object<T>(pub T);

impl<T> Object<T> {
    pub fn into_inner(self) -> T {
        self.0
    }

    pub fn all(objects: Vec<Self>) -> Vec<T> {
        objects.into_iter().map(Self::into_inner).collect()
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

//! Two strictnesses that serde's derive lacks. A derived struct would also be read from a JSON array,
//! and an optional field from `null`; other readers of the same signed bytes would refuse both, and two
//! readers that disagree are an opening.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A value that is written and read as a JSON object and as nothing else.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// Reads an optional field that, when it is there, must hold a value. Use with `serde(default)`.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Raw {
        #[serde(default, deserialize_with = "present")]
        name: Option<String>,
    }

    fn read(text: &str) -> Result<Option<String>, String> {
        serde_json::from_str::<Object<Raw>>(text).map(|raw| raw.0.name).map_err(|e| e.to_string())
    }

    #[test]
    fn only_an_object_is_read_as_an_object() {
        assert_eq!(read(r#"{"name":"a","later":1}"#), Ok(Some("a".into())));
        assert_eq!(read("{}"), Ok(None));
        assert!(read(r#"["a"]"#).unwrap_err().contains("expected an object"));
        assert!(read(r#"{"name":null}"#).unwrap_err().contains("invalid type: null"));
        assert!(read(r#"{"name":"a","n\u0061me":"b"}"#).unwrap_err().contains("duplicate field `name`"));
    }
}

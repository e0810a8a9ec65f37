//! Maps of an author's names that keep the order they were written in.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// Names with a value each, in the order of the file: it becomes the order of columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

struct Entries<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
    type Value = Named<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of names")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
        let mut entries: Vec<(String, T)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, T>()? {
            if entries.iter().any(|(n, _)| *n == name) {
                return Err(Error::custom(format!("`{name}` is named twice")));
            }
            entries.push((name, value));
        }
        Ok(Named(entries))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Named_{}", T::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}

/// Modalities and what stands for each in a path: a map, or a list where both are the same.
#[derive(Debug, Clone, PartialEq)]
pub struct ModalityNames(pub Vec<(String, String)>);

impl ModalityNames {
    /// The modalities, in order.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }
}

impl Serialize for ModalityNames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Named(self.0.clone()).serialize(serializer)
    }
}

struct MapOrList;

impl<'de> Visitor<'de> for MapOrList {
    type Value = ModalityNames;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of modalities, or a map from modality to what stands in the path")
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ModalityNames, A::Error> {
        Entries(PhantomData)
            .visit_map(map)
            .map(|Named(entries)| ModalityNames(entries))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ModalityNames, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = seq.next_element::<String>()? {
            entries.push((name.clone(), name));
        }
        Ok(ModalityNames(entries))
    }
}

impl<'de> Deserialize<'de> for ModalityNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MapOrList)
    }
}

impl JsonSchema for ModalityNames {
    fn schema_name() -> Cow<'static, str> {
        "ModalityNames".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Modalities: a list, or a map from modality to what stands in the path.",
            "anyOf": [
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
                { "type": "object", "additionalProperties": { "type": "string" }, "minProperties": 1 },
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::node::Document;

    #[test]
    fn order_and_both_forms_are_kept() {
        let read = |text: &str| {
            Document::parse(text)
                .unwrap()
                .root()
                .read::<ModalityNames>()
        };
        let map = read("{ t2: T2W, flair: FLAIR }").unwrap();
        assert_eq!(map.names(), ["t2", "flair"]);
        assert_eq!(
            read("[mr]").unwrap().0,
            [("mr".to_owned(), "mr".to_owned())]
        );
        let error = read("7").unwrap_err().remove(0).message;
        assert!(error.contains("a list of modalities, or a map"), "{error}");
        let json = serde_json::to_string(&map).unwrap();
        assert_eq!(json, r#"{"t2":"T2W","flair":"FLAIR"}"#);
    }
}

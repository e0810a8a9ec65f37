//! The serde view of a node.

use super::Node;
use crate::spec::error::SpecError;
use saphyr::{MarkedYaml, Scalar, YamlData};
use serde::de::{self, DeserializeSeed, Error as _, IntoDeserializer, Unexpected, Visitor};

impl<'a> Node<'a> {
    /// What is here, as serde calls it.
    pub(super) fn unexpected(self) -> Unexpected<'a> {
        match &self.yaml.data {
            YamlData::Value(Scalar::Null) => Unexpected::Unit,
            YamlData::Value(Scalar::Boolean(b)) => Unexpected::Bool(*b),
            YamlData::Value(Scalar::Integer(i)) => Unexpected::Signed(*i),
            YamlData::Value(Scalar::FloatingPoint(x)) => Unexpected::Float(x.into_inner()),
            YamlData::Value(Scalar::String(s)) => Unexpected::Str(s),
            YamlData::Sequence(_) => Unexpected::Seq,
            YamlData::Mapping(_) => Unexpected::Map,
            _ => Unexpected::Other("a tag or an alias"),
        }
    }

    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SpecError> {
        match &self.yaml.data {
            YamlData::Value(Scalar::Null) => visitor.visit_unit(),
            YamlData::Value(Scalar::Boolean(b)) => visitor.visit_bool(*b),
            YamlData::Value(Scalar::Integer(i)) => visitor.visit_i64(*i),
            YamlData::Value(Scalar::FloatingPoint(x)) => visitor.visit_f64(x.into_inner()),
            YamlData::Value(Scalar::String(s)) => visitor.visit_str(s),
            YamlData::Sequence(items) => visitor.visit_seq(Seq {
                of: self,
                rest: items.iter(),
            }),
            YamlData::Mapping(map) => visitor.visit_map(Map {
                of: self,
                rest: map.iter(),
                now: None,
            }),
            _ => Err(SpecError::custom("a tag or alias is not allowed here")),
        }
    }

    /// Reads a list of exactly `len` values; serde itself would pass over more.
    fn tuple<'de, V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, SpecError> {
        if self.items().any(Node::is_skipped) {
            return Err(SpecError::echo());
        }
        match self.items().count() {
            count if self.is_sequence() && count != len => {
                Err(SpecError::invalid_length(count, &visitor))
            }
            _ => self.any(visitor),
        }
    }

    /// Reads a choice: a name, or a map from one name to its parameters.
    fn choice<'de, V: Visitor<'de>>(
        self,
        names: &[&str],
        visitor: V,
    ) -> Result<V::Value, SpecError> {
        match (&self.yaml.data, self.text()) {
            (_, Some(name)) => visitor.visit_enum(name.into_deserializer()),
            (YamlData::Mapping(map), _) if map.len() == 1 => {
                if self.entries().any(|(key, _)| key.is_skipped()) {
                    return Err(SpecError::echo());
                }
                visitor.visit_enum(de::value::MapAccessDeserializer::new(Map {
                    of: self,
                    rest: map.iter(),
                    now: None,
                }))
            }
            (YamlData::Mapping(map), _) => {
                Err(SpecError::no_choice(&format!("{} names", map.len()), names))
            }
            _ => Err(SpecError::no_choice(&self.found(), names)),
        }
    }
}

struct Seq<'a> {
    of: Node<'a>,
    rest: std::slice::Iter<'a, MarkedYaml<'a>>,
}

impl<'de> de::SeqAccess<'de> for Seq<'_> {
    type Error = SpecError;
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, SpecError> {
        let of = self.of;
        let next = self
            .rest
            .by_ref()
            .map(|yaml| of.child(yaml))
            .find(|n| !n.is_skipped());
        next.map(|node| leave_out(node, node, seed.deserialize(node)))
            .transpose()
    }
}

struct Map<'a, I: Iterator<Item = (&'a MarkedYaml<'a>, &'a MarkedYaml<'a>)>> {
    of: Node<'a>,
    rest: I,
    now: Option<(Node<'a>, Node<'a>)>,
}

impl<'de, 'a, I: Iterator<Item = (&'a MarkedYaml<'a>, &'a MarkedYaml<'a>)>> de::MapAccess<'de>
    for Map<'a, I>
{
    type Error = SpecError;
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, SpecError> {
        let of = self.of;
        let next = self
            .rest
            .by_ref()
            .map(|(k, v)| (of.child(k), of.child(v)))
            .find(|(k, _)| !k.is_skipped());
        self.now = next;
        next.map(|(key, _)| leave_out(key, key, seed.deserialize(key)))
            .transpose()
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, SpecError> {
        let (key, value) = self
            .now
            .take()
            .expect("serde asks for a key before its value");
        leave_out(key, value, seed.deserialize(value))
    }
}

/// Places an error at its node, and has the innermost entry around it left out when the file is
/// read again, so that its neighbours are still checked.
fn leave_out<T>(
    entry: Node<'_>,
    node: Node<'_>,
    result: Result<T, SpecError>,
) -> Result<T, SpecError> {
    result.map_err(|mut e| {
        if e.left_out.is_none() {
            entry.document.skipped.borrow_mut().push(entry.key());
            e.left_out = Some(entry.text().unwrap_or_default().to_owned());
        }
        node.place(&mut e);
        e
    })
}

impl<'de> de::Deserializer<'de> for Node<'_> {
    type Error = SpecError;
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SpecError> {
        self.locate(self.any(visitor))
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SpecError> {
        match &self.yaml.data {
            YamlData::Value(Scalar::Null) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, SpecError> {
        self.locate(visitor.visit_newtype_struct(self))
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SpecError> {
        self.locate(self.choice(names, visitor))
    }
    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, SpecError> {
        self.locate(self.tuple(len, visitor))
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SpecError> {
        // Serde would take a list for the fields in their order.
        self.locate(match self.is_sequence() {
            true => Err(SpecError::invalid_type(Unexpected::Seq, &visitor)),
            false => self.any(visitor),
        })
    }
    serde::forward_to_deserialize_any! { bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
    unit unit_struct seq tuple_struct map identifier ignored_any }
}

//! A parsed YAML node that remembers where it stands, and a serde view of it.
//!
//! Serde stops at the first error. [`Node::read`] notes it, leaves out the entry it arose in and
//! reads again, so one pass over a file finds every mistake in it.

use super::error::{At, SpecError};
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};
use std::cell::RefCell;

/// Entries left out because a mistake in them is already known.
type Skipped = RefCell<Vec<*const ()>>;

/// A parsed file; owns what its nodes borrow.
pub struct Document<'a> {
    root: MarkedYaml<'a>,
    text: &'a str,
    skipped: Skipped,
}

impl<'a> Document<'a> {
    /// Parses one YAML 1.2 document.
    ///
    /// **Errors** when the text is no YAML, is empty, or holds several documents.
    pub fn parse(text: &'a str) -> Result<Self, SpecError> {
        let mut documents = MarkedYaml::load_from_str(text).map_err(|e| {
            let start = byte_of(text, e.marker().index());
            SpecError::new(
                At {
                    start,
                    end: (start + 1).min(text.len()),
                },
                format!("this is not YAML: {}", e.info()),
            )
        })?;
        match (documents.pop(), documents.is_empty()) {
            (Some(root), true) => Ok(Self {
                root,
                text,
                skipped: RefCell::default(),
            }),
            (None, _) => Err(SpecError::new(
                None,
                "the file is empty; expected a pipeline",
            )),
            (_, false) => Err(SpecError::new(
                None,
                "the file holds several documents; expected one pipeline",
            )),
        }
    }

    /// The outermost node.
    pub fn root(&self) -> Node<'_> {
        Node {
            yaml: &self.root,
            document: self,
        }
    }
}

fn byte_of(text: &str, character: usize) -> usize {
    text.char_indices()
        .nth(character)
        .map_or(text.len(), |(byte, _)| byte)
}

/// A node of a [`Document`].
#[derive(Clone, Copy)]
pub struct Node<'a> {
    yaml: &'a MarkedYaml<'a>,
    document: &'a Document<'a>,
}

impl<'a> Node<'a> {
    /// Where the node stands.
    pub fn at(&self) -> At {
        let text = self.document.text;
        let start = byte_of(text, self.yaml.span.start.index());
        let end = byte_of(text, self.yaml.span.end.index()).max(start);
        // A flow list or map is reported up to its closing bracket; it belongs to the node.
        let flow = |open, close| text[start..].starts_with(open) && text[end..].starts_with(close);
        let end = if flow('[', ']') || flow('{', '}') {
            end + 1
        } else {
            end
        };
        // A block ends where the next one begins; the caret shall not run over blank lines.
        At {
            start,
            end: start + text[start..end].trim_end().len(),
        }
    }

    /// Reads the node as `T`.
    ///
    /// **Errors** every mistake found in it, each at the innermost node it arose at.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, Vec<SpecError>> {
        let mut errors: Vec<SpecError> = Vec::new();
        let mut left_out: Vec<String> = Vec::new();
        let before = self.document.skipped.borrow().len();
        let result = loop {
            match T::deserialize(self) {
                Ok(value) if errors.is_empty() => break Ok(value),
                Ok(_) => break Err(errors),
                Err(error) => {
                    let entry = error.left_out.clone();
                    // A field that was left out is missing only because of that.
                    if !error
                        .missing
                        .is_some_and(|field| left_out.iter().any(|name| name == field))
                    {
                        errors.push(error);
                    }
                    match entry {
                        Some(name) => left_out.push(name),
                        None => break Err(errors),
                    }
                }
            }
        };
        self.document.skipped.borrow_mut().truncate(before);
        result
    }

    /// Elements of a sequence; none if the node is something else.
    pub fn items(self) -> impl Iterator<Item = Node<'a>> {
        let items = match &self.yaml.data {
            YamlData::Sequence(items) => items.as_slice(),
            _ => &[],
        };
        items.iter().map(move |yaml| Node { yaml, ..self })
    }

    /// Value of a key; `None` if the node is no map or has no such key.
    pub fn get(self, key: &str) -> Option<Node<'a>> {
        self.entries()
            .find(|(k, _)| k.text() == Some(key))
            .map(|(_, v)| v)
    }

    /// Keys and values of a map; none if the node is something else.
    pub fn entries(self) -> impl Iterator<Item = (Node<'a>, Node<'a>)> {
        let map = match &self.yaml.data {
            YamlData::Mapping(map) => Some(map),
            _ => None,
        };
        map.into_iter()
            .flat_map(|m| m.iter())
            .map(move |(k, v)| (Node { yaml: k, ..self }, Node { yaml: v, ..self }))
    }

    /// The text of a string.
    pub fn text(self) -> Option<&'a str> {
        match &self.yaml.data {
            YamlData::Value(Scalar::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether the node is a map.
    pub fn is_map(self) -> bool {
        matches!(self.yaml.data, YamlData::Mapping(_))
    }

    /// Whether the node is a sequence.
    pub fn is_sequence(self) -> bool {
        matches!(self.yaml.data, YamlData::Sequence(_))
    }

    fn key(self) -> *const () {
        std::ptr::from_ref(self.yaml).cast()
    }

    fn is_skipped(self) -> bool {
        self.document.skipped.borrow().contains(&self.key())
    }

    fn locate<T>(self, result: Result<T, SpecError>) -> Result<T, SpecError> {
        result.map_err(|mut e| {
            e.at.get_or_insert_with(|| self.at());
            e
        })
    }

    fn child(self, yaml: &'a MarkedYaml<'a>) -> Self {
        Self { yaml, ..self }
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
            _ => Err(de::Error::custom("a tag or alias is not allowed here")),
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
        e.at.get_or_insert_with(|| node.at());
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
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SpecError> {
        let result = match (&self.yaml.data, self.text()) {
            (_, Some(name)) => visitor.visit_enum(name.into_deserializer()),
            (YamlData::Mapping(map), _) if map.len() == 1 => {
                visitor.visit_enum(de::value::MapAccessDeserializer::new(Map {
                    of: self,
                    rest: map.iter(),
                    now: None,
                }))
            }
            _ => Err(de::Error::custom(
                "expected a name or a map with a single key",
            )),
        };
        self.locate(result)
    }
    serde::forward_to_deserialize_any! { bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
    unit unit_struct seq tuple tuple_struct map struct identifier ignored_any }
}

#[cfg(test)]
mod tests;

//! A parsed YAML node that remembers where it is, and a serde view of it.
//!
//! Serde stops at the first error. [`Node::read`] notes it, leaves out the entry it arose in and
//! reads again, so one pass over a file finds every mistake in it.

use super::error::{At, Found, SpecError};
use super::syntax::{not_yaml, strange_space};
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde::de::DeserializeOwned;
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
            let byte = byte_of(text, e.marker().index());
            strange_space(text).unwrap_or_else(|| not_yaml(text, byte, e.info()))
        })?;
        if let Some(error) = strange_space(text) {
            return Err(error);
        }
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
    /// The position of the node.
    pub fn at(self) -> At {
        let text = self.document.text;
        let start = self.first_dash(byte_of(text, self.yaml.span.start.index()));
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

    /// Where the node begins, which the parser says: of a block list that is indented as its key is, the parser
    /// says where the first element does, behind its dash.
    fn first_dash(self, start: usize) -> usize {
        let text = self.document.text;
        let (before, own) = text.split_at(start);
        let begins = |with: &str| own.starts_with(with);
        // A list in a list begins with its own dash; a number below 0 is no list.
        let is_nested = ["- ", "-\n", "-\r", "-\t"].into_iter().any(begins);
        match before.trim_end_matches([' ', '\t']).strip_suffix('-') {
            Some(before) if self.is_sequence() && !begins("[") && !is_nested => before.len(),
            _ => start,
        }
    }

    /// Returns `true` if the node is a block list that is indented as its key is.
    pub fn is_unindented_list(self) -> bool {
        let text = self.document.text;
        byte_of(text, self.yaml.span.start.index()) != self.at().start
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
                    let missing = error.missing;
                    if !(error.echo || missing.is_some_and(|m| left_out.iter().any(|n| n == m))) {
                        let at = error.at.or_else(|| Some(self.at()));
                        errors.push(SpecError { at, ..error });
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

    /// Value of a key that is not null: of a section that is there, and was not removed with `--set train=null`.
    pub fn given(self, key: &str) -> Option<Node<'a>> {
        let is_null = |node: &Node<'_>| matches!(node.yaml.data, YamlData::Value(Scalar::Null));
        self.get(key).filter(|node| !is_null(node))
    }

    /// Value of a key of the node, or else of the first node below it that has the key.
    fn find(self, key: &str) -> Option<Node<'a>> {
        self.get(key)
            .or_else(|| self.children().find_map(|node| node.find(key)))
    }

    /// Value of the key that stands at a place, in the node or below it.
    pub fn behind_key(self, at: At) -> Option<Node<'a>> {
        let mut entries = self.entries();
        let own = entries.find_map(|(key, value)| (key.at() == at).then_some(value));
        own.or_else(|| self.children().find_map(|node| node.behind_key(at)))
    }

    /// Elements of a sequence, or values of a map.
    fn children(self) -> impl Iterator<Item = Node<'a>> {
        let values = self.entries().map(|(_, value)| value);
        values.chain(self.items())
    }

    /// The entry below the node that a message names first, or the one below that which it names next, as in
    /// "`network`: `depth` is 30" or "`images: {subject}.nii` has no …"; `None` if it names none.
    pub fn named(self, message: &str) -> Option<Node<'a>> {
        let mut node = None;
        for name in message.split('`').skip(1).step_by(2).take(2) {
            let path = name.split(": ").next().unwrap_or(name);
            let mut path = path.split('.');
            match path.try_fold(node.unwrap_or(self), Node::find) {
                Some(found) => node = Some(found),
                None => break,
            }
        }
        node
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

    /// The number of a whole number; of a quoted one, too.
    pub fn integer(self) -> Option<i64> {
        match &self.yaml.data {
            YamlData::Value(Scalar::Integer(number)) => Some(*number),
            _ => self.text()?.parse().ok(),
        }
    }

    /// Returns `true` if the node is a map.
    pub fn is_map(self) -> bool {
        matches!(self.yaml.data, YamlData::Mapping(_))
    }

    /// Returns `true` if the node is a sequence.
    pub fn is_sequence(self) -> bool {
        matches!(self.yaml.data, YamlData::Sequence(_))
    }

    /// What is here, in an author's words.
    pub fn found(self) -> String {
        Found(self.unexpected()).to_string()
    }

    fn key(self) -> *const () {
        std::ptr::from_ref(self.yaml).cast()
    }

    fn is_skipped(self) -> bool {
        self.document.skipped.borrow().contains(&self.key())
    }

    /// Places a mistake that has no place yet, and says what is there where only what was expected is known.
    fn place(self, e: &mut SpecError) {
        if e.at.is_none() {
            e.at = Some(self.at());
            if e.message.starts_with("expected ") {
                e.message = format!("found {}, {}", self.found(), e.message);
            }
        }
    }

    fn locate<T>(self, result: Result<T, SpecError>) -> Result<T, SpecError> {
        result.map_err(|mut e| {
            self.place(&mut e);
            e
        })
    }

    fn child(self, yaml: &'a MarkedYaml<'a>) -> Self {
        Self { yaml, ..self }
    }
}

mod reading;

#[cfg(test)]
mod tests;

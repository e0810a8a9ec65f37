//! A mistake in a file: where, what was expected, and what to do.

use serde::de;
use std::fmt;

/// Where a node stands in its file: bytes from `start` to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A mistake in a file, at a place where one is known.
#[derive(Debug, Clone, PartialEq)]
pub struct SpecError {
    /// Where; `None` for the file as a whole.
    pub at: Option<At>,
    /// What was found and what was expected.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    pub(super) missing: Option<&'static str>,
    /// The entry left out because of this mistake: its key, or empty for an element.
    pub(super) left_out: Option<String>,
}

impl SpecError {
    /// A mistake at a place.
    pub fn new(at: impl Into<Option<At>>, message: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            message: message.into(),
            help: None,
            missing: None,
            left_out: None,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// An unknown name with its nearest valid one and the list of all.
    pub fn unknown(at: At, what: &str, found: &str, valid: &[&str]) -> Self {
        Self::new(at, format!("unknown {what} `{found}`")).with_help(suggest(found, valid))
    }
}

/// «did you mean», or the list of what there is.
pub fn suggest(found: &str, valid: &[&str]) -> String {
    let nearest = valid
        .iter()
        .map(|v| (strsim::damerau_levenshtein(found, v), *v))
        .min();
    match nearest {
        Some((distance, name)) if distance <= 1 + found.len().min(name.len()) / 3 => {
            format!("did you mean `{name}`?")
        }
        Some(_) => format!(
            "expected one of {}",
            valid
                .iter()
                .map(|v| format!("`{v}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        None => "nothing is allowed here".to_owned(),
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SpecError {}

impl de::Error for SpecError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(None, message.to_string())
    }
    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(
            None,
            format!("found {}, expected {}", Found(found), wanted(expected)),
        )
    }
    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }
    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(None, format!("unknown field `{field}`")).with_help(suggest(field, expected))
    }
    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(None, format!("unknown name `{variant}`")).with_help(suggest(variant, expected))
    }
    fn missing_field(field: &'static str) -> Self {
        let error = Self::new(None, format!("missing field `{field}`"))
            .with_help(format!("add `{field}: …`"));
        Self {
            missing: Some(field),
            ..error
        }
    }
}

/// What stands in a file, in an author's words.
struct Found<'a>(de::Unexpected<'a>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use de::Unexpected as U;
        match self.0 {
            U::Unit | U::Option => f.write_str("nothing"),
            U::Seq => f.write_str("a list"),
            U::Map | U::StructVariant => f.write_str("a map"),
            U::UnitVariant => f.write_str("a name alone"),
            U::NewtypeVariant | U::NewtypeStruct | U::TupleVariant => {
                f.write_str("a name with parameters")
            }
            U::Bool(value) => write!(f, "`{value}`"),
            U::Unsigned(value) => write!(f, "`{value}`"),
            U::Signed(value) => write!(f, "`{value}`"),
            U::Float(value) => write!(f, "`{value}`"),
            U::Str(text) => write!(f, "`{text}`"),
            other => write!(f, "{other}"),
        }
    }
}

/// What is expected, in an author's words: a reader of YAML knows no types of Rust.
fn wanted(expected: &dyn de::Expected) -> String {
    let words = expected.to_string();
    match words.as_str() {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a string" => "text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "unit variant" => "a name alone".to_owned(),
        "newtype variant" | "struct variant" => {
            "its parameters behind the name: `{ … }`".to_owned()
        }
        _ if words.starts_with("a nonzero ") => "a whole number, 1 or more".to_owned(),
        _ if words.starts_with("struct ") => "its parameters: `{ … }`, or `{}` for none".to_owned(),
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_told_in_an_authors_words() {
        let told = |found, expected: &dyn de::Expected| {
            <SpecError as de::Error>::invalid_type(found, expected).message
        };
        assert_eq!(
            told(de::Unexpected::Unit, &"struct Zscore"),
            "found nothing, expected its parameters: `{ … }`, or `{}` for none"
        );
        assert_eq!(
            told(de::Unexpected::Float(1e20), &"u64"),
            "found `100000000000000000000`, expected a whole number, 0 or more"
        );
    }

    #[test]
    fn suggestions_name_the_nearest() {
        assert_eq!(suggest("sgima", &["std", "sigma"]), "did you mean `sigma`?");
        assert_eq!(
            suggest("colour", &["std", "sigma"]),
            "expected one of `std`, `sigma`"
        );
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_name_the_nearest() {
        assert_eq!(suggest("sgima", &["std", "sigma"]), "did you mean `sigma`?");
        assert_eq!(
            suggest("colour", &["std", "sigma"]),
            "expected one of `std`, `sigma`"
        );
    }
}

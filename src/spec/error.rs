//! A mistake in a file: where, what was expected, and what to do.

use super::space::spaced;
use serde::de;
use std::fmt;

/// Where a node is in its file: bytes from `start` to `end`.
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
    /// Whether it only follows from an entry that was left out.
    pub(super) echo: bool,
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
            echo: false,
        }
    }

    /// What cannot be read because an entry in it was left out: its own mistake is known.
    pub(super) fn echo() -> Self {
        Self {
            echo: true,
            ..Self::new(None, "an entry was left out")
        }
    }

    /// Something that is no name of a choice.
    pub(super) fn no_choice(found: &str, names: &[&str]) -> Self {
        let message =
            format!("found {found}, expected one name, alone or with parameters: `name: {{ … }}`");
        Self::new(None, message).with_help(one_of(names))
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// An unknown name with its nearest valid one and the list of all.
    pub fn unknown(at: At, what: &str, found: &str, valid: &[&str]) -> Self {
        let help = space_behind(found).unwrap_or_else(|| suggest(found, valid));
        Self::new(at, format!("unknown {what} `{found}`")).with_help(help)
    }
}

/// What to write where a text is an entry without the space behind its colon.
fn space_behind(text: &str) -> Option<String> {
    let entry = spaced(text)?;
    Some(format!("write a space behind the colon: `{entry}`"))
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
        Some(_) => one_of(valid),
        None => "nothing is allowed here".to_owned(),
    }
}

fn one_of(valid: &[&str]) -> String {
    let names: Vec<String> = valid.iter().map(|v| format!("`{v}`")).collect();
    format!("expected one of {}", names.join(", "))
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SpecError {}

impl de::Error for SpecError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        match message.starts_with("data did not match any variant of untagged enum") {
            true => Self::new(None, "this is none of the forms that a value may have here")
                .with_help("see `voxstream stages NAME`, or `voxstream schema pipeline`"),
            false => Self::new(None, message),
        }
    }
    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let wanted = wanted(found, &expected.to_string());
        let of = match is_quoted(found) {
            true => "the quoted text ",
            false => "",
        };
        let error = Self::new(
            None,
            format!("found {of}{}, expected {wanted}", Found(found)),
        );
        let de::Unexpected::Str(text) = found else {
            return error;
        };
        let is_meant = match wanted.as_str() {
            "`true` or `false`" => text.parse::<bool>().is_ok(),
            _ => wanted.contains("number") && text.parse::<f64>().is_ok(),
        };
        let help = match is_meant {
            true => Some(format!("remove the quotes: `{text}`")),
            false => space_behind(text),
        };
        Self { help, ..error }
    }
    fn invalid_length(len: usize, expected: &dyn de::Expected) -> Self {
        let wanted = wanted(de::Unexpected::Seq, &expected.to_string());
        Self::new(None, format!("found a list of {len}, expected {wanted}"))
    }
    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }
    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let help = space_behind(field).unwrap_or_else(|| suggest(field, expected));
        Self::new(None, format!("unknown field `{field}`")).with_help(help)
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

/// What a file holds, in an author's words.
pub(super) struct Found<'a>(pub(super) de::Unexpected<'a>);

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
            // `4.0` is no whole number, and shall not be shown as one.
            U::Float(value) => write!(f, "`{value:?}`"),
            U::Str(text) => write!(f, "`{text}`"),
            other => write!(f, "{other}"),
        }
    }
}

/// Returns `true` for a text that would be read as something else without its quotes.
fn is_quoted(found: de::Unexpected<'_>) -> bool {
    let de::Unexpected::Str(text) = found else {
        return false;
    };
    text.parse::<bool>().is_ok() || text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// What is expected, in an author's words: a reader of YAML knows no types of Rust.
fn wanted(found: de::Unexpected<'_>, words: &str) -> String {
    // The file's numbers are i64.
    let most = match words {
        "u8" => u8::MAX.into(),
        "u16" => u16::MAX.into(),
        "u32" => u32::MAX.into(),
        _ => i64::MAX,
    };
    let told = match words {
        "u8" | "u16" | "u32" | "u64" | "usize" if is_above(found, most) => {
            return format!("a whole number from 0 to {most}");
        }
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a string" => "text",
        "path string" => "a path",
        "a sequence" => "a list",
        "unit" => "nothing behind the name",
        "unit variant" => "a name alone",
        "newtype variant" | "struct variant" => "its parameters behind the name: `{ … }`",
        "field identifier" | "variant identifier" => "a name",
        _ if words.starts_with("a nonzero ") => "a whole number, 1 or more",
        _ if words.starts_with("struct ") => "its parameters: `{ … }`, or `{}` for none",
        _ => return words.replace("an array of length ", "a list of "),
    };
    told.to_owned()
}

/// Returns `true` if a number is whole and larger than `most`.
fn is_above(found: de::Unexpected<'_>, most: i64) -> bool {
    match found {
        de::Unexpected::Signed(value) => value > most,
        de::Unexpected::Unsigned(value) => value > most.unsigned_abs(),
        de::Unexpected::Float(value) => value.fract() == 0.0 && value >= most as f64,
        _ => false,
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
            "found `1e20`, expected a whole number from 0 to 9223372036854775807"
        );
        assert_eq!(
            told(de::Unexpected::Signed(300), &"u8"),
            "found `300`, expected a whole number from 0 to 255"
        );
        assert_eq!(
            told(de::Unexpected::Float(4.0), &"u64"),
            "found `4.0`, expected a whole number, 0 or more"
        );
        let quoted = |text, expected: &dyn de::Expected| {
            let found = de::Unexpected::Str(text);
            let error = <SpecError as de::Error>::invalid_type(found, expected);
            (error.message, error.help.unwrap_or_default())
        };
        let own = |message: &str, help: &str| (message.to_owned(), help.to_owned());
        assert_eq!(
            quoted("true", &"a boolean"),
            own(
                "found the quoted text `true`, expected `true` or `false`",
                "remove the quotes: `true`"
            )
        );
        assert_eq!(
            quoted("4", &"f64"),
            own(
                "found the quoted text `4`, expected a number",
                "remove the quotes: `4`"
            )
        );
        assert_eq!(
            quoted("steps:20", &"struct Train"),
            own(
                "found `steps:20`, expected its parameters: `{ … }`, or `{}` for none",
                "write a space behind the colon: `steps: 20`"
            )
        );
        assert_eq!(
            told(de::Unexpected::Str("many"), &"u8"),
            "found `many`, expected a whole number, 0 or more"
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

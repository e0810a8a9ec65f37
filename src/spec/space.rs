//! Spaces that are missing, and characters that look like one.

/// A character that looks like a space and is none to YAML.
pub(super) fn is_strange(c: char) -> bool {
    c.is_whitespace() && !c.is_ascii()
}

/// `key:value` with its space; `None` if the text is something else, such as a URL.
pub(super) fn spaced(text: &str) -> Option<String> {
    let (key, value) = text.split_once(':')?;
    let is_key = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
    let is_name = key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.chars().all(is_key);
    let is_value = !value.is_empty() && !value.starts_with([' ', '/', ':', '\\']);
    (is_name && is_value).then(|| format!("{key}: {}", value.trim_start_matches(is_strange)))
}

//! What the engine says of types that do not fit, in the words of this project.

/// What goes before the call that does not fit.
pub(super) const CALL: &str = "No function matches the given name and argument types '";
/// What goes before the calls that would fit, one a line.
const CANDIDATES: &str = "Candidate functions:";
/// Beginnings of messages about operators and conditions, which name types.
const OPERATORS: [&str; 5] = [
    "Cannot coerce arithmetic expression ",
    "Cannot infer common argument type for ",
    "There isn't a common type to coerce ",
    "Unary operator ",
    "Cannot create filter with non-boolean predicate ",
];
/// The engine's names of types, and what they are to a user.
const TYPES: [(&str, &[&str]); 4] = [
    (
        "text",
        &["Utf8", "LargeUtf8", "Utf8View", "String", "Binary"],
    ),
    (
        "number",
        &[
            "Float", "Float16", "Float32", "Float64", "Int8", "Int16", "Int32", "Int64", "UInt8",
            "UInt16", "UInt32", "UInt64", "Integer", "Numeric", "Decimal",
        ],
    ),
    ("boolean", &["Boolean"]),
    ("null", &["Null"]),
];
/// What helps where a type does not fit.
const HELP: &str = "take a column of such a type (`describe TABLE` lists them), or convert, such as `cast(column as double)`";

/// A message about types, with what was found and what is needed; `None` if it is about something else.
pub(super) fn reworded(text: &str) -> Option<String> {
    if let Some((_, rest)) = text.split_once(CALL) {
        return call(rest);
    }
    if OPERATORS.iter().any(|begin| text.starts_with(begin)) {
        return Some(format!("types do not fit: {}; {HELP}", in_words(text)));
    }
    None
}

/// The message about a call, from the call on.
fn call(rest: &str) -> Option<String> {
    let (found, rest) = rest.split_once('\'')?;
    let listed = rest.split_once(CANDIDATES).map_or("", |(_, listed)| listed);
    let mut expected: Vec<String> = Vec::new();
    for line in listed.lines().map(str::trim) {
        let line = format!("`{}`", in_words(line));
        // Several types of numbers are one to a user.
        if line.len() > 2 && !expected.contains(&line) {
            expected.push(line);
        }
    }
    let expected = match &expected[..] {
        [] => "other arguments".to_owned(),
        [one] => one.clone(),
        [firsts @ .., last] => format!("{} or {last}", firsts.join(", ")),
    };
    Some(format!(
        "found `{}`, expected {expected}; {HELP}",
        in_words(found)
    ))
}

/// A text with the engine's names of types in our words.
fn in_words(text: &str) -> String {
    let (mut words, mut rest) = (String::new(), text);
    while !rest.is_empty() {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(length);
        let known = TYPES.iter().find(|(_, names)| names.contains(&word));
        words.push_str(known.map_or(word, |(ours, _)| ours));
        let next = behind.chars().next();
        words.extend(next);
        rest = &behind[next.map_or(0, char::len_utf8)..];
    }
    words.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use crate::query::Session;
    use crate::sink::{ScoreRow, write_table};

    #[test]
    fn types_that_do_not_fit_are_named_in_our_words() {
        let folder = tempfile::tempdir().unwrap();
        write_table::<ScoreRow>(&folder.path().join("scores.parquet"), &[]).unwrap();
        let session = Session::open(folder.path()).unwrap();
        let told = |sql: &str| session.sql(sql).unwrap_err().to_string();
        for (call, expected) in [
            (
                "avg(class)",
                "found `avg(text)`, expected `avg(number)` or `avg(Duration)`; ",
            ),
            ("median(class)", "found `median(text)`, expected "),
            (
                "sum(missed)",
                "found `sum(boolean)`, expected `sum(number)`",
            ),
            ("round(class, 2)", "found `round(text, number)`, expected "),
            (
                "stddev(class)",
                "found `stddev(text)`, expected `stddev(number)`; ",
            ),
            (
                "upper(dice)",
                "found `upper(number)`, expected `upper(text)`; ",
            ),
            ("avg(dice, class)", "found `avg(number, text)`, expected "),
            ("avg(class) over ()", "found `avg(text)`, expected "),
            (
                "approx_percentile_cont(class, 0.5)",
                "found `approx_percentile_cont(text, number)`, expected ",
            ),
            (
                "class + 1",
                "types do not fit: Cannot coerce arithmetic expression text + number",
            ),
            (
                "not class",
                "types do not fit: Unary operator 'NOT' requires a boolean expression, got text",
            ),
            ("dice and class", "number AND text"),
            ("class = missed", "text = boolean"),
        ] {
            let told = told(&format!("select {call} from scores"));
            assert!(told.contains(expected), "{call}: {told}");
            for engine in ["DataFusion", "Internal error", "Utf8", "Float64", "bug"] {
                assert!(!told.contains(engine), "{call}: {told}");
            }
            assert!(told.contains("cast("), "{told}");
        }
        let told = told("select * from scores where class");
        assert!(
            told.contains("non-boolean predicate 'scores.class' returning text"),
            "{told}"
        );
    }
}

//! `--set path.to.key=value`: changes the text of a file before it is read, so that a mistake in
//! an override is shown at its place like any other.

use crate::spec::node::Document;
use crate::spec::{Node, SourceFile, SpecError};

/// Applies one override.
///
/// **Errors** when there is no `=`, or a path runs through something that is no map or list.
pub fn apply(file: &SourceFile, assignment: &str) -> Result<SourceFile, SpecError> {
    let help = "write `--set train.steps=100` or `--set stages[0].resample.spacing_mm=[1,1,1]`";
    let Some((path, value)) = assignment.split_once('=') else {
        return Err(
            SpecError::new(None, format!("`--set {assignment}` has no `=`")).with_help(help),
        );
    };
    let keys: Vec<String> = path
        .replace('[', ".")
        .replace(']', "")
        .split('.')
        .map(str::to_owned)
        .collect();
    let document = Document::parse(&file.text)?;
    let mut node = document.root();
    for (depth, key) in keys.iter().enumerate() {
        let next = match key.parse::<usize>() {
            Ok(index) if node.is_sequence() => node.items().nth(index),
            _ => node.get(key),
        };
        match next {
            Some(found) => node = found,
            None if node.is_map() => {
                return Ok(file.edited(insertion(node, &file.text, &keys[depth..], value)));
            }
            None => {
                let problem = format!(
                    "`--set {path}`: there is no `{key}` in `{}`",
                    keys[..depth].join(".")
                );
                return Err(SpecError::new(node.at(), problem).with_help(help));
            }
        }
    }
    let at = node.at();
    // What takes the place of such a list belongs to its key if it is indented further.
    let indent = if node.is_unindented_list() { "  " } else { "" };
    Ok(file.edited(format!(
        "{}{indent}{value}{}",
        &file.text[..at.start],
        &file.text[at.end..]
    )))
}

/// The text with `keys: value` added to the map `node`.
fn insertion(node: Node<'_>, text: &str, keys: &[String], value: &str) -> String {
    let nested = keys[1..].iter().rev().fold(value.to_owned(), |inner, key| {
        format!("{{ {key}: {inner} }}")
    });
    let entry = format!("{}: {nested}", keys[0]);
    let at = node.at();
    if text[at.start..].starts_with('{') {
        let comma = if node.entries().next().is_some() {
            ","
        } else {
            ""
        };
        return format!(
            "{}{{ {entry}{comma}{}",
            &text[..at.start],
            &text[at.start + 1..]
        );
    }
    let first = node
        .entries()
        .next()
        .map_or(at.start, |(key, _)| key.at().start);
    let line = text[..first].rfind('\n').map_or(0, |i| i + 1);
    let indent = " ".repeat(text[line..first].chars().count());
    format!("{}{entry}\n{indent}{}", &text[..first], &text[first..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, assignment: &str) -> String {
        apply(
            &SourceFile {
                name: "a.yaml".into(),
                text: text.into(),
            },
            assignment,
        )
        .unwrap()
        .text
    }

    #[test]
    fn values_are_replaced_where_they_stand() {
        assert_eq!(
            set("a: 1 # one\nb: { c: [1, 2] }\n", "b.c=[3]"),
            "a: 1 # one\nb: { c: [3] }\n"
        );
        assert_eq!(set("a: 1 # one\n", "a=2"), "a: 2 # one\n");
        assert_eq!(
            set("s:\n  - flip: { p: 1 }\n", "s[0].flip.p=0.5"),
            "s:\n  - flip: { p: 0.5 }\n"
        );
    }

    #[test]
    fn a_list_is_replaced_however_it_is_indented() {
        let unindented = "a:\n  b: # sizes\n  - 1\n  - 2\n  c: 3\ns:\n- x: {}\n- y: {}\n";
        let changed = set(unindented, "a.b=[4, 5]");
        assert!(
            changed.contains("b: # sizes\n    [4, 5]\n  c: 3"),
            "{changed}"
        );
        let changed = set(&changed, "s=[z: {}]");
        assert!(changed.ends_with("s:\n  [z: {}]\n"), "{changed}");
        let document = Document::parse(&changed).unwrap();
        assert_eq!(document.root().get("s").unwrap().items().count(), 1);
        assert_eq!(
            set(unindented, "a.b[1]=7"),
            unindented.replace("- 2", "- 7")
        );
        assert_eq!(set("b:\n- -1\n- 2\n", "b=[3]"), "b:\n  [3]\n");
        assert_eq!(set("b:\n  - 1\n  - 2\n", "b=[3]"), "b:\n  [3]\n");
        assert_eq!(
            set("b:\n- - 1\n  - 2\n- - 3\n", "b[0]=[3]"),
            "b:\n- [3]\n- - 3\n"
        );
    }

    #[test]
    fn absent_keys_are_added() {
        assert_eq!(set("b: { c: 1 }\n", "b.d=2"), "b: { d: 2, c: 1 }\n");
        assert_eq!(
            set("b:\n  c: 1\n", "b.d.e=2"),
            "b:\n  d: { e: 2 }\n  c: 1\n"
        );
        assert_eq!(set("b: {}\n", "b.d=2"), "b: { d: 2}\n");
        assert_eq!(set("a: 1\n", "seed=3"), "seed: 3\na: 1\n");
    }

    #[test]
    fn a_path_into_nothing_is_refused() {
        let file = SourceFile {
            name: "a.yaml".into(),
            text: "a: 1\n".into(),
        };
        assert!(apply(&file, "a.b=1").is_err());
        assert!(apply(&file, "a").is_err());
    }
}

//! Patterns of paths: named placeholders, `*`, `**`, and `.nii*` for both endings of NIfTI.

use regex::Regex;
use std::collections::BTreeMap;

/// The placeholder of the modality.
pub(super) const MODALITY: &str = "{modality}";

/// What a pattern is made of, folder by folder.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Text that stands for itself.
    Literal(String),
    /// `{name}`: one character or more, the same text wherever the name stands.
    Placeholder(String),
    /// `*`: any text within one name, also none.
    Any,
    /// `**`: any number of folders, also none.
    Folders,
    /// `.nii*` at the end: `.nii` or `.nii.gz` in lower or upper case.
    Nifti,
}

/// Values of placeholders, by name.
pub(super) type Entities = BTreeMap<String, String>;

/// A pattern with its modality put in.
pub(super) struct Pattern {
    /// The folders and the file name, as written.
    parts: Vec<String>,
    /// The same, each a regex without anchors.
    expressions: Vec<String>,
    /// Names of the groups of the whole regex, in order.
    groups: Vec<Vec<String>>,
    regex: Regex,
}

/// Problems of a pattern as text, without its modality; none if it can be used.
pub(super) fn problems(pattern: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for part in pattern.split('/') {
        match pieces(part) {
            Err(problem) => problems.push(problem),
            Ok(_) if part.contains("**") && part != "**" => problems.push(format!(
                "`**` in `{part}` stands for whole folders; write it alone between two `/`, or `*` for text within a name"
            )),
            Ok(_) => {}
        }
    }
    if pattern.split('/').next_back() == Some("**") {
        problems.push(
            "it ends in `**`, which stands for folders; add a name such as `*.nii.gz`".to_owned(),
        );
    }
    problems
}

/// Names of the placeholders in a pattern or template, each once, in order.
pub(super) fn placeholders(pattern: &str) -> Vec<String> {
    let mut names = Vec::new();
    for piece in pieces(pattern).unwrap_or_default() {
        if let Piece::Placeholder(name) = piece
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// A template such as `{subject}_{session}` with its values put in; `None` if one is missing.
pub(super) fn filled(template: &str, values: &Entities) -> Option<String> {
    let pieces = pieces(template).ok()?;
    let text = pieces.iter().map(|piece| match piece {
        Piece::Literal(text) => Some(text.as_str()),
        Piece::Placeholder(name) => values.get(name).map(String::as_str),
        Piece::Any | Piece::Folders | Piece::Nifti => None,
    });
    text.collect()
}

/// The pieces of one part of a pattern. **Errors** if a bracket has no partner or holds no name.
fn pieces(part: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = part;
    while let Some(at) = rest.find(['{', '}', '*']) {
        let (before, found) = rest.split_at(at);
        let stem = before.strip_suffix(".nii").filter(|_| found == "*");
        let literal = stem.unwrap_or(before);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        if stem.is_some() {
            pieces.push(Piece::Nifti);
            return Ok(pieces);
        }
        rest = if let Some(inside) = found.strip_prefix('{') {
            let end = inside.find('}');
            let end = end.ok_or(format!("a `{{` in `{part}` has no `}}`; close it"))?;
            let name = &inside[..end];
            let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(plain) {
                return Err(format!(
                    "`{{{name}}}` is no name of a placeholder; use letters, digits, `_` and `-`, such as {{session}}"
                ));
            }
            pieces.push(Piece::Placeholder(name.to_owned()));
            &inside[end + 1..]
        } else if let Some(behind) = found.strip_prefix("**") {
            pieces.push(Piece::Folders);
            behind
        } else if let Some(behind) = found.strip_prefix('*') {
            pieces.push(Piece::Any);
            behind
        } else {
            return Err(format!("a `}}` in `{part}` has no `{{`; remove it"));
        };
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Ok(pieces)
}

impl Pattern {
    /// The pattern for the modality that is called `modality` in paths.
    ///
    /// **Errors** if [`problems`] has something to say.
    pub(super) fn new(pattern: &str, modality: &str) -> Result<Self, String> {
        let pattern = pattern.trim_start_matches("./").replace(MODALITY, modality);
        let parts: Vec<String> = pattern.split('/').map(str::to_owned).collect();
        let (mut expressions, mut groups) = (Vec::new(), Vec::new());
        for part in &parts {
            let (expression, names) = expression(part, &mut |_| None)?;
            expressions.push(expression);
            groups.push(names);
        }
        let regex = compiled(&parts, &expressions)?;
        Ok(Self {
            parts,
            expressions,
            groups,
            regex,
        })
    }

    /// How many folders deep files can be that fit; `None` if any.
    pub(super) fn depth(&self) -> Option<usize> {
        let bounded = self.parts.iter().all(|part| part != "**");
        bounded.then_some(self.parts.len())
    }

    /// The parts of the pattern: folders, then the name of the file.
    pub(super) fn parts(&self) -> &[String] {
        &self.parts
    }

    /// The first `count` parts of the pattern as one regex; the last of them is not `**`.
    pub(super) fn prefix(&self, count: usize) -> Option<Regex> {
        compiled(&self.parts[..count], &self.expressions[..count]).ok()
    }

    /// Values of the placeholders of a path; `None` if it does not fit.
    pub(super) fn entities(&self, path: &str) -> Option<Entities> {
        self.agreed(path).and_then(Result::ok)
    }

    /// Values of the placeholders of a path whose shape fits, or a placeholder with two values.
    pub(super) fn agreed(&self, path: &str) -> Option<Result<Entities, [String; 3]>> {
        let captures = self.regex.captures(path)?;
        let names = self.groups.iter().flatten();
        let (mut entities, mut conflict) = (Entities::new(), None);
        // The regex language has no back-references.
        for (name, group) in names.zip(captures.iter().skip(1).flatten()) {
            let value = group.as_str();
            let first = entities.entry(name.clone()).or_insert(value.to_owned());
            if first != value && conflict.is_none() {
                conflict = Some([name.clone(), first.clone(), value.to_owned()]);
            }
        }
        match conflict {
            None => Some(Ok(entities)),
            Some(conflict) => Some(self.repeated(path, &entities).ok_or(conflict)),
        }
    }

    /// Values of the placeholders if each stands for what it stood for first: `{subject}/{subject}_{run}`
    /// fits `p/p_1_2`, although `p_1` is as good a subject for the name alone.
    fn repeated(&self, path: &str, first: &Entities) -> Option<Entities> {
        let mut seen: Vec<String> = Vec::new();
        let mut known = |name: &str| {
            let is_known = seen.iter().any(|n| n == name);
            if !is_known {
                seen.push(name.to_owned());
            }
            first.get(name).filter(|_| is_known).map(String::as_str)
        };
        let (mut expressions, mut names) = (Vec::new(), Vec::new());
        for part in &self.parts {
            let (text, of_part) = expression(part, &mut known).ok()?;
            expressions.push(text);
            names.extend(of_part);
        }
        let regex = compiled(&self.parts, &expressions).ok()?;
        let captures = regex.captures(path)?;
        let values = captures
            .iter()
            .skip(1)
            .flatten()
            .map(|group| group.as_str());
        let entities: Entities = names.into_iter().zip(values.map(str::to_owned)).collect();
        let same = |name: &String| entities.get(name) == first.get(name);
        seen.iter()
            .filter(|name| self.is_repeated(name))
            .all(same)
            .then_some(entities)
    }

    fn is_repeated(&self, name: &str) -> bool {
        let places = self.groups.iter().flatten().filter(|n| *n == name);
        places.count() > 1
    }
}

/// The regex of one part, without anchors, and the names of its groups; a placeholder with a `known`
/// value is that text and no group.
///
/// Beside a `*` a placeholder takes as little as fits, else as much.
fn expression<'a>(
    part: &str,
    known: &mut dyn FnMut(&str) -> Option<&'a str>,
) -> Result<(String, Vec<String>), String> {
    let (mut expression, mut names) = (String::new(), Vec::new());
    let pieces = pieces(part)?;
    let group = match pieces.contains(&Piece::Any) {
        true => "([^/]+?)",
        false => "([^/]+)",
    };
    for piece in pieces {
        match piece {
            Piece::Literal(text) => expression += &regex::escape(&text),
            Piece::Placeholder(name) => match known(&name) {
                Some(value) => expression += &regex::escape(value),
                None => {
                    names.push(name);
                    expression += group;
                }
            },
            Piece::Any => expression += "[^/]*",
            Piece::Folders => expression += "(?:[^/]+/)*",
            Piece::Nifti => expression += r"(?i:\.nii(?:\.gz)?)",
        }
    }
    Ok((expression, names))
}

/// A regex of whole parts; `**` holds the `/` behind it.
///
/// **Errors** if it grows too large.
fn compiled(parts: &[String], expressions: &[String]) -> Result<Regex, String> {
    let mut text = String::from("^");
    for (i, (part, expression)) in parts.iter().zip(expressions).enumerate() {
        text += expression;
        if part != "**" && i + 1 < parts.len() {
            text.push('/');
        }
    }
    Regex::new(&(text + "$")).map_err(|e| e.to_string())
}

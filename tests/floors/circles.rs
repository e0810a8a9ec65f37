//! Circles of imports: each file uses an item of the next one, and the last one of the first.
//!
//! A use is a path that begins with `crate`, `super`, `self` or a child module, in a `use` or in the
//! text. It leads to the file that defines the item: `pub use` is followed, and is no use itself.

use std::collections::{BTreeMap, BTreeSet};

/// Names of modules from the crate's root on.
type Module = Vec<String>;
/// An item of a module; the empty name stands for the module itself.
type Item = (Module, String);

/// The files of each circle among `sources`, which are texts by their paths below `src`.
pub(super) fn circles(sources: &BTreeMap<String, String>) -> Vec<Vec<&str>> {
    let files: BTreeMap<Module, &str> = sources.keys().map(|p| (module_of(p), &**p)).collect();
    let mut exports: BTreeMap<Item, Item> = BTreeMap::new();
    let mut uses = Vec::new();
    for (place, text) in sources {
        let own = module_of(place);
        for (path, is_export) in paths(&plain(text)) {
            let last = path.rsplit("::").next().unwrap_or_default();
            let (path, name) = path.split_once(" as ").unwrap_or((&path, last));
            match (resolve(&files, &own, path), is_export) {
                (Some(item), false) => uses.push((place, item)),
                (Some(item), true) => drop(exports.insert((own.clone(), name.to_owned()), item)),
                (None, _) => {}
            }
        }
    }
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (place, mut item) in uses {
        while let Some(defined) = exports.get(&item) {
            item = defined.clone();
        }
        if let Some(file) = files.get(&item.0).filter(|file| *file != place) {
            next.entry(place).or_default().insert(file);
        }
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        next.keys().map(|f| (*f, reached(&next, f))).collect();
    let circle = |file: &&str| -> Vec<&str> {
        let back = |other: &&&str| reached.get(**other).is_some_and(|r| r.contains(file));
        reached[file].iter().filter(back).copied().collect()
    };
    let found: BTreeSet<Vec<&str>> = reached.keys().map(circle).collect();
    found.into_iter().filter(|files| files.len() > 1).collect()
}

fn module_of(place: &str) -> Module {
    let names = place.trim_end_matches(".rs").split('/');
    let names = names.filter(|name| !["lib", "mod"].contains(name));
    names.map(str::to_owned).collect()
}

fn reached<'a>(next: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(file) = waiting.pop() {
        let new = next.get(file).into_iter().flatten();
        waiting.extend(new.filter(|file| reached.insert(**file)));
    }
    reached
}

/// A text without comments and scopes of visibility; `super` of a module inside the file is the file.
fn plain(text: &str) -> String {
    let mut is_inside = false;
    let lines = text.lines().filter(|l| !l.trim_start().starts_with("//"));
    let plain = lines.map(|line| {
        let opens = !line.starts_with(' ') && line.contains("mod ") && line.ends_with(" {");
        is_inside = line != "}" && (is_inside || opens);
        let line = line.replace("pub(in crate::", "pub(");
        match is_inside {
            true => line.replace("super::", "self::"),
            false => line,
        }
    });
    plain.collect::<Vec<String>>().join("\n")
}

/// Every path of a text, and whether it is handed on by `pub use`.
fn paths(text: &str) -> Vec<(String, bool)> {
    let mut paths = Vec::new();
    for statement in text.split(';') {
        let keyword = statement.rfind("use ").filter(|at| {
            let line = statement[..*at]
                .rsplit('\n')
                .next()
                .unwrap_or_default()
                .trim();
            line.is_empty() || line.starts_with("pub") && !line.contains(' ')
        });
        let (body, tree) = statement.split_at(keyword.unwrap_or(statement.len()));
        let is_export = body
            .rsplit('\n')
            .next()
            .is_some_and(|line| line.contains("pub"));
        let words = body.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        let words = words
            .map(|word| word.trim_matches(':'))
            .filter(|word| word.contains("::"));
        paths.extend(words.map(|word| (word.to_owned(), false)));
        let tree = expanded(tree.trim_start_matches("use "));
        paths.extend(
            tree.into_iter()
                .map(|path| (path, is_export && keyword.is_some())),
        );
    }
    paths
}

/// The paths of a tree with braces.
fn expanded(tree: &str) -> Vec<String> {
    let Some((before, rest)) = tree.split_once('{') else {
        return vec![tree.trim().to_owned()];
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let mut depth = 0;
    let parts = inner.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let paths = parts.flat_map(expanded).filter(|path| !path.is_empty());
    paths
        .map(|path| format!("{}{path}", before.trim()))
        .collect()
}

/// The module that a path leads to, and the item in it; `None` for paths out of the crate.
fn resolve(files: &BTreeMap<Module, &str>, own: &Module, path: &str) -> Option<Item> {
    let mut at = own.clone();
    for (i, name) in path.split("::").enumerate() {
        match name {
            "crate" => at.clear(),
            "self" => {}
            "super" => drop(at.pop()),
            name => {
                at.push(name.to_owned());
                if !files.contains_key(&at) {
                    at.pop();
                    return (i > 0).then(|| (at, name.to_owned()));
                }
            }
        }
    }
    Some((at, String::new()))
}

mod tests;

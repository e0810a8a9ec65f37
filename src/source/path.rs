//! Paths as an author writes them.

use super::SourceError;
use std::path::{Path, PathBuf};

/// Expands `${VAR:-default}` and finds the file or folder: as written if absolute, else in the
/// current directory, else in `base`.
pub fn resolve_path(text: &str, base: &Path) -> Result<PathBuf, SourceError> {
    resolve_with(text, base, |name| std::env::var(name).ok())
}

/// Expands `${VAR:-default}` in the path of a file or folder that need not exist yet: as written if
/// absolute, else in `base`.
///
/// **Errors** when a variable is not set.
pub fn new_path(text: &str, base: &Path) -> Result<PathBuf, SourceError> {
    Ok(base.join(expanded(text, |name| std::env::var(name).ok())?))
}

fn expanded(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf, SourceError> {
    // As in a shell, `:-` also replaces a variable that is set but empty.
    let lookup = |name: &str| variable(name).filter(|v| !v.is_empty()).map(Some).ok_or(());
    let expanded =
        shellexpand::env_with_context(text, lookup).map_err(|e| SourceError::Variable {
            text: text.to_owned(),
            name: e.var_name,
        })?;
    Ok(PathBuf::from(expanded.as_ref()))
}

fn resolve_with(
    text: &str,
    base: &Path,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<PathBuf, SourceError> {
    let here = expanded(text, variable)?;
    let there = base.join(&here);
    if here.exists() {
        return Ok(here);
    }
    if there.exists() {
        return Ok(there);
    }
    let mut looked = vec![std::path::absolute(&here).unwrap_or(here)];
    let there = std::path::absolute(&there).unwrap_or(there);
    if there != looked[0] {
        looked.push(there);
    }
    Err(SourceError::NotFound {
        text: text.to_owned(),
        looked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_both_places_are_tried() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bench")).unwrap();
        let text = folder.path().to_str().unwrap().to_owned();
        let resolve = |path: &str, base: &str, value: Option<&str>| {
            resolve_with(path, Path::new(base), |name| {
                assert_eq!(name, "VOXSTREAM_DATA");
                value.map(str::to_owned)
            })
        };
        let set = "${VOXSTREAM_DATA}/bench";
        assert_eq!(
            resolve(set, "/nowhere", Some(&text)).unwrap(),
            folder.path().join("bench")
        );
        let default = format!("${{VOXSTREAM_DATA:-{text}}}/bench");
        for unset in [None, Some("")] {
            assert_eq!(
                resolve(&default, "/nowhere", unset).unwrap(),
                folder.path().join("bench")
            );
        }
        let error = resolve(set, "/nowhere", None).unwrap_err().to_string();
        assert_eq!(
            error,
            "`${VOXSTREAM_DATA}/bench` needs the environment variable `VOXSTREAM_DATA`, which is not set; set it, or write `${VOXSTREAM_DATA:-default}`"
        );
        assert_eq!(
            resolve("bench", &text, None).unwrap(),
            folder.path().join("bench")
        );
        let error = resolve("absent", &text, None).unwrap_err().to_string();
        assert!(
            error.starts_with("`absent` is not there; looked for ")
                && error.ends_with(&format!("{text}/absent")),
            "{error}"
        );
    }
}

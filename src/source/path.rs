//! Paths as an author writes them in a pipeline file: local ones, and URLs of objects in stores.

use super::SourceError;
use crate::store;
use std::path::{Component, Path, PathBuf};

/// Expands `${VAR:-default}` and returns the path of a file or folder that exists: as written if
/// absolute, else relative to `base`, the folder of the pipeline file. Whether an object is there is
/// found when it is read.
///
/// **Errors** if a variable is not set, nothing is there, or a URL cannot be used; a path that exists in
/// the current folder only is named, with what to write instead.
pub fn resolve_path(text: &str, base: &Path) -> Result<PathBuf, SourceError> {
    resolve_with(text, base, Path::new("."), environment)
}

/// Expands `${VAR:-default}` in the path of a local folder that need not exist yet: as written if
/// absolute, else relative to `base`.
///
/// **Errors** if a variable is not set, or the path is that of a store.
pub fn new_path(text: &str, base: &Path) -> Result<PathBuf, SourceError> {
    let path = store::join(base, &expanded(text, environment)?);
    match store::is_url(&path) {
        false => Ok(path),
        true => Err(SourceError::NotLocal {
            text: store::redacted(text),
        }),
    }
}

/// Checks that a path does not depend on the current folder, and that a URL can be used; nothing need be
/// there.
///
/// **Errors** if a relative path exists in the current folder, but not in `base`, or a URL has another
/// scheme or holds credentials.
pub fn check_place(text: &str, base: &Path) -> Result<(), SourceError> {
    match resolve_path(text, base) {
        Err(
            error @ (SourceError::Url { .. }
            | SourceError::NotFound {
                instead: Some(_), ..
            }),
        ) => Err(error),
        _ => Ok(()),
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
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
    current: &Path,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<PathBuf, SourceError> {
    let written = expanded(text, variable)?;
    let path = store::join(base, &written);
    if store::is_url(&path) {
        return match store::Location::of(&path) {
            Ok(_) => Ok(path),
            Err(source) => Err(SourceError::Url {
                text: store::redacted(&path.to_string_lossy()),
                source,
            }),
        };
    }
    if path.exists() {
        return Ok(path);
    }
    Err(SourceError::NotFound {
        text: text.to_owned(),
        instead: instead(&written, base, current),
        path: std::path::absolute(&path).unwrap_or(path),
    })
}

/// The path from `base` to a relative path that exists in the current folder.
fn instead(written: &Path, base: &Path, current: &Path) -> Option<PathBuf> {
    let here = match written.is_relative() {
        true => current.join(written).canonicalize().ok()?,
        false => return None,
    };
    let base = match base.as_os_str().is_empty() {
        true => Path::new("."),
        false => base,
    };
    let Ok(base) = base.canonicalize() else {
        return Some(here);
    };
    let shared = (here.components().zip(base.components()))
        .take_while(|(a, b)| a == b)
        .count();
    let is_near = |part: Component<'_>| matches!(part, Component::Normal(_));
    // Folders that share only the root are further apart than an absolute path is long.
    if !here.components().take(shared).any(is_near) {
        return Some(here);
    }
    let up = base.components().skip(shared).map(|_| Component::ParentDir);
    let down = here.components().skip(shared);
    Some(up.chain(down).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bench")).unwrap();
        let text = folder.path().to_str().unwrap().to_owned();
        let resolve = |path: &str, base: &str, value: Option<&str>| {
            resolve_with(path, Path::new(base), Path::new("/nowhere"), |name| {
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
        assert_eq!(
            error,
            format!(
                "`absent` does not exist: expected {text}/absent, as a relative path begins at the folder of its file"
            )
        );
    }

    #[test]
    fn urls_are_taken_as_they_are_and_relative_paths_begin_at_the_folder_of_a_store() {
        let base = Path::new("s3://bucket/pipelines");
        let resolve = |text: &str| resolve_path(text, base);
        for (text, expected) in [
            ("../lists/a.csv", "s3://bucket/lists/a.csv"),
            ("./a.csv", "s3://bucket/pipelines/a.csv"),
            ("gs://other/b/", "gs://other/b"),
            ("https://host/a%20b.csv", "https://host/a%20b.csv"),
        ] {
            assert_eq!(resolve(text).unwrap(), Path::new(expected));
        }
        let error = resolve("https://me:secret@host/a.csv?sig=hidden").unwrap_err();
        let text = crate::sink::causes(&error);
        assert!(text.starts_with("`https://host/a.csv`: "), "{text}");
        assert!(
            !text.contains("secret") && !text.contains("hidden"),
            "{text}"
        );
        let error = resolve("ftp://host/a.csv").unwrap_err();
        let text = crate::sink::causes(&error);
        assert!(text.contains("scheme `ftp` is not known"), "{text}");
        let error = new_path("s3://bucket/cache", Path::new("/work")).unwrap_err();
        assert!(error.to_string().contains("local folder"), "{error}");
    }

    #[test]
    fn a_path_means_the_same_wherever_a_run_starts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["home/pipelines/data", "home/data", "home/other"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        let base = root.join("home/pipelines");
        let resolve =
            |text: &str, current: &str| resolve_with(text, &base, &root.join(current), |_| None);
        for current in ["home", "home/pipelines", "home/other"] {
            // Both folders hold `data`: that beside the file is taken.
            assert_eq!(resolve("data", current).unwrap(), base.join("data"));
            assert_eq!(resolve(".", current).unwrap(), base.join("."));
        }
        let error = resolve("other", "home").unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "`other` does not exist: expected {}, as a relative path begins at the folder of its file; it exists in the current folder: write `../other`",
                base.join("other").display()
            )
        );
        assert!(
            !resolve("other", "home/other")
                .unwrap_err()
                .to_string()
                .contains("write")
        );
    }
}

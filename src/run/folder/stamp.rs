//! The default folders of runs, named by the second in which they start.

use crate::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Creates a new folder `<parent>/<stamp>`, or `<parent>/<stamp>-2`, `-3`, … where another run started in the
/// same second: of many processes each gets its own.
///
/// **Errors** if a folder cannot be created.
pub fn create_stamped(parent: &Path) -> Result<PathBuf, Error> {
    let stamp = chrono::Local::now().format("%Y%m%dT%H%M%S").to_string();
    create_named(parent, &stamp)
}

fn create_named(parent: &Path, stamp: &str) -> Result<PathBuf, Error> {
    fs::create_dir_all(parent).map_err(Error::io(parent, "creating the folder"))?;
    let mut path = parent.join(stamp);
    let mut next = 2_u64;
    loop {
        // Of several processes one succeeds; looking first would leave a gap between look and creation.
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                path = parent.join(format!("{stamp}-{next}"));
                next += 1;
            }
            Err(e) => return Err(Error::io(&path, "creating the folder")(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::create_named;
    use std::collections::BTreeSet;

    #[test]
    fn runs_that_start_in_one_second_get_a_folder_each() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().join("runs/name");
        let create = || create_named(&parent, "20260102T030405").unwrap();
        let threads: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = (0..20).map(|_| scope.spawn(create)).collect();
            started.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let names: BTreeSet<_> = (threads.iter())
            .map(|path| path.file_name().unwrap().to_owned())
            .collect();
        assert_eq!(names.len(), 20);
        assert!(names.contains("20260102T030405".as_ref() as &std::ffi::OsStr));
        assert!(names.contains("20260102T030405-20".as_ref() as &std::ffi::OsStr));
        std::fs::write(folder.path().join("file"), b"").unwrap();
        assert!(create_named(&folder.path().join("file"), "x").is_err());
    }
}

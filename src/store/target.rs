//! Where the bytes go that are written to a local path: a file that appears whole, or a pipe or device that is there.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Seek as _};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Links that are followed from one to the next, as many as Linux follows.
const MOST_LINKS: usize = 40;
/// Where the links of Linux are that stand for open files: `/dev/stdout` leads there.
const OPEN_FILES: &str = "/proc";

/// The place that a local path stands for.
///
/// Links are followed, so that what a path leads to is replaced and the link stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A regular file, or nothing yet: a complete draft beside it takes its name.
    File(PathBuf),
    /// A pipe or a device: what is in the draft is written into it, for a rename would replace it by a file.
    Stream(PathBuf),
}

impl Target {
    /// The place of a path.
    ///
    /// **Errors** if it cannot be looked up, such as one whose links go in a circle.
    pub fn of(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(found) if !found.is_file() && !found.is_dir() => {
                return Ok(Self::Stream(path.to_owned()));
            }
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            // A regular file or folder, nothing, or a link to nothing.
            _ => {}
        }
        let mut file = path.to_owned();
        for _ in 0..MOST_LINKS {
            let Ok(next) = fs::read_link(&file) else {
                return Ok(Self::File(file));
            };
            file = file.parent().unwrap_or(Path::new("")).join(next);
            if file.starts_with(OPEN_FILES) {
                return Ok(Self::Stream(path.to_owned()));
            }
        }
        let problem = format!("{}: its links go in a circle", path.display());
        Err(io::Error::new(ErrorKind::InvalidInput, problem))
    }

    /// The folder for a draft: one from which it can be renamed.
    pub fn folder(&self) -> PathBuf {
        match self {
            Self::Stream(_) => std::env::temp_dir(),
            Self::File(file) => match file.parent() {
                Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
                _ => PathBuf::from("."),
            },
        }
    }

    /// Publishes a complete draft: gives it the file's name, or writes what it holds into the stream.
    ///
    /// **Errors** if that is refused; a file is as it was then.
    pub fn publish(&self, mut draft: NamedTempFile) -> io::Result<()> {
        match self {
            Self::File(file) => draft.persist(file).map(drop).map_err(|e| e.error),
            Self::Stream(path) => {
                // Standard output may be a file that others write, too.
                let mut stream = OpenOptions::new().append(true).open(path)?;
                draft.as_file_mut().rewind()?;
                io::copy(draft.as_file_mut(), &mut stream).map(drop)
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::Target;
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::{FileTypeExt as _, symlink};
    use std::path::Path;
    use std::process::Command;

    fn write(path: &Path, text: &str) -> std::io::Result<()> {
        let target = Target::of(path)?;
        let mut draft = tempfile::NamedTempFile::new_in(target.folder())?;
        draft.write_all(text.as_bytes())?;
        target.publish(draft)
    }

    #[test]
    fn pipes_and_devices_stay_and_links_lead_to_what_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(&at("new"), "1").unwrap();
        write(&at("new"), "2").unwrap();
        assert_eq!(fs::read_to_string(at("new")).unwrap(), "2");

        fs::create_dir(at("inner")).unwrap();
        symlink("inner/file", at("nowhere")).unwrap();
        symlink("nowhere", at("twice")).unwrap();
        for text in ["made", "replaced"] {
            write(&at("twice"), text).unwrap();
            assert_eq!(fs::read_to_string(at("inner/file")).unwrap(), text);
        }
        assert!(at("twice").is_symlink() && at("nowhere").is_symlink());
        symlink("circle", at("circle")).unwrap();
        assert!(write(&at("circle"), "x").is_err());

        let pipe = at("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        symlink("pipe", at("link")).unwrap();
        for (path, text) in [(&pipe, "through"), (&at("link"), "a link")] {
            let reader = std::thread::Builder::new()
                .name("reader".to_owned())
                .spawn({
                    let pipe = pipe.clone();
                    move || fs::read_to_string(pipe).unwrap()
                });
            write(path, text).unwrap();
            assert_eq!(reader.unwrap().join().unwrap(), text);
        }
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        write(Path::new("/dev/null"), "nothing").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        assert!(write(folder.path(), "a folder").is_err());
    }
}

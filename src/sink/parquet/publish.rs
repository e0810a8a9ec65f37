//! Files in the making, and how they get their names: here by a rename, in a store by an upload.

use crate::sink::{SinkError, io_error};
use crate::store::{self, Target};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Beginning and ending of the name of a file that is being written.
pub(super) const DRAFT: [&str; 2] = [".", ".part"];

/// A hidden file in a folder.
pub(super) fn hidden_file(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(DRAFT[0]).suffix(DRAFT[1]);
    #[cfg(unix)]
    {
        // Temporary files are private by default; tables are for everyone the umask lets in.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Makes names that were given to files in a folder survive a crash of the machine.
///
/// **Errors** if the folder cannot be opened or flushed.
pub(in crate::sink) fn sync_folder(folder: &Path) -> Result<(), SinkError> {
    // Windows opens no folder as a file; names are durable there with the file.
    if cfg!(unix) {
        let opened = File::open(folder).and_then(|f| f.sync_all());
        opened.map_err(io_error(folder, "flushing"))?;
    }
    Ok(())
}

/// The folder for the draft of a file, which is created if it is missing; that of temporary files for an object.
///
/// **Errors** if the place of the file cannot be looked up, or the folder not be created.
pub(super) fn folder_of(path: &Path) -> Result<PathBuf, SinkError> {
    if store::is_url(path) {
        return Ok(std::env::temp_dir());
    }
    let target = Target::of(path).map_err(io_error(path, "looking it up"))?;
    let folder = target.folder();
    fs::create_dir_all(&folder).map_err(io_error(&folder, "creating the folder"))?;
    Ok(folder)
}

/// Gives a file that is complete its name, here or in a store; returns its bytes, and the digest of what
/// was uploaded.
pub(super) fn publish(
    file: NamedTempFile,
    path: &Path,
) -> Result<(u64, Option<String>), SinkError> {
    if store::is_url(path) {
        let mut hasher = blake3::Hasher::new();
        let read = file
            .reopen()
            .and_then(|f| hasher.update_reader(f).map(drop));
        read.map_err(io_error(file.path(), "reading what is to be uploaded"))?;
        store::upload(file.path(), path).map_err(io_error(path, "uploading"))?;
        return Ok((hasher.count(), Some(hasher.finalize().to_hex().to_string())));
    }
    let target = Target::of(path).map_err(io_error(path, "looking it up"))?;
    // Without it, a crash of the machine could leave the name without the bytes.
    file.as_file()
        .sync_all()
        .map_err(io_error(path, "flushing"))?;
    let bytes = file
        .as_file()
        .metadata()
        .map_err(io_error(path, "measuring"))?
        .len();
    target
        .publish(file)
        .map_err(io_error(path, "putting what was written in its place"))?;
    Ok((bytes, None))
}

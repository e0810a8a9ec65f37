//! What the targets share: each is one kind of files of `tests/fuzz/corpus.rs`, read from the bytes that
//! libFuzzer makes.

#[path = "../../tests/fuzz/corpus.rs"]
mod corpus;

use corpus::Kind;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;
use voxstream::run::guard::caught;

#[doc(hidden)]
pub use libfuzzer_sys;

/// The folder that the kind's file is written to, and the kind.
static READER: OnceLock<(TempDir, Kind)> = OnceLock::new();

/// Makes the kind ready, and writes what its files are made from into the folder that `cargo fuzz` reads.
pub fn prepare(name: &str) {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The seeds name files from the root of the repository.
    std::env::set_current_dir(crate_folder.join("..")).expect("the repository is there");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let kind = corpus::kind(name, folder.path());
    let file = folder.path().join(kind.file);
    std::fs::create_dir_all(file.parent().expect("a file is in a folder")).expect("it can be made");
    let seeds = crate_folder.join("corpus").join(name);
    std::fs::create_dir_all(&seeds).expect("a corpus can be made");
    for (i, seed) in kind.seeds.iter().enumerate() {
        std::fs::write(seeds.join(format!("seed-{i}")), seed).expect("a seed can be written");
    }
    assert!(READER.set((folder, kind)).is_ok(), "prepared once");
    // libFuzzer's own hook ends the process at every panic, those of packages that readers turn into errors too.
    std::panic::set_hook(Box::new(|_| {}));
}

/// Reads a file of these bytes; ends the process unless that gives a value or an error that has a text.
pub fn read(bytes: &[u8]) {
    let (folder, kind) = READER.get().expect("libFuzzer prepares first");
    std::fs::write(folder.path().join(kind.file), bytes).expect("the file can be written");
    let fault = match caught(|| (kind.read)(folder.path())) {
        Ok(Err(text)) if text.is_empty() => "an error without a text".to_owned(),
        Ok(_) => return,
        Err(panic) => panic.to_string(),
    };
    eprintln!("{}: {fault}", kind.name);
    std::process::abort();
}

/// The target of a kind.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        use $crate::libfuzzer_sys;
        libfuzzer_sys::fuzz_target!(init: $crate::prepare($name), |bytes: &[u8]| $crate::read(bytes));
    };
}

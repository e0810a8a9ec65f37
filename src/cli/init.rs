//! `init`: from a folder of volumes to a commented pipeline that passes `check --data`.

use super::{check, say};
use crate::error::Error;
use crate::init::proposal::Proposal;
use crate::init::{Template, draft, look};
use crate::run::display::Aside;
use crate::sink::parquet::write_whole;
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Options of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Folder of the data set, or a table of paths (.csv, .tsv); a local one or one in a store.
    pub data: PathBuf,
    /// What the pipeline is for; default: `supervised` with labels, `semi-supervised` if most subjects
    /// have none, `prepare` without any.
    #[arg(long, value_enum)]
    pub template: Option<Template>,
    /// The pipeline file to write; default: it is printed, with absolute paths.
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// Memory of the device that trains, such as `24GiB`: patch, width and batch are chosen for it.
    #[arg(long, default_value = "8GiB")]
    pub memory: bytesize::ByteSize,
    /// Subjects whose voxels are looked at, evenly spaced by id; headers are read of all.
    #[arg(long, default_value_t = 24)]
    pub sample: usize,
    /// Keep the fingerprint in this folder, as `fingerprint.parquet` and `fingerprint_classes.parquet`.
    #[arg(long, value_name = "FOLDER")]
    pub fingerprint: Option<PathBuf>,
    /// Replace a pipeline file that is there already.
    #[arg(long)]
    pub force: bool,
}

/// Writes a pipeline for a data set, and checks it against the data; returns the exit code of that check.
///
/// **Errors** if the data set is not recognised or not fit for the template, or a file cannot be written.
pub fn init(args: &InitArgs, out: &mut dyn Write) -> Result<u8, Error> {
    if let Some(path) = args
        .output
        .as_deref()
        .filter(|path| path.exists() && !args.force)
    {
        return Err(Error::run(format!(
            "{} is there already; name another file with `-o`, or replace it with `--force`",
            path.display()
        )));
    }
    let (layout, print) = look(&args.data, args.sample)?;
    if let Some(folder) = &args.fingerprint {
        print.write(folder)?;
    }
    let proposal = Proposal::new(&layout, &print, args.memory.as_u64());
    let template = args
        .template
        .unwrap_or_else(|| Template::choose(&layout, &print));
    let name = name(&args.data, template);
    let base = args.output.as_deref().map(folder_of);
    let draft = draft(&layout, &print, &proposal, template, &name, base)?;
    let remarks: String = (draft.remarks.iter())
        .map(|remark| format!("  {remark}\n"))
        .collect();
    let Some(path) = &args.output else {
        // Standard output is often a file.
        Aside
            .write_all(remarks.as_bytes())
            .map_err(Error::io(Path::new("standard error"), "writing"))?;
        return say(out, &draft.text);
    };
    write_whole(path, draft.text.as_bytes())?;
    if path.exists() && !path.is_file() {
        // A pipe or device holds the pipeline alone, and cannot be read back.
        return Ok(0);
    }
    say(
        out,
        &format!(
            "{}: template {}\n{remarks}",
            path.display(),
            template.name()
        ),
    )?;
    check::check(
        std::slice::from_ref(path),
        &[],
        true,
        check::CheckFormat::Text,
        out,
    )
}

/// The folder of a file that may be named alone.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The pipeline's name: that of the data set, and for predictions what they are.
fn name(data: &Path, template: Template) -> String {
    let data = data.canonicalize().unwrap_or_else(|_| data.to_path_buf());
    let is_table = data.extension().is_some_and(|e| e == "csv" || e == "tsv");
    let stem = match is_table {
        true => data.file_stem(),
        false => data.file_name(),
    };
    let stem = stem.map_or_else(|| "cohort".into(), |n| n.to_string_lossy().to_lowercase());
    let plain = |c: char| {
        if c.is_alphanumeric() || c == '-' || c == '_' {
            c
        } else {
            '-'
        }
    };
    let name: String = stem.chars().map(plain).collect();
    match (name.trim_matches('-'), template) {
        ("", _) => "cohort".to_owned(),
        (name, Template::Predict) => format!("{name}-predict"),
        (name, _) => name.to_owned(),
    }
}

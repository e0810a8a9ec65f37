//! `schema`: what a pipeline file may say, and what the tables hold.

use super::stdout;
use crate::error::Error;
use crate::schema::all;
use crate::sink::parquet::write_whole;
use crate::spec::suggest;
use std::io::Write;
use std::path::Path;

/// Prints one schema, lists all, or writes all into `schemas/`.
///
/// **Errors** when a name is unknown or a file cannot be written.
pub fn schema(name: Option<&str>, write: bool, out: &mut dyn Write) -> Result<u8, Error> {
    let schemas = all();
    if write {
        for (file, text) in &schemas {
            write_whole(&Path::new("schemas").join(file), text.as_bytes())?;
            writeln!(out, "schemas/{file}").map_err(stdout)?;
        }
        return Ok(0);
    }
    let names: Vec<&str> = schemas
        .iter()
        .map(|(file, _)| file.split('.').next().unwrap_or(file))
        .collect();
    match name {
        None => writeln!(out, "{}", names.join("\n")).map_err(stdout)?,
        Some(name) => match names.iter().position(|n| *n == name) {
            Some(i) => out.write_all(schemas[i].1.as_bytes()).map_err(stdout)?,
            None => {
                return Err(Error::run(format!(
                    "there is no schema `{name}`; {}",
                    suggest(name, &names)
                )));
            }
        },
    }
    Ok(0)
}

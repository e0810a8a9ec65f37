//! `man`: the manual page of the program, or of one command.

use super::stdout;
use crate::error::Error;
use crate::spec::suggest;
use clap::Command;
use std::io::Write;

/// Prints the page as roff, which `man -l -` shows.
///
/// **Errors** if there is no such command, with the nearest name, or `out` fails.
pub(super) fn man(
    mut program: Command,
    command: Option<&str>,
    out: &mut dyn Write,
) -> Result<u8, Error> {
    program.build();
    let shown = match command {
        None => program,
        Some(name) => {
            let names: Vec<&str> = program.get_subcommands().map(Command::get_name).collect();
            let found = program.find_subcommand(name);
            let found = found.ok_or_else(|| {
                Error::run(format!(
                    "there is no command `{name}`; {}",
                    suggest(name, &names)
                ))
            })?;
            found.clone()
        }
    };
    // Collected first, so that a closed pipe is no failure.
    let mut page = Vec::new();
    clap_mangen::Man::new(shown)
        .render(&mut page)
        .map_err(stdout)?;
    out.write_all(&page).map_err(stdout)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory as _;

    fn page(command: Option<&str>) -> String {
        let mut out = Vec::new();
        man(Cli::command(), command, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn pages_say_what_help_says() {
        let whole = page(None);
        assert!(whole.contains(".TH voxstream 1") && whole.contains("Exit codes: 0 done"));
        let run = page(Some("run"));
        assert!(run.contains(".TH voxstream\\-run 1") || run.contains(".TH voxstream-run 1"));
        assert!(run.contains("\\-\\-fold"), "{run}");
        let error = man(Cli::command(), Some("rum"), &mut Vec::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no command `rum`; did you mean `run`?"
        );
    }
}

//! Standard output and standard error: data on one, messages on the other.

use crate::error::Error;
use crate::run::chain::causes;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;

/// Standard output; whoever closes it early (`head`) has seen enough, which is no failure.
pub(super) struct UntilClosed<W>(pub(super) W);

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.write(bytes) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self.0.flush() {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// Returns `true` if text on stderr may be coloured; an empty `NO_COLOR` does not count.
pub(crate) fn colours() -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !forbidden
}

/// The error of a standard output that cannot be written.
pub(crate) fn stdout(source: std::io::Error) -> Error {
    Error::Io {
        path: PathBuf::from("stdout"),
        action: "writing",
        source,
    }
}

/// Writes a text to standard output; returns the exit code of success.
///
/// **Errors** if it cannot be written.
pub(crate) fn say(out: &mut dyn Write, text: &str) -> Result<u8, Error> {
    out.write_all(text.as_bytes()).map_err(stdout)?;
    Ok(0)
}

/// Shows an error on stderr: diagnostics with their place, anything else with its causes.
pub fn show_error(error: &Error) {
    let colour = colours();
    let mut err = std::io::stderr().lock();
    let text = match error {
        Error::Pipeline { diagnostics } => {
            diagnostics
                .iter()
                .map(|d| d.render(colour))
                .collect::<Vec<_>>()
                .join("\n\n")
                + &format!("\n\n{error}")
        }
        other => format!("error: {}", causes(other)),
    };
    // Nothing is left to tell a user whose stderr is closed.
    writeln!(err, "{text}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    struct Fails(ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let mut closed = UntilClosed(Fails(ErrorKind::BrokenPipe));
        say(&mut closed, "a line\n").unwrap();
        closed.flush().unwrap();
        assert!(say(&mut UntilClosed(Fails(ErrorKind::StorageFull)), "a line\n").is_err());
    }
}

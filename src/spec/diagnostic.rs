//! Mistakes shown as a compiler shows them; the only door to annotate-snippets.

use super::error::{At, SpecError};
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Marks the name of a file whose text is not what is on disk.
const EDITED: &str = " (with --set)";

/// A file's name and text, to point into.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Path as the user gave it.
    pub name: String,
    /// Whole text.
    pub text: String,
}

impl SourceFile {
    /// The file itself.
    pub fn path(&self) -> std::path::PathBuf {
        self.name.strip_suffix(EDITED).unwrap_or(&self.name).into()
    }

    /// The folder of the file, for paths relative to it.
    pub fn folder(&self) -> std::path::PathBuf {
        self.path()
            .parent()
            .unwrap_or(std::path::Path::new("."))
            .to_owned()
    }

    /// The same file with another text, its name marked as edited.
    #[must_use]
    pub fn edited(&self, text: String) -> Self {
        let name = self.name.strip_suffix(EDITED).unwrap_or(&self.name);
        Self {
            name: format!("{name}{EDITED}"),
            text,
        }
    }

    /// Line and column of a byte, both from 1, columns in characters.
    pub fn line_column(&self, byte: usize) -> (usize, usize) {
        let before = &self.text[..byte.min(self.text.len())];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }
}

/// One mistake in one file, ready to be shown.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// The file.
    pub file: SourceFile,
    /// The mistake.
    pub error: SpecError,
}

impl Diagnostic {
    /// The mistake with its line, a caret and what to do, several lines, no trailing newline.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let title = Level::ERROR.primary_title(&self.error.message);
        let mut group = match self.error.at {
            Some(At { start, end }) => title.element(
                Snippet::source(&self.file.text)
                    .path(&self.file.name)
                    .annotation(AnnotationKind::Primary.span(start..end.max(start))),
            ),
            None => title.element(annotate_snippets::Origin::path(&self.file.name)),
        };
        if let Some(help) = &self.error.help {
            group = group.element(Level::HELP.message(help));
        }
        renderer.render(&[group])
    }
}

/// Orders mistakes by their place and pairs them with their file.
pub fn diagnostics(file: &SourceFile, mut errors: Vec<SpecError>) -> Vec<Diagnostic> {
    errors.sort_by_key(|e| e.at.map_or(0, |at| at.start));
    errors
        .into_iter()
        .map(|error| Diagnostic {
            file: file.clone(),
            error,
        })
        .collect()
}

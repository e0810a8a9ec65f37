//! A table of paths, recognised by the columns whose cells name NIfTI files.

use super::listing::{Listing, source_path, split_ending};
use super::names::{is_label, named, tidy};
use super::recognised::Layout;
use crate::init::error::InitError;
use crate::source::manifest::{ColumnRef, ManifestColumns, TableTexts, texts};
use crate::source::{ManifestSpec, Named, SourceKind};
use crate::store;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Endings of tables that a header line begins.
const TABLES: [&str; 2] = [".csv", ".tsv"];

/// Names of the column of ids.
const IDS: [&str; 9] = [
    "subject_id",
    "subject",
    "id",
    "case_id",
    "case",
    "study_id",
    "study",
    "participant_id",
    "name",
];

/// Names of the column of patients.
const PATIENTS: [&str; 6] = [
    "patient_id",
    "patient",
    "person",
    "person_id",
    "participant_id",
    "participant",
];

/// Names of the column of sessions.
const SESSIONS: [&str; 9] = [
    "session",
    "session_id",
    "visit",
    "visit_id",
    "timepoint",
    "time",
    "scan",
    "scan_id",
    "date",
];

/// A table directly in the folder, if one names volumes.
pub(super) fn find(listing: &Listing) -> Result<Option<Layout>, InitError> {
    let tables = listing.others.iter().filter(|path| !path.contains('/'));
    for table in tables.filter(|path| TABLES.iter().any(|e| path.ends_with(e))) {
        match layout(&listing.root.join(table)) {
            Ok(layout) => return Ok(Some(layout)),
            // Such as notes, or measurements of subjects.
            Err(InitError::Description { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// **Errors** if no column of the table names volumes.
pub(super) fn of_file(path: &Path) -> Result<Layout, InitError> {
    let name = path.to_string_lossy().to_lowercase();
    if !TABLES.iter().any(|ending| name.ends_with(ending)) {
        return Err(InitError::Description {
            path: path.to_path_buf(),
            problem: "expected a folder, or a table of paths as .csv or .tsv".to_owned(),
        });
    }
    layout(path)
}

struct Column {
    name: String,
    cells: Vec<String>,
}

impl Column {
    /// Returns `true` if every cell is the path of a volume, and one of them exists.
    ///
    /// **Errors** if a store cannot be asked.
    fn is_of_volumes(&self, folder: &Path) -> Result<bool, InitError> {
        if !self.is_of_paths() {
            return Ok(false);
        }
        for cell in self.filled() {
            let path = store::join(folder, Path::new(cell.trim_start_matches("./")));
            let exists = store::exists(&path).map_err(|source| InitError::Io { path, source })?;
            if exists {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns `true` if every cell is the path of a volume, which may not exist.
    fn is_of_paths(&self) -> bool {
        let mut filled = self.filled().peekable();
        filled.peek().is_some() && filled.all(|cell| split_ending(cell).is_some())
    }

    fn filled(&self) -> impl Iterator<Item = &String> {
        let cells = self.cells.iter();
        cells.filter(|cell| !cell.is_empty() && *cell != "n/a")
    }

    fn is_unique(&self) -> bool {
        let values: BTreeSet<&String> = self.cells.iter().collect();
        values.len() == self.cells.len() && self.cells.iter().all(|cell| !cell.is_empty())
    }
}

/// **Errors** if no column names images that exist, or none tells the rows apart.
fn layout(path: &Path) -> Result<Layout, InitError> {
    let bytes = store::read(path).map_err(|source| InitError::Io {
        path: path.to_path_buf(),
        source,
    })?;
    let (columns, lines) = columns(path, &bytes)?;
    let folder = store::parent(path);
    let (mut volumes, mut plain) = (Vec::new(), Vec::new());
    for column in &columns {
        match column.is_of_volumes(&folder)? {
            true => volumes.push(column),
            false => plain.push(column),
        }
    }
    let (labels, images): (Vec<&Column>, Vec<&Column>) =
        volumes.into_iter().partition(|c| is_label(&c.name));
    let called = |names: &[&str]| {
        let of = |name: &&str| plain.iter().find(|c| c.name.to_lowercase() == **name);
        names.iter().find_map(of)
    };
    let refused = |problem| InitError::Description {
        path: path.to_path_buf(),
        problem,
    };
    if images.is_empty() {
        return Err(refused(no_images(&columns, &labels)));
    }
    // A column that is called after ids and repeats one is a fault, unless it names patients: no other column
    // that happens to differ in every row, such as an age, stands for it.
    let by_name = called(&IDS);
    let is_of_patients = |c: &&&Column| PATIENTS.contains(&&*c.name.to_lowercase());
    let own = by_name.filter(|c| c.is_unique() || !is_of_patients(c));
    let subject = own.or_else(|| plain.iter().find(|c| c.is_unique()));
    let Some(subject) = subject.filter(|c| c.is_unique()) else {
        let column = by_name.or_else(|| called(&PATIENTS)).or(plain.first());
        let session = called(&SESSIONS).filter(|c| column.is_some_and(|of| of.name != c.name));
        return Err(refused(repeated(
            column.copied(),
            session.map(|c| &*c.name),
            &lines,
        )));
    };
    let patient = called(&PATIENTS).filter(|c| c.name != subject.name);
    let split = plain.iter().find(|c| {
        let parts = [
            "train",
            "training",
            "validation",
            "valid",
            "val",
            "test",
            "testing",
        ];
        let named = |cell: &String| parts.contains(&&*cell.trim().to_lowercase());
        !c.cells.is_empty() && c.cells.iter().all(named)
    });
    let texts: Vec<String> = images.iter().map(|c| c.name.clone()).collect();
    let modalities: Vec<(String, String)> = (named(&texts).into_iter())
        .map(|(name, text)| (without_word(&name, "image"), text))
        .collect();
    let column = |c: &&Column| ColumnRef::Column(c.name.clone());
    // `label_ct` belongs to the modality `ct`.
    let of_modality = |c: &&Column| {
        let name = tidy(&c.name);
        let found = modalities
            .iter()
            .find(|(m, _)| name.ends_with(&format!("_{m}")));
        found.map(|(m, _)| (m.clone(), ColumnRef::Column(c.name.clone())))
    };
    let each: Option<Vec<_>> = labels.iter().map(of_modality).collect();
    let each = each.filter(|each| each.len() > 1);
    let spec = ManifestSpec {
        path: source_path(path),
        delimiter: None,
        columns: Some(ManifestColumns {
            subject: subject.name.clone(),
            label: labels.first().filter(|_| each.is_none()).map(column),
            labels: Named(each.clone().unwrap_or_default()),
            images: Named(
                (modalities.iter())
                    .map(|(name, text)| (name.clone(), ColumnRef::Column(text.clone())))
                    .collect(),
            ),
            patient: patient.map(|c| c.name.clone()),
            split: split.map(|c| c.name.clone()),
            labelled: None,
        }),
        modalities: None,
        condition: None,
        unpaired: false,
        split: None,
    };
    let mut layout = Layout::new("a table of paths", SourceKind::Manifest(spec));
    if each.is_none() {
        for other in labels.iter().skip(1) {
            layout.notes.push(format!(
                "the label maps of column `{}` are left out",
                other.name
            ));
        }
    }
    Ok(layout)
}

/// Why no column names images.
fn no_images(columns: &[Column], labels: &[&Column]) -> String {
    let absent = columns.iter().find(|c| c.is_of_paths());
    match (labels.first(), absent) {
        (Some(label), _) => format!(
            "column `{}` names label maps, and no other column holds paths of NIfTI files that exist; add one with the paths of images",
            label.name
        ),
        (None, Some(column)) => format!(
            "no file that column `{}` names exists, the first is {}; paths are relative to the table's folder",
            column.name,
            column.filled().next().map_or("", String::as_str)
        ),
        (None, None) => "no column holds paths of NIfTI files (`.nii`, `.nii.gz`) alone; add one for each modality, with paths relative to the table's folder".to_owned(),
    }
}

/// Why no column tells the rows apart.
fn repeated(column: Option<&Column>, session: Option<&str>, lines: &[usize]) -> String {
    let Some(column) = column else {
        return "every column holds paths; add a column with an id of its own for each row"
            .to_owned();
    };
    let name = &column.name;
    let line = |row: usize| lines.get(row).copied().unwrap_or_default();
    if let Some(row) = column.cells.iter().position(String::is_empty) {
        return format!("line {} has no `{name}`; give every row an id", line(row));
    }
    let mut first = BTreeMap::new();
    let again = (column.cells.iter().enumerate())
        .find_map(|(row, cell)| Some((first.insert(cell, row)?, row)));
    let Some((one, other)) = again else {
        return format!("`{name}` has no rows; list at least one subject");
    };
    let advice = match session {
        Some(session) => format!(
            "`{name}` and `{session}` name a row together: add a column `id` that joins them, and keep `{name}` as `patient`, whose subjects stay in one part of the split"
        ),
        None => "give every row an id of its own; a column `patient` may say which of them show one person"
            .to_owned(),
    };
    format!(
        "`{name}` is `{}` on lines {} and {}, but a row is a subject and no other column of ids tells the rows apart; {advice}",
        column.cells[one],
        line(one),
        line(other)
    )
}

/// A name without a word that says nothing, such as `image_ct`.
fn without_word(name: &str, word: &str) -> String {
    let rest = name.strip_prefix(word).map(|rest| rest.trim_matches('_'));
    rest.filter(|rest| !rest.is_empty())
        .unwrap_or(name)
        .to_owned()
}

/// The columns of a table, read as a manifest is, and the line of each row.
fn columns(path: &Path, bytes: &[u8]) -> Result<(Vec<Column>, Vec<usize>), InitError> {
    let is_tsv = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("tsv"));
    let TableTexts { names, rows, lines } =
        texts(bytes, is_tsv).map_err(|problem| InitError::Description {
            path: path.to_path_buf(),
            problem,
        })?;
    let columns = names.into_iter().enumerate();
    let columns = columns.map(|(i, name)| Column {
        name,
        cells: rows.iter().map(|row| row[i].to_owned()).collect(),
    });
    Ok((columns.collect(), lines))
}

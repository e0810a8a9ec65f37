//! Why a split cannot be made.

/// Why a split cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SplitError {
    /// A listed subject is not in the cohort.
    #[error("`split.{part}` lists `{subject}`, which is not in the cohort{}", nearest.as_ref().map_or_else(String::new, |n| format!("; did you mean `{n}`?")))]
    Unknown {
        /// The part that lists it.
        part: &'static str,
        /// The id.
        subject: String,
        /// The id most like it.
        nearest: Option<String>,
    },
    /// A subject in two parts, or twice in one.
    #[error("subject `{subject}` is in {first} and in {second}; keep it in one")]
    TwoParts {
        /// The id.
        subject: String,
        /// Where it is first.
        first: String,
        /// Where it is again.
        second: String,
    },
    /// A count larger than what is left.
    #[error("`split.{part}` asks for {wanted} {what}, {found} are left{condition}; lower it")]
    TooFew {
        /// The part.
        part: &'static str,
        /// How many it asks for.
        wanted: usize,
        /// What it counts: subjects or patients.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// Which subjects count, such as ` with labels`.
        condition: &'static str,
    },
    /// A subject that is to keep labels it does not have, or is not trained on.
    #[error("`split.labelled` lists `{subject}`, which {problem}")]
    NotLabelled {
        /// The id.
        subject: String,
        /// What it lacks and what to do.
        problem: &'static str,
    },
    /// A table that places subjects in validation, where folds do.
    #[error(
        "`split.folds` says who validates, but the table places subject `{subject}` in validation; remove the folds, or leave `columns.split` out"
    )]
    PlacedValidation {
        /// The first such subject.
        subject: String,
    },
    /// A patient in two parts.
    #[error(
        "patient `{patient}` is in two parts: subject `{}` in {}, subject `{}` in {}; keep all subjects of a patient in one",
        subjects[0], parts[0], subjects[1], parts[1]
    )]
    PatientApart {
        /// The patient.
        patient: String,
        /// A subject of the patient in each of the parts.
        subjects: [String; 2],
        /// The two parts.
        parts: [&'static str; 2],
    },
}

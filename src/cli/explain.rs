//! `explain`: a pipeline's plan, from headers alone.

use super::{ExplainArgs, open, planned, read, say};
use crate::error::Error;
use crate::plan::explain::{Form, explain as shown};
use crate::plan::ranges::Subjects;
use std::io::Write;

/// Prints the plan in the form asked for.
///
/// **Errors** every mistake in the file, or why its data cannot be read.
pub(super) fn explain(args: &ExplainArgs, out: &mut dyn Write) -> Result<u8, Error> {
    let form = match (args.mermaid, args.json) {
        (true, _) => Form::Mermaid,
        (_, true) => Form::Json,
        _ => Form::Text,
    };
    let file = read(&args.file, &args.set)?;
    // Without its data a plan is shown as far as the file alone tells.
    let (plan, schemas) = match open(&file) {
        Ok((plan, cohort)) => (plan, cohort.subject_schemas()),
        Err(Error::Source(e)) => {
            tracing::warn!(reason = %e, "the cohort cannot be opened; sizes are left out");
            (planned(&file)?, Vec::new())
        }
        Err(e) => return Err(e),
    };
    let plan = match args.no_optimize {
        true => plan.unoptimized(),
        false => plan,
    };
    let subjects = Subjects::new(&plan, schemas);
    say(out, &shown(&plan, form, &subjects))
}

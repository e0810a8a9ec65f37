//! Rule 6: subjects are chosen before a voxel is read.
//!
//! `where:` of a manifest is SQL on the cohort's table; the query engine prunes rows (of Parquet
//! even row groups) before a path is looked at.
//!
//! **Equivalence** exact: a subject that is left out has no effect on any other.

use super::fired::Fired;
use crate::plan::pipeline::Pipeline;

/// The rule's name.
pub const NAME: &str = "select_early";

/// What the rule does for this pipeline.
pub(super) fn fired(pipeline: &Pipeline) -> Vec<Fired> {
    let condition = pipeline.source.condition();
    let fired = condition.map(|sql| Fired {
        rule: NAME,
        path: "source".to_owned(),
        what: format!("`{sql}` is answered on the cohort's table, before a voxel is read"),
    });
    fired.into_iter().collect()
}

//! Rule 5: what is the same in every epoch is prepared once and kept.
//!
//! The cut is behind the last step of `stages`, or behind the step `cache` where it is written.
//!
//! **Equivalence** exact: what is kept is read back bit for bit (unless `cache` asks for half
//! precision), and a changed file, step or version is prepared anew.

use super::fired::Fired;
use crate::plan::pipeline::Pipeline;
use crate::stage::Stage as _;
use crate::stage::cache::Cache;

/// The rule's name.
pub const NAME: &str = "cut";

/// How many steps of `stages` come before the cut; `None` where subjects are read once only.
pub(super) fn cut(pipeline: &Pipeline, fired: &mut Vec<Fired>) -> Option<usize> {
    let stages = &pipeline.stages;
    let written = stages.iter().rposition(|s| s.stage.name() == Cache::NAME);
    let again = pipeline.makes_views();
    let cut = match written {
        Some(position) => position + 1,
        None if again => stages.len(),
        None => return None,
    };
    let path = match cut.checked_sub(1).and_then(|last| stages.get(last)) {
        Some(step) => step.path.clone(),
        None => "source".to_owned(),
    };
    fired.push(Fired {
        rule: NAME,
        path,
        what: "is the last step before the cut: prepared once, kept in a mapped file, read by page"
            .to_owned(),
    });
    Some(cut)
}

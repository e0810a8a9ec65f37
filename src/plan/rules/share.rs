//! Rule 7: the weak and the strong views share what they have in common.
//!
//! Both start from the voxels that `views.shared` made, gathered once. Where all begin with the
//! same steps that draw nothing, these run once too; steps that draw never do, because each path
//! has draws of its own.
//!
//! **Equivalence** exact.

use super::fired::Fired;
use crate::plan::pipeline::Pipeline;
use crate::plan::step::Step;

/// The rule's name.
pub const NAME: &str = "share";

/// How many steps the weak and every strong view begin with in common.
pub(super) fn common(pipeline: &Pipeline, fired: &mut Vec<Fired>) -> usize {
    let views = &pipeline.views;
    let with = |strong: &[Step]| {
        let both = views.weak.iter().zip(strong);
        both.take_while(|(a, b)| {
            let same = a.stage.name() == b.stage.name() && a.stage.to_json() == b.stage.to_json();
            same && !a.stage.is_random()
        })
        .count()
    };
    let counts = views.strong.iter().map(|view| with(&view.steps));
    let common = counts.min().unwrap_or(0);
    if let Some(last) = views.shared.last() {
        fired.push(Fired {
            rule: NAME,
            path: last.path.clone(),
            what: "is drawn and gathered once for both views".to_owned(),
        });
    }
    if let Some(last) = common.checked_sub(1).and_then(|i| views.weak.get(i)) {
        fired.push(Fired {
            rule: NAME,
            path: last.path.clone(),
            what: "is the last of the steps both views begin with; they run once".to_owned(),
        });
    }
    common
}

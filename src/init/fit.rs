//! What each template needs of a data set.

use super::error::InitError;
use super::fingerprint::Fingerprint;
use super::proposal::Proposal;
use super::template::Template;
use crate::spec::{agreeing, counted};

/// Refuses a template that the data set is not fit for.
///
/// **Errors** say what is missing and which template to take instead.
pub(super) fn check(
    template: Template,
    print: &Fingerprint,
    proposal: &Proposal,
) -> Result<(), InitError> {
    let parts = &proposal.parts;
    let problem = match template {
        Template::Prepare | Template::Predict => return Ok(()),
        _ if parts.train == 0 => {
            "no subject has a label map that could be read; take `prepare`, or put label maps beside the images".to_owned()
        }
        _ if !has_classes(proposal) => no_class(print, proposal),
        Template::Cmc if print.modalities.len() < 2 => format!(
            "there is one modality, `{}`, and CMC learns from the agreement of several; take `supervised` or `semi-supervised`",
            print.modalities.join("`, `")
        ),
        Template::SemiSupervised if parts.unlabelled == 0 && parts.train < 2 => {
            "there is one labelled subject to train on and none without labels; take `supervised`".to_owned()
        }
        _ => return Ok(()),
    };
    Err(InitError::Template {
        template: template.name(),
        problem,
    })
}

/// Returns `true` if there is a class beside the background.
pub(super) fn has_classes(proposal: &Proposal) -> bool {
    proposal.classes.as_ref().is_some_and(|c| c.names.len() > 1)
}

/// Why label maps that are there hold no class.
fn no_class(print: &Fingerprint, proposal: &Proposal) -> String {
    let looked_at = print.labelled_and_sampled().count();
    let left = (proposal.classes.as_ref()).map_or(0, |c| c.not_looked_at);
    let why = match (looked_at, print.unreadable.first()) {
        (0, Some((subject, problem))) => {
            format!(
                "no label map that was looked at can be used, the first is that of {subject}: {problem}"
            )
        }
        _ => format!(
            "{} that {} looked at {} no value above 0 that is a class",
            counted(looked_at, "label map"),
            agreeing(looked_at, "was", "were"),
            agreeing(looked_at, "holds", "hold"),
        ),
    };
    let more = match left > 0 && looked_at > 0 {
        true => format!(" (`init --sample {}` looks at all)", looked_at + left),
        false => String::new(),
    };
    format!("no class was found: {why}{more}; correct the label maps, or take `prepare`")
}

//! Refuses what nothing in a file reads: an author who writes it expects it to do something.

use super::pipeline::Pipeline;
use crate::spec::{Node, SpecError};
use crate::train::objective::threshold::ThresholdSpec;

/// What a file does, for the sections that only some files read.
struct Does {
    trains: bool,
    predicts: bool,
    /// It trains with a teacher.
    teaches: bool,
    /// It keeps pseudo-labels.
    keeps_pseudo_labels: bool,
}

/// A section or field that only some files read.
struct Unread {
    /// Its keys, from the root.
    path: &'static str,
    /// Whether the file has it.
    given: fn(&Pipeline) -> bool,
    /// Whether the file reads it.
    read: fn(&Does) -> bool,
    /// What is wrong if it does not.
    problem: &'static str,
    help: &'static str,
}

const UNREAD: [Unread; 9] = [
    Unread {
        path: "sinks.views",
        given: |p| p.sinks.views.is_some(),
        read: |does| does.trains,
        problem: "records what training takes, and the file has no `train`",
        help: "remove it; `sinks: { prepared: {} }` keeps prepared rows with their draws",
    },
    Unread {
        path: "sinks.tensorboard",
        given: |p| p.sinks.tensorboard,
        read: |does| does.trains,
        problem: "reports figures of training, and the file has no `train`",
        help: "remove it, or add `train`",
    },
    Unread {
        path: "sinks.mlflow",
        given: |p| p.sinks.mlflow.is_some(),
        read: |does| does.trains,
        problem: "reports figures of training, and the file has no `train`",
        help: "remove it, or add `train`",
    },
    Unread {
        path: "sinks.predictions",
        given: |p| p.sinks.predictions.is_some(),
        read: |does| does.trains || does.predicts,
        problem: "keeps predicted label maps, and the file has neither `train` nor `predict`",
        help: "remove it, or add `predict: { checkpoint: runs/NAME }`; `sinks: { prepared: {} }` keeps what is prepared",
    },
    Unread {
        path: "sinks.pseudo_labels",
        given: |p| p.sinks.pseudo_labels.is_some(),
        read: |does| does.predicts || does.teaches,
        problem: "keeps label maps of the teacher, and the file has none: neither `train` with `pseudo_label`, nor `predict`",
        help: "remove it; a teacher is trained by the section `pseudo_label: { threshold: { fixed: 0.95 } }`",
    },
    Unread {
        path: "sinks.prepared",
        given: |p| p.sinks.prepared.is_some(),
        read: |does| !does.trains && !does.predicts,
        problem: "keeps prepared subjects, which a run that trains or predicts does not",
        help: "remove it, and prepare by a second file without `train` and `predict`; what training prepared is in the cache",
    },
    Unread {
        path: "sinks.part_size",
        given: |p| p.sinks.part_size.is_some(),
        read: |does| !does.trains,
        problem: "bounds what a run that prepares or predicts commits together, and this file trains",
        help: "remove it; a training commits checkpoints: `train.validate.every`",
    },
    Unread {
        path: "pseudo_label",
        given: |p| p.pseudo_label.is_some(),
        read: |does| does.trains || (does.predicts && does.keeps_pseudo_labels),
        problem: "says how labels are drawn from a teacher, and the file draws none",
        help: "remove it, or add `train`; a file that predicts draws them with `sinks: { pseudo_labels: {} }`",
    },
    Unread {
        path: "score",
        given: |p| p.score.is_some(),
        read: |does| does.trains || does.predicts,
        problem: "says what is scored, and the file has neither `train` nor `predict`",
        help: "remove it, or add `predict: { checkpoint: runs/NAME }`",
    },
];

/// Refuses sections and sinks that the file does not read; `root` says their places.
pub(super) fn refuse(pipeline: &Pipeline, root: Node<'_>, errors: &mut Vec<SpecError>) {
    // A section with a mistake is not there; what it would do counts.
    let does = Does {
        trains: root.get("train").is_some(),
        predicts: root.get("predict").is_some(),
        teaches: root.get("train").is_some() && root.get("pseudo_label").is_some(),
        keeps_pseudo_labels: pipeline.sinks.pseudo_labels.is_some(),
    };
    let at = |path: &str| {
        let node = path.split('.').try_fold(root, |node, key| node.get(key));
        node.map(Node::at)
    };
    for unread in &UNREAD {
        if (unread.given)(pipeline) && !(unread.read)(&does) {
            let problem = format!("`{}` {}", unread.path, unread.problem);
            errors.push(SpecError::new(at(unread.path), problem).with_help(unread.help));
        }
    }
    if !does.predicts || does.trains {
        return;
    }
    // Of how a teacher draws, a prediction knows one number.
    if let Some(at) = at("pseudo_label.ema") {
        errors.push(
            SpecError::new(at, "`pseudo_label.ema` says how a teacher follows its student, and a prediction trains neither")
                .with_help("remove it"),
        );
    }
    if let Some((section, own)) = &pipeline.pseudo_label
        && !matches!(section.threshold, ThresholdSpec::Fixed(_))
    {
        let at = at("pseudo_label.threshold").unwrap_or(*own);
        errors.push(
            SpecError::new(at, "`pseudo_label.threshold` follows what training shows, and a prediction trains nothing")
                .with_help("write `threshold: { fixed: 0.9 }`, or remove the section: the thresholds that training ended with are taken"),
        );
    }
}

//! The sections that each template writes.

use super::fingerprint::Fingerprint;
use super::fit::has_classes;
use super::proposal::Proposal;
use super::proposal::classes::Classes;
use super::template::Template;
use super::yaml::{Lines, class_figures, list, shape, text};
use crate::spec::counted;

/// The first sentence of the file.
pub(super) fn purpose(template: Template, print: &Fingerprint) -> String {
    let modalities = print.modalities.join(", ");
    match template {
        Template::Prepare => {
            format!("Prepares {modalities}: one orientation, one grid, one scale of intensities.")
        }
        Template::Supervised => {
            format!("Supervised: a 3-D U-Net learns from the labels of {modalities}.")
        }
        Template::SemiSupervised => format!(
            "Semi-supervised: labelled and unlabelled patches of {modalities} exchange a box (BCP), and the teacher labels the unlabelled part."
        ),
        Template::Cmc => format!(
            "CMC: one network for {modalities}, any of which may be missing; its modalities teach each other."
        ),
        Template::Predict => format!(
            "Predicts label maps of {modalities} with a trained network, on each input's own grid."
        ),
    }
}

/// The split of the source.
pub(super) fn split(lines: &mut Lines, proposal: &Proposal, template: Template) {
    let parts = &proposal.parts;
    if matches!(template, Template::Prepare | Template::Predict) {
        return;
    }
    let mut entries = Vec::new();
    if !parts.is_given {
        entries.extend((parts.validation > 0).then(|| format!("validation: {}", parts.validation)));
        entries.extend((parts.test > 0).then(|| format!("test: {}", parts.test)));
    }
    let mut reason = parts.reason.clone();
    if template == Template::SemiSupervised && parts.unlabelled == 0 {
        // Everything is labelled: most labels are left aside, to see what they are worth.
        let kept = (parts.train / 10).max(1);
        entries.push(format!("labelled: {kept}"));
        reason += &format!(
            "; labels of {kept} of {} are used, to learn from the rest without",
            parts.train
        );
    }
    match entries.is_empty() {
        true => lines.comment("    ", &format!("No split: {reason}.")),
        false => lines.because(
            format!("    split: {{ seed: 1, {} }}", entries.join(", ")),
            reason,
        ),
    }
    if !parts.is_given && parts.validation > 1 {
        lines.because(
            format!("    # split: {{ seed: 1, folds: 5, test: {} }}", parts.test),
            "instead, for `run FILE --fold all`; remove `score` then",
        );
    }
}

/// Everything behind `stages`.
pub(super) fn sections(
    lines: &mut Lines,
    print: &Fingerprint,
    proposal: &Proposal,
    template: Template,
    name: &str,
) {
    match (template, &proposal.classes) {
        (Template::Prepare, _) => {
            lines.line("sinks:");
            lines.because(
                "  prepared: { parquet: true, nifti: true }",
                "NIfTI to look at, Parquet to read fast",
            );
        }
        (Template::Predict, classes) => {
            lines.comment("", "The run folder of a training: its best checkpoint is taken. `stages` must be those it was trained with.");
            lines.line(format!(
                "predict: {{ checkpoint: {} }}",
                text(&format!("runs/{}", trained(name)))
            ));
            let has_labels = proposal.parts.unlabelled < print.subjects.len();
            match classes.is_some() && has_classes(proposal) && has_labels {
                true => lines.because(
                    match proposal.parts.is_given {
                        true => "score: { splits: [train, validation, test] }",
                        false => "score: { splits: [train] }",
                    },
                    "all subjects, as no other are predicted; those with labels are scored",
                ),
                false => lines.comment(
                    "",
                    match has_labels {
                        true => "No `score`: no class was found in the label maps.",
                        false => "No `score`: nobody has labels, and every subject is predicted.",
                    },
                ),
            }
            lines.line("sinks:");
            lines.line("  predictions: { parquet: true, nifti: true }");
        }
        (_, None) => {}
        (_, Some(classes)) => training(lines, print, proposal, template, classes),
    }
}

/// The name of the training that `predict` takes over: the same without the word.
fn trained(name: &str) -> &str {
    name.strip_suffix("-predict").unwrap_or(name)
}

fn training(
    lines: &mut Lines,
    print: &Fingerprint,
    proposal: &Proposal,
    template: Template,
    classes: &Classes,
) {
    let (plan, parts) = (&proposal.network, &proposal.parts);
    views(lines, proposal, template, classes);
    let learns_without = template == Template::SemiSupervised;
    if learns_without {
        lines.because(
            "pseudo_label: { ema: 0.99 }",
            "the teacher: a moving average of the network",
        );
    }
    lines.line("train:");
    lines.because(
        format!("  classes: {}", list(&classes.names)),
        format!("{}; {}", classes.reason, class_figures(classes)),
    );
    regions(lines, template, classes);
    // A row of each kind, and of CMC every modality has features of its own.
    let modalities = if template == Template::Cmc {
        print.modalities.len()
    } else {
        1
    };
    let rows = if learns_without {
        plan.batch / 2
    } else {
        plan.batch / modalities
    }
    .max(1);
    let network = match template {
        Template::Cmc => format!(
            "  network: {{ cmc: {{ width: {}, depth: {} }} }}",
            plan.width / 2,
            plan.depth.min(5)
        ),
        _ => format!(
            "  network: {{ unet3d: {{ width: {}, depth: {} }} }}",
            plan.width, plan.depth
        ),
    };
    lines.because(
        network,
        format!(
            "{} levels leave four voxels or more along the axes of the deepest, two along the shortest",
            plan.depth
        ),
    );
    lines.line(match template {
        Template::SemiSupervised => "  objective: { supervised: {}, bcp: { start: 0.1, ramp: 0.1 } }",
        Template::Cmc => "  objective: { supervised: {}, csc: { weight: 0.05 }, cac: { weight: 0.1, start: 0.2 } }",
        _ => "  objective: { supervised: {} }",
    });
    // Without labels, patches teach as well.
    let others = if learns_without { parts.unlabelled } else { 0 };
    let seen = (parts.train_subjects + others).max(1);
    let steps = (200 * seen)
        .div_ceil(rows)
        .clamp(1000, 50_000)
        .div_ceil(100)
        * 100;
    lines.because(
        format!("  steps: {steps}"),
        format!(
            "{} patches of each of {}; more if the curves still rise",
            (steps * rows).div_ceil(seen),
            counted(seen, "subject")
        ),
    );
    let unlabelled = match template {
        Template::SemiSupervised => format!(", unlabelled: {rows}"),
        _ => String::new(),
    };
    lines.because(
        format!("  batch: {{ labelled: {rows}{unlabelled} }}"),
        format!(
            "a step takes about {} of the {} given (f32; on a GPU `precision: bf16` takes half)",
            bytes(plan.bytes),
            bytes(plan.memory)
        ),
    );
    lines.because(
        "  optimizer: { lr: 0.002 }",
        "`voxstream find-lr` looks for a better one",
    );
    match parts.validation > 0 || parts.is_given {
        true => lines.line(format!(
            "  validate: {{ every: {} }}",
            (steps / 20).max(100)
        )),
        false => lines.comment(
            "  ",
            "No validation: nobody is held out, so the last checkpoint is the best.",
        ),
    }
    match (parts.test > 0 || parts.is_given, parts.validation > 0) {
        (true, _) => lines.line("score: { splits: [test] }"),
        (false, true) => lines.line("score: { splits: [validation] }"),
        (false, false) => lines.because(
            "score: { splits: [train] }",
            "an upper bound: nobody is held out",
        ),
    }
    lines.line("sinks:");
    lines.line("  predictions: { parquet: true, nifti: true }");
}

/// The regions, where the template can learn them; else why they are left out.
fn regions(lines: &mut Lines, template: Template, classes: &Classes) {
    if let Some(reason) = &classes.without_regions {
        lines.comment(
            "  ",
            &format!("No `regions`: of those that the data set declares, {reason}."),
        );
    }
    if classes.regions.is_empty() {
        return;
    }
    if template != Template::Supervised {
        lines.comment(
            "  ",
            "No `regions`: they are learnt by `supervised` alone; `init --template supervised` writes them.",
        );
        return;
    }
    lines.because(
        "  regions:",
        "one output each; painted in this order, so regions that contain others come first",
    );
    for region in &classes.regions {
        let names: Vec<String> = (region.classes.iter())
            .map(|class| classes.names[*class].clone())
            .collect();
        let (name, held) = (text(&region.name), list(&names));
        lines.line(match region.paints {
            None => format!("    {name}: {held}"),
            Some(class) => format!(
                "    {name}: {{ classes: {held}, paints: {} }}",
                text(&classes.names[class])
            ),
        });
    }
}

fn views(lines: &mut Lines, proposal: &Proposal, template: Template, classes: &Classes) {
    let plan = &proposal.network;
    let [x, y, z] = plan.patch_xyz;
    let size = format!("size: [{x}, {y}, {z}], positive: 0.33");
    lines.line("views:");
    lines.line("  shared:");
    let reason = format!(
        "the median subject has {}; edges are multiples of {} for {} levels",
        shape(proposal.spacing.median_shape),
        1 << (plan.depth - 1),
        plan.depth
    );
    if !classes.has_sides() && template != Template::SemiSupervised {
        lines.comment(
            "    ",
            "nnU-Net's default augmentation; a third of the patches is centred on foreground.",
        );
        lines.because(format!("    - nnunet_default: {{ {size} }}"), reason);
        return;
    }
    lines.because(
        "    - affine: { rotation_deg: [-15, 15], scale: [0.85, 1.2], p: 0.3 }",
        "small turns and sizes",
    );
    lines.because(format!("    - patch: {{ {size} }}"), reason);
    match classes.has_sides() {
        true => lines.because(
            "    - flip: { axes: [y, z], p: 0.5 }",
            "not along x: a class is a left or a right",
        ),
        false => lines.because(
            "    - flip: { axes: [x, y, z], p: 0.5 }",
            "mirrored anatomy is as likely",
        ),
    }
    lines.line("  weak:");
    lines.line("    - gaussian_noise: { std: [0.0, 0.1], p: 0.2 }");
    if template != Template::SemiSupervised {
        lines.line("    - brightness: { factor: [0.75, 1.25], p: 0.15 }");
        lines.line("    - gamma: { gamma: [0.7, 1.5], p: 0.3 }");
    }
}

fn bytes(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1u32 << 20);
    match mib < 100.0 {
        true => format!("{mib:.0} MiB"),
        false => format!("{:.1} GiB", mib / 1024.0),
    }
}

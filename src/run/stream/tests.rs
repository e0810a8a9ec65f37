//! Several strong views of one patch.

use super::super::prepare::Preparer;
use super::*;
use crate::plan::compile;
use crate::registry::STAGES;
use crate::spec::SourceFile;

/// The first samples of two phantom subjects under these strong views.
fn samples(strong: &str) -> Result<Vec<Vec<Row>>, String> {
    let patch = "{ patch: { size: [16, 16, 16], samples: 1 } }";
    mixed_samples(2, &format!("[{patch}]"), strong)
}

/// The first samples of some phantom subjects.
fn mixed_samples(subjects: usize, shared: &str, strong: &str) -> Result<Vec<Vec<Row>>, String> {
    let text = format!(
        "name: views\nseed: 4\nsource: {{ phantom: {{ subjects: {subjects}, modalities: [ct, mr], classes: 2, size: [20, 18, 16] }} }}\n\
         views:\n  shared: {shared}\n  strong: {strong}\n\
         train: {{ classes: [b, x, y, z], network: {{ unet3d: {{ width: 4, depth: 2 }} }}, steps: 1 }}\n"
    );
    let file = SourceFile {
        name: "views.yaml".into(),
        text,
    };
    let plan = compile(&file, STAGES, None).map_err(|errors| {
        let shown: Vec<String> = errors.iter().map(|e| e.render(false)).collect();
        shown.join("\n")
    })?;
    let cohort = (plan.pipeline.source)
        .open(std::path::Path::new("."), plan.pipeline.seed)
        .unwrap();
    let (plan, counters) = (Arc::new(plan), Counters::default());
    let preparer = Arc::new(Preparer::new(&plan, cohort.into(), 1 << 28, &counters).unwrap());
    let viewer = Viewer::new(&plan, &preparer, &counters);
    let peers = Peers::new(&(0..subjects).collect::<Vec<_>>(), &preparer.facts());
    let mut all = Vec::new();
    for subject in 0..subjects {
        for sample in viewer.samples(subject, 0, 0, &peers).unwrap() {
            let rows = sample.views().map(|v| Row::from_batch(v, 0).unwrap());
            all.push(rows.collect());
        }
    }
    Ok(all)
}

fn image(row: &Row) -> Vec<f32> {
    let volume = row.first_image().unwrap().1;
    volume.to_f32().to_vec()
}

fn labels(row: &Row) -> Vec<Vec<f32>> {
    let volumes = row.labels.iter().filter_map(|c| c.volume.as_ref());
    volumes.map(|v| v.to_f32().to_vec()).collect()
}

#[test]
fn each_strong_view_draws_for_itself_and_keeps_the_place_of_every_voxel() {
    let noise = "[gaussian_noise: { std: [0.1, 0.2], p: 1 }]";
    let named = samples(&format!("{{ one: {noise}, two: {noise} }}")).unwrap();
    let alone = samples(noise).unwrap();
    for (views, single) in named.iter().zip(&alone) {
        let names: Vec<&str> = views.iter().map(|r| r.view.as_str()).collect();
        assert_eq!(names, ["weak", "strong.one", "strong.two"]);
        assert_eq!(single[1].view, "strong");
        let (weak, one, two) = (image(&views[0]), image(&views[1]), image(&views[2]));
        assert!(one != two && one != weak && two != weak);
        assert_eq!(weak, image(&single[0]), "the weak view knows no strong one");
        for strong in &views[1..] {
            assert_eq!(labels(strong), labels(&views[0]));
            let placed = strong.draws.last().unwrap();
            assert_eq!(placed.stage, format!("views.{}", strong.view));
            assert_eq!(placed.draw["strong_from_weak"], "identity");
        }
    }
}

#[test]
fn views_that_are_none_are_refused() {
    for (strong, told) in [
        ("{}", "names no view"),
        ("{ \"a b\": [] }", "cannot name a strong view"),
        ("{ one: [flip: {}] }", "moves voxels in one view only"),
        ("{ one: { gamma: {} } }", "is no list"),
        ("[cutmix: {}]", "`train.objective.pseudo_label.cutmix`"),
        ("{ one: [copy_paste: {}] }", "views.shared"),
    ] {
        let found = samples(strong).unwrap_err();
        assert!(found.contains(told), "{strong}: {found}");
    }
}

/// The partner recorded by a step.
fn partner(row: &Row, stage: &str) -> String {
    let draw = row.draws.iter().find(|d| d.stage.ends_with(stage)).unwrap();
    draw.draw["partner"].as_str().unwrap().to_owned()
}

#[test]
fn a_partner_is_another_subject_at_the_same_place_of_the_chain() {
    let patch = "{ patch: { size: [16, 16, 16], samples: 3 } }, { flip: { p: 0.5 } }";
    let plain = mixed_samples(4, &format!("[{patch}]"), "[]").unwrap();
    // The whole patch is pasted, so a mixed row is its partner's plain row of the same sample.
    let paste = "{ copy_paste: { edge: 1, inside: 1, p: 1 } }";
    let mixed = mixed_samples(4, &format!("[{patch}, {paste}]"), "[]").unwrap();
    let mut partners = std::collections::BTreeSet::new();
    for views in &mixed {
        let row = &views[0];
        let name = partner(row, "copy_paste");
        assert_ne!(name, row.subject);
        let plainly = |r: &&Vec<Row>| r[0].subject == name && r[0].sample == row.sample;
        let source = &plain.iter().find(plainly).unwrap()[0];
        assert_eq!(image(row), image(source));
        assert_eq!(labels(row), labels(source));
        assert_eq!(labels(row), labels(&views[1]), "every view is mixed alike");
        partners.insert(name);
    }
    assert!(partners.len() > 2, "{partners:?}");
    // Earlier mixing steps are passed over in a partner: a second whole paste is plain too.
    let twice = mixed_samples(4, &format!("[{patch}, {paste}, {paste}]"), "[]").unwrap();
    for views in &twice {
        let row = &views[0];
        let name = partner(row, "[3].copy_paste");
        let plainly = |r: &&Vec<Row>| r[0].subject == name && r[0].sample == row.sample;
        let source = &plain.iter().find(plainly).unwrap()[0];
        assert_eq!(image(row), image(source));
    }
}

#[test]
fn a_subject_that_is_alone_is_its_own_partner() {
    let patch = "{ patch: { size: [16, 16, 16], samples: 1 } }";
    let plain = mixed_samples(1, &format!("[{patch}]"), "[]").unwrap();
    let mixed = mixed_samples(1, &format!("[{patch}, {{ cutmix: {{ p: 1 }} }}]"), "[]").unwrap();
    assert_eq!(partner(&mixed[0][0], "cutmix"), mixed[0][0].subject);
    assert_eq!(image(&mixed[0][0]), image(&plain[0][0]));
}

#[test]
fn a_look_may_be_taken_in_one_view_alone() {
    let look = "[fourier_mix: { lambda: 1, p: 1 }]";
    let strong = format!("{{ one: {look}, two: {look} }}");
    for views in samples(&strong).unwrap() {
        assert!(views[0].draws.iter().all(|d| !d.stage.contains("fourier")));
        assert_ne!(image(&views[0]), image(&views[1]));
        assert_eq!(labels(&views[0]), labels(&views[1]));
        assert_ne!(partner(&views[2], "fourier_mix"), views[2].subject);
    }
}

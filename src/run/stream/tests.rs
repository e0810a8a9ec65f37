//! Several strong views of one patch.

use super::*;
use crate::plan::compile;
use crate::registry::STAGES;
use crate::spec::SourceFile;

/// The first samples of two phantom subjects under these strong views.
fn samples(strong: &str) -> Result<Vec<Vec<Row>>, String> {
    let text = format!(
        "name: views\nseed: 4\nsource: {{ phantom: {{ subjects: 2, modalities: [ct, mr], classes: 2, size: [20, 18, 16] }} }}\n\
         views:\n  shared: [{{ patch: {{ size: [16, 16, 16], samples: 1 }} }}]\n  strong: {strong}\n\
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
    let peers = Peers::new(&[0, 1], &preparer.facts());
    let mut all = Vec::new();
    for subject in 0..2 {
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
    ] {
        let found = samples(strong).unwrap_err();
        assert!(found.contains(told), "{strong}: {found}");
    }
}

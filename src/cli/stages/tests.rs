use super::*;

fn written(name: Option<&str>) -> (bool, String) {
    let mut out = Vec::new();
    let found = stages(name, &mut out).unwrap();
    (found, String::from_utf8(out).unwrap())
}

#[test]
fn the_table_has_every_stage_with_a_summary() {
    let (found, table) = written(None);
    assert!(found);
    assert_eq!(table.lines().count(), STAGES.len() + PRESETS.len());
    for (line, entry) in table.lines().zip(STAGES) {
        assert!(
            line.starts_with(entry.name) && line.ends_with('.'),
            "{line}"
        );
    }
}

#[test]
fn a_page_says_type_default_and_meaning_of_every_parameter() {
    let (found, page) = written(Some("gaussian_noise"));
    assert!(found);
    let range = "  std: range; default [0.0, 0.1]\n";
    assert!(page.contains("  A range is a number"), "{page}");
    assert!(page.contains(range), "{page}");
    assert!(
        page.contains("  p: number; default 0.15\n      Probability"),
        "{page}"
    );
    assert!(
        page.contains("  modalities: list of text; optional\n"),
        "{page}"
    );
    assert!(
        page.ends_with("  - gaussian_noise: { std: [0.0, 0.1], p: 0.15 }\n"),
        "{page}"
    );
    assert!(
        page.contains("deviation.\n\nLaw `v' = v + std * n`"),
        "{page}"
    );
    let (_, page) = written(Some("window"));
    assert!(
        page.contains("  range: [number, number]; required\n"),
        "{page}"
    );
    let (_, page) = written(Some("zscore"));
    assert!(
        page.contains("  foreground: above_min or nonzero or all; default above_min\n"),
        "{page}"
    );
    assert!(
        page.contains("      - nonzero: Voxels that are not 0"),
        "{page}"
    );
    for entry in STAGES {
        let (_, page) = written(Some(entry.name));
        assert!(
            page.lines().all(|l| l.chars().count() <= WIDTH + 20),
            "{page}"
        );
        assert!(!page.contains("any value"), "{page}");
    }
}

#[test]
fn names_of_other_frameworks_lead_to_ours() {
    let (found, page) = written(Some("RandGaussianNoised"));
    let begin =
        "`gaussian_noise` is what MONAI calls `RandGaussianNoise`\n\ngaussian_noise (augment)\n";
    assert!(found && page.starts_with(begin), "{page}");
    let elsewhere = "\nElsewhere: MONAI RandGaussianNoise; TorchIO RandomNoise; batchgenerators GaussianNoiseTransform\n";
    assert!(page.contains(elsewhere), "{page}");
}

#[test]
fn an_unknown_stage_gets_the_nearest_name() {
    assert_eq!(
        written(Some("zscroe")),
        (
            false,
            "unknown stage `zscroe`; did you mean `zscore`?\n".to_owned()
        )
    );
}
